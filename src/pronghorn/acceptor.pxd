cimport cython

# Compiled for what each new connection costs; the classes stay Python's own, for tests put listeners and rows of
# their own in place of theirs.

cdef int _SLACK, _MOST_YIELDS, _MOST_ASIDE, _MOST_PER_WAKE_UP


@cython.final
cdef class _Opening:
    cdef object _acceptor
    cdef object _coroutine
    cdef object _peer
    cdef object _protocol
    cdef object _sock
