cdef class Protocol:
    cpdef data_received(self, bytes data)
    cpdef bint eof_received(self) except -1
    cpdef connection_lost(self)
    cpdef resume_writing(self)
    cpdef take_turn(self)
    cpdef flush(self)
    cpdef on_deadline(self, double now)
    cpdef double last_call(self) except? -1
    cpdef tuple exchanges(self)
    cpdef refuse(self, error)
    cpdef drain(self)
    cpdef wind_up(self)
    cpdef terminate(self)
