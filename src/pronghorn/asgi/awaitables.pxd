cimport cython


@cython.final
cdef class Done:
    pass


@cython.final
cdef class Failed:
    cdef object _error


@cython.final
@cython.freelist(16)
cdef class Receive:
    cdef object _exchange
    # a coroutine, once the event was not there any more
    cdef object _waiting
