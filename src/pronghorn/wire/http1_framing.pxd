cimport cython

from pronghorn.wire.request cimport Request


cdef Py_ssize_t _MOST_LENGTH_DIGITS
cdef bytes _PLAIN_HOST
cdef int _COLON

@cython.locals(
    name=bytes, value=bytes, size="Py_ssize_t", is_1_0=bint, is_repeated=bint, content_type=bytes,
    host=bytes, length=bytes, coding=bytes, connection=bytes, upgrade=bytes, expect=bytes, te=bytes,
)
cpdef int settle(Request request, bytes authority) except -1

cdef bytes _combined(list headers, bytes name)
cdef list _tokens(bytes value)
cdef int _settle_host(Request request, bytes host, bytes authority, bint is_1_0) except -1
@cython.locals(buf="const unsigned char*", plain="const unsigned char*", size="Py_ssize_t", i="Py_ssize_t", port=int)
cdef bint _is_plain_host(bytes host) except -1
cdef int _settle_connection(Request request, bytes connection, bytes upgrade, bint is_1_0) except -1
cdef int _settle_coding(Request request, bytes coding, bytes length, bint is_1_0) except -1
cdef int _settle_length(Request request, bytes length) except -1
