cimport cython

cdef object _now
cdef long long _SECOND, _TICK, _FINE
cdef double _TICKS
cdef Py_ssize_t _ROOM
cdef int _PING
cdef unsigned long long _MASK_64
cdef object _READ, _EVENTS, _WAIT_SECONDS


@cython.final
cdef class Options:
    # where
    cdef readonly int port
    cdef readonly str path
    cdef readonly Py_ssize_t connections
    # how
    cdef readonly bint hold
    cdef readonly double seconds, rate
    cdef readonly Py_ssize_t limit
    # what
    cdef readonly bytes request, handshake, echo


@cython.final
cdef class Samples:
    cdef Py_ssize_t count
    cdef list _counts
    cdef list _longer

    @cython.locals(ticks="long long")
    cdef int record(self, long long elapsed) except -1
    @cython.locals(rank="Py_ssize_t", seen="Py_ssize_t", ticks="Py_ssize_t")
    cdef double percentile(self, double share) except -1


@cython.final
cdef class Arrivals:
    cdef long long due
    cdef double _mean
    cdef unsigned long long _state

    @cython.locals(state="unsigned long long")
    cdef int advance(self) except -1


@cython.final
cdef class Connection:
    cdef Options _options
    # of the open socket, None where it could not be opened
    cdef object socket
    cdef object _send, _receive
    # of the message in flight
    cdef bint busy
    cdef long long due
    cdef bytes rest

    cdef bint open(self) except -1
    @cython.locals(data=bytes)
    cdef bytes receive(self)
    @cython.locals(done="Py_ssize_t")
    cdef int send(self, bytes message) except -1
    cdef int _send_rest(self, bytes message, Py_ssize_t done) except -1


@cython.final
cdef class Response:
    cdef Py_ssize_t failures
    # the last head, and what it said
    cdef bytes _head
    cdef Py_ssize_t _length
    cdef bint _failed

    cdef Py_ssize_t end(self, bytes data) except -1
    @cython.locals(head=bytes, line=bytes)
    cdef bint _read_head(self, bytes data) except -1


@cython.final
cdef class Client:
    cdef Options _options
    cdef bytes _request, _echo
    cdef Py_ssize_t _limit
    # connections
    cdef list _connections
    cdef dict _watched
    cdef object _epoll
    cdef Response _response
    # counts
    cdef Py_ssize_t _sent, _answered, _unopened, _broken, _overdue
    cdef Samples _latency, _lateness

    @cython.locals(connection=Connection, began="long long", stop="long long")
    cpdef run(self)
    @cython.locals(connection=Connection, began="long long")
    cpdef hold(self)
    @cython.locals(connection=Connection, event=tuple, now="long long")
    cdef int _closed_loop(self, long long stop) except -1
    @cython.locals(
        connection=Connection, event=tuple, arrivals=Arrivals, idle=list, line=list, first="Py_ssize_t",
        now="long long", due="long long", unhindered=bint, was_busy=bint,
    )
    cdef int _open_loop(self, long long stop) except -1
    @cython.locals(connection=Connection, event=tuple, stop="long long")
    cdef _drain(self)
    @cython.locals(connection=Connection)
    cdef bint _waits(self) except -1
    @cython.locals(stop="long long", done=bint)
    cdef _exchange_once(self, Connection connection)
    cdef _start(self, Connection connection, long long due)
    cdef bint _finish(self, Connection connection) except -1
    @cython.locals(data=bytes, used="Py_ssize_t", done=bint)
    cdef bint _take(self, Connection connection) except -1
    cdef bint _open(self, Connection connection) except -1
    cdef bint _reopen(self, Connection connection) except -1
    @cython.locals(latency=Samples)
    cdef int _report(self, long long began) except -1


cdef Py_ssize_t _echo_end(bytes data, bytes echo) except -1
@cython.locals(end="Py_ssize_t")
cdef Py_ssize_t _pong(Connection connection, bytes data) except -1
