cimport cython


@cython.final
cdef class Done:
    pass


@cython.final
cdef class Failed:
    cdef object _error
