cimport cython

from pronghorn.wire.ws_deflate cimport Inflater

cdef long long _FREELY_INFLATED


@cython.final
cdef class Unpacker:
    cdef long long _max_size
    cdef long long _ratio
    cdef Inflater _inflater
    # the message in hand, where it need not be inflated
    cdef object _payload
    cdef bint _is_text
    cdef readonly bint is_busy
    cdef readonly str text
    cdef readonly bytes data

    @cython.locals(most="long long", at_ratio="long long")
    cpdef begin(self, payload, bint is_text, bint is_deflated)
    @cython.locals(inflater=Inflater, spent="long long")
    cpdef Py_ssize_t go_on(self, long long budget) except -1
    cpdef release(self)
