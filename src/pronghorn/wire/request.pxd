cimport cython


@cython.final
@cython.no_gc  # it holds bytes, text and a list of them: no cycle can pass through it
@cython.freelist(64)
cdef class Request:
    # the request line
    cdef public str method
    cdef public bytes target
    cdef public str path
    cdef public bytes raw_path
    cdef public bytes query_string
    cdef public str http_version
    cdef public bint is_1_0
    # the fields
    cdef public list headers
    # what the fields say of the body
    cdef public Py_ssize_t content_length
    cdef public bint chunked
    cdef public bint has_body
    # what they say of the connection
    cdef public bint keep_alive
    cdef public bint expect_continue
    cdef public bint accepts_trailers
    cdef public bytes upgrade
