cimport cython

from pronghorn.asgi.context cimport Context

cdef double _MOST_HELD, _MOST_TOGETHER, _BLOCKED, _WARY


cdef class TurnTaker:
    cpdef take_turn(self)
    cpdef end_turn(self)
    cpdef abort(self)


@cython.final
cdef class Turn:
    cdef Context _context
    cdef object _clock
    cdef list _waiting
    # after an application that blocked the loop
    cdef double _wary_until

    cpdef add(self, TurnTaker taker)
    cpdef double now(self) except? -1
    @cython.locals(waiting=list, begun=double, size="Py_ssize_t", taken="Py_ssize_t", ended="Py_ssize_t", before=double, since=double, now=double, taker=TurnTaker)
    cpdef run(self)
    @cython.locals(taker=TurnTaker)
    cdef _end(self, list takers)
    cdef _put_off(self, list takers)
    cdef _close(self, TurnTaker taker)
