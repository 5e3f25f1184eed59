cimport cython

cdef bytes _HEX_VALUE
cdef int _PERCENT


@cython.locals(
    buf="const unsigned char*", values="const unsigned char*", size="Py_ssize_t", i="Py_ssize_t", j="Py_ssize_t",
    byte=int, out=bytearray
)
cpdef bytes unquoted(bytes data)
