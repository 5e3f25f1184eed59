cimport cython

from pronghorn.asgi.context cimport Context


cdef class TurnTaker:
    cpdef take_turn(self)
    cpdef abort(self)


@cython.final
cdef class Turn:
    cdef Context _context
    cdef list _waiting

    cpdef add(self, TurnTaker taker)
    @cython.locals(waiting=list, taken="Py_ssize_t", taker=TurnTaker)
    cpdef run(self)
