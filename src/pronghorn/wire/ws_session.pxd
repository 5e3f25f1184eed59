cdef int _NOTHING, _PING, _PONG, _CLOSE


cdef class Session:
    cdef double _ping_interval
    cdef double _ping_timeout
    cdef double _close_timeout
    # the ping that is not answered; when the next is due, or its answer
    cdef bytes _payload
    cdef readonly bint is_pinged
    cdef double _ping_by
    cdef double _pong_by
    # when the end comes; whether it comes sooner because the application has answered
    cdef double _close_by
    cdef bint _is_answered

    cpdef bytes ping(self, bytes payload, double now)
    cpdef bint is_answer(self, bytes payload) except -1
    cpdef answered(self, double now)
    cpdef close_soon(self, double now)
    cpdef bint close_sooner(self, double now) except -1
    cpdef go_on(self)
    cpdef double next(self, double now, double most) except? -1
    cpdef int due(self, double now) except -1
