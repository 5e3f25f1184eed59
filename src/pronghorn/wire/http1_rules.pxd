cimport cython


cdef dict _METHODS


@cython.final
cdef class Rules:
    # limits, in bytes (fields: a count)
    cdef readonly Py_ssize_t limit_request_line
    cdef readonly Py_ssize_t limit_request_fields
    cdef readonly Py_ssize_t limit_request_field_size
    cdef readonly Py_ssize_t limit_request_head
    # what else is let through
    cdef readonly bint permit_unconventional_http_method
    cdef readonly bint permit_unconventional_http_version
    cdef readonly bint casefold_http_method
    cdef readonly bint permit_obsolete_folding
    cdef readonly bint strip_header_spaces
    cdef readonly str header_map
    cdef readonly frozenset forwarder_headers
    cdef readonly bint forwards_all
    cdef public object on_dropped

    cpdef str method(self, bytes raw)
    cpdef int check_version(self, bytes version) except -1
    cpdef bint keeps(self, bytes name, bint in_trailer) except -1
