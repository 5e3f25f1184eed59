cimport cython

cdef bint _INTERPRETED
cdef long long _TRANSLATE_FROM
cdef tuple _XOR


@cython.locals(buf="unsigned char*")
cpdef unmask(bytearray data, Py_ssize_t start, Py_ssize_t end, unsigned int key)
@cython.locals(buf="const unsigned char*", fresh="unsigned char*", payload=bytes)
cpdef bytes unmasked(bytes data, Py_ssize_t start, Py_ssize_t end, unsigned int key)
@cython.locals(turn=int)
cpdef unsigned int turned(unsigned int key, long long count) noexcept
cpdef room(Py_ssize_t size)
@cython.locals(buf="const unsigned char*", target="unsigned char*")
cpdef bint unmask_into(to, Py_ssize_t at, data, Py_ssize_t start, Py_ssize_t end, unsigned int key) except -1
@cython.locals(
    i="Py_ssize_t", j="Py_ssize_t",
    k0="unsigned char", k1="unsigned char", k2="unsigned char", k3="unsigned char",
    a0="unsigned char", a1="unsigned char", a2="unsigned char", a3="unsigned char",
    a4="unsigned char", a5="unsigned char", a6="unsigned char", a7="unsigned char",
    h0="unsigned char", h1="unsigned char", h2="unsigned char", h3="unsigned char",
    h4="unsigned char", h5="unsigned char", h6="unsigned char", h7="unsigned char",
)
cdef bint _xor_into(
    unsigned char* to, Py_ssize_t at, const unsigned char* buf, Py_ssize_t start, Py_ssize_t end, unsigned int key
) except -1
@cython.locals(
    i="Py_ssize_t", k0="unsigned char", k1="unsigned char", k2="unsigned char", k3="unsigned char"
)
cdef int _xor(unsigned char* buf, Py_ssize_t start, Py_ssize_t end, unsigned int key) except -1
