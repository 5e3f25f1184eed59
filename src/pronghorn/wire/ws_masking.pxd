cimport cython

cdef bint _INTERPRETED
cdef long long _TRANSLATE_FROM
cdef tuple _XOR


@cython.locals(buf="unsigned char*")
cpdef unmask(bytearray data, Py_ssize_t start, Py_ssize_t end, unsigned int key)
@cython.locals(buf="const unsigned char*", fresh="unsigned char*", payload=bytes)
cpdef bytes unmasked(bytes data, Py_ssize_t start, Py_ssize_t end, unsigned int key)
@cython.locals(
    i="Py_ssize_t", k0="unsigned char", k1="unsigned char", k2="unsigned char", k3="unsigned char"
)
cdef int _xor(unsigned char* buf, Py_ssize_t start, Py_ssize_t end, unsigned int key) except -1
