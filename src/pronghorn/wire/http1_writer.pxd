cimport cython

from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

cdef str GET
cdef int _NONE, _LENGTH, _CHUNKED, _CLOSE
cdef list _STATUS_LINES, _LENGTH_LINES

cpdef bytes status_line(int status)
cdef bytes _default_lines(Response response, list defaults)


@cython.final
cdef class Http1Writer:
    # the response in hand
    cdef int _framing
    cdef Py_ssize_t _remaining
    # what the connection asks
    cdef public bint keep_alive
    cdef public bint complete
    cdef public Py_ssize_t sent

    cpdef begin(self, bint keep_alive)
    cpdef informational(self, list out, int status, list headers)
    @cython.locals(
        length="Py_ssize_t", whole=bint, parts=list, headers=list,
        name=bytes, value=bytes, line=bytes, default=bytes, framing=bytes, last=bytes, content=bytes,
    )
    cpdef head(self, list out, Request request, Response response, bytes data, bint end, list defaults)
    @cython.locals(length="Py_ssize_t", status=int)
    cdef Py_ssize_t _choose_framing(
        self, Request request, Response response, Py_ssize_t size, bint end
    ) except -2
    @cython.locals(size="Py_ssize_t", excess="Py_ssize_t")
    cpdef data(self, list out, bytes data, bint end)
    cpdef Py_ssize_t begin_file(self, list out, Py_ssize_t size, bint end) except -2
    cpdef end_file(self, list out, Py_ssize_t size, bint end)
    cdef _finish(self, list out)
    cpdef trailers(self, list out, list headers)
