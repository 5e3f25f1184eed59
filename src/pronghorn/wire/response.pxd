cimport cython

cdef bytes _FIELD_NAME, _FIELD_VALUE
cdef int _NO_CONTENT, _NOT_MODIFIED, _RESET_CONTENT


@cython.final
@cython.no_gc  # as Request
@cython.freelist(64)
cdef class Response:
    # as the application gave them
    cdef public int status
    cdef public list headers
    cdef public bint trailers
    # what they mean for the framing and the connection
    cdef public Py_ssize_t content_length
    cdef public bint close
    cdef public bint has_date
    cdef public bint has_server

    cpdef take(self, int status, headers)
    @cython.locals(size="Py_ssize_t", lower=bytes)
    cdef bint _takes(self, bytes name, bytes value) except -1
    @cython.locals(buf="const unsigned char*", size="Py_ssize_t", i="Py_ssize_t", length="Py_ssize_t")
    cdef bint _take_length(self, bytes value) except -1


@cython.locals(buf="const unsigned char*", table="const unsigned char*", size="Py_ssize_t", i="Py_ssize_t")
cpdef int check_field(name, value) except -1
