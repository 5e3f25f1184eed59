cimport cython

from pronghorn.asgi.stream cimport Exchange, Stream
from pronghorn.net.connection cimport Connection
from pronghorn.net.protocol cimport Protocol
from pronghorn.wire.http1_writer cimport Http1Writer
from pronghorn.wire.response cimport Response

cdef Py_ssize_t _HEAD_ESTIMATE


cdef class Cycle(Stream):
    # below; no owner once the request has ended
    cdef CycleOwner _owner
    cdef bint _tunnel
    # above
    cdef Exchange exchange
    # what is counted, beside ``sent``
    cdef Py_ssize_t received
    cdef Py_ssize_t unconsumed
    cdef double deadline

    cdef open(self, CycleOwner owner)
    cdef end(self)
    @cython.locals(owner=CycleOwner, exchange=Exchange)
    cpdef send_informational(self, int status, list headers)
    @cython.locals(owner=CycleOwner, exchange=Exchange, writer=Http1Writer)
    cpdef send_head(self, Response response, bytes data, bint end)
    @cython.locals(owner=CycleOwner)
    cpdef send_data(self, bytes data, bint end)
    @cython.locals(owner=CycleOwner, exchange=Exchange, writer=Http1Writer)
    cpdef send_file(self, Response response, part)
    @cython.locals(owner=CycleOwner)
    cpdef send_trailers(self, list headers)
    @cython.locals(owner=CycleOwner)
    cpdef open_tunnel(self, list headers)
    @cython.locals(owner=CycleOwner)
    cpdef wake_within(self, double seconds)
    @cython.locals(owner=CycleOwner)
    cpdef consumed(self, Py_ssize_t size)
    @cython.locals(owner=CycleOwner)
    cpdef bint blocked(self) except -1
    @cython.locals(owner=CycleOwner)
    cpdef bint has_unread(self) except -1
    cpdef bint has_left(self) except -1
    @cython.locals(owner=CycleOwner)
    cpdef abort(self)


cdef class CycleOwner(Protocol):
    cdef Connection connection
    cdef Http1Writer writer
    # parts not handed to the connection, while several requests of one read are answered
    cdef list out
    # the request under way, and what was of one that nobody holds on to
    cdef Cycle _cycle
    cdef Cycle _spare

    @cython.locals(cycle=Cycle)
    cdef Cycle _new_cycle(self, bint keep_alive)
    @cython.locals(cycle=Cycle, exchange=Exchange)
    cdef Exchange _end_cycle(self)
    @cython.locals(cycle=Cycle)
    cdef Exchange _exchange(self)
    cpdef written(self, Py_ssize_t size)
    cpdef consumed(self)
    cpdef bint keep_alive_after(self, bint end) except -1
    cpdef enter_tunnel(self)
    cpdef end_tunnel(self)
    cpdef cut_off(self)
    cpdef set_deadline(self)
