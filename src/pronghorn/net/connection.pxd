cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.scope cimport Endpoint
from pronghorn.net.closing cimport Closing
from pronghorn.net.protocol cimport Protocol
from pronghorn.net.turn cimport Turn, TurnTaker

cdef int _SERVING, _DRAINING, _LINGERING, _CLOSED
cdef Py_ssize_t _MOST_JOINED, _LARGE
cdef int _MOST_WRITES


cdef class Connection(TurnTaker):
    # who shares it
    cdef readonly Context context
    cdef readonly object reaper
    cdef readonly Turn turn
    cdef object _choose
    # the socket
    cdef object _transport
    cdef public Endpoint endpoint
    cdef public object ends
    cdef public object opening
    cdef bint _reading
    cdef readonly bint writable
    cdef object _transfer
    cdef int _writes
    cdef bint _is_emptying
    cdef bint _is_tls
    # its life
    cdef int _state
    cdef Closing _closing
    cdef public double deadline
    # what speaks on it
    cdef Protocol _protocol

    @cython.locals(protocol=Protocol)
    cpdef data_received(self, bytes data)
    @cython.locals(protocol=Protocol)
    cpdef take_turn(self)
    @cython.locals(protocol=Protocol)
    cpdef end_turn(self)
    cpdef extra_info(self, str name)
    cpdef bint is_tls(self) except -1
    cpdef double within(self, double seconds) except? -1
    @cython.locals(size="Py_ssize_t", part=bytes)
    cpdef write(self, list out, bint last=*)
    cdef _limit_writes(self)
    @cython.locals(part=bytes)
    cdef _write_parts(self, list out)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef tell_writable(self)
    cpdef begin_transfer(self, transfer)
    cpdef end_transfer(self, bint paused)
    cdef _stop_transfer(self)
    cpdef bint can_sendfile(self) except -1
    cpdef set_write_marks(self, int high)
    cpdef Py_ssize_t unsent(self) except -1
    cpdef bint waits_for_file(self) except -1
    cpdef enter(self, int state)
    cdef Closing _ending(self)
    cpdef double last_call(self) except? -1
    cpdef tell_late(self, double now)
    cpdef close(self)
    cpdef bint close_idle(self) except -1
    cpdef linger(self, bint sending=*)
    cpdef abort(self)
    cpdef drain(self)
    cpdef bint has_unread(self) except -1
    cpdef bint has_left(self) except -1
    cpdef wind_up(self)
    cpdef terminate(self)
    @cython.locals(protocol=Protocol)
    cpdef tuple exchanges(self)
