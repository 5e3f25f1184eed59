cimport cython


@cython.final
cdef class Forwarding:
    cdef public tuple client
    cdef public str scheme
    cdef public bytes host
    cdef public str root_path


cdef class Forwarder:
    cpdef Forwarding read(self, list headers, str scheme)
