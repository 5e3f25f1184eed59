cimport cython

from pronghorn.asgi.stream cimport Exchange

cdef long long _PER_ROUND, _FOR_OTHERS, _FOR_LARGE


@cython.final
cdef class Round:
    cdef object _loop
    cdef object _contextvars
    # who goes on in the next round; who does large work, of whom only the first does
    cdef object _waiting
    cdef object _large
    cdef bint _scheduled
    cdef public long long left

    cpdef wait(self, Exchange exchange)
    cpdef wait_alone(self, Exchange exchange)
    cdef _schedule(self)
    @cython.locals(exchange=Exchange)
    cpdef run(self)
