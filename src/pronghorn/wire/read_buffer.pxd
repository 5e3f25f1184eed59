cimport cython


cdef bytes _NOTHING


@cython.final
cdef class ReadBuffer:
    # what is parsed: data[position:]
    cdef readonly bytes data
    cdef Py_ssize_t position
    # bytes of data and of what came behind it
    cdef Py_ssize_t _fed
    # what came behind it; _filler: what may come and decide nothing, empty once something else came
    cdef bytearray _more
    cdef bint waiting
    cdef bytes _filler
    cdef Py_ssize_t _most

    cpdef Py_ssize_t size(self) except -1
    cpdef bytes beginning(self)
    @cython.locals(size="Py_ssize_t")
    cpdef Py_ssize_t feed(self, bytes data) except -1
    cpdef bint release(self) except -1
    cpdef int wait(self, bytes filler, Py_ssize_t most) except -1
    cpdef bint is_undecided(self) except -1
    cpdef bint take_more(self) except -1
    cpdef bytes take_all(self)
    cpdef int clear(self) except -1
