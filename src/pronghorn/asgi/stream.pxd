from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

# Not final: a test double overrides these in Python, which is why they are cpdef.


cdef class Stream:
    cdef public Py_ssize_t sent

    cpdef send_informational(self, int status, list headers)
    cpdef send_head(self, Response response, bytes data, bint end)
    cpdef send_data(self, bytes data, bint end)
    cpdef send_file(self, Response response, part)
    cpdef send_trailers(self, list headers)
    cpdef open_tunnel(self, list headers)
    cpdef wake_within(self, double seconds)
    cpdef consumed(self, Py_ssize_t size)
    cpdef bint blocked(self) except -1
    cpdef bint has_unread(self) except -1
    cpdef bint has_left(self) except -1
    cpdef abort(self)


cdef class Exchange:
    cdef readonly Request request

    cpdef start(self)
    cpdef cancel(self)
    cpdef on_data(self, bytes data)
    cpdef on_end(self, list trailers)
    cpdef on_disconnect(self, bint lost)
    cpdef on_fault(self, error)
    cpdef on_writable(self)
    cpdef on_timeout(self)
    cpdef on_drain(self)
    cpdef on_last_call(self)
    cpdef bint is_endless(self) except -1
    cpdef bint leave(self, Stream ended) except -1
    cpdef on_round(self)
    cpdef bint go_on(self, long long budget) except -1
