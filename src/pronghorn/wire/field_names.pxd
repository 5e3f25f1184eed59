cimport cython

cdef int _SMALL, _SLOTS
cdef list _TABLE


@cython.locals(
    buf="const unsigned char*", name="const unsigned char*", size="Py_ssize_t", known=bytes, i="Py_ssize_t"
)
cpdef bytes known_name(bytes data, Py_ssize_t start, Py_ssize_t end)
cdef Py_ssize_t _slot(Py_ssize_t size, int first, int later, int last) noexcept
