cimport cython

from pronghorn.logline cimport LineFormat, elapsed_since

cdef Py_ssize_t _MOST_AT_ONCE
cdef tuple _LOG_METHODS, _STREAM_METHODS, _FORMATTER_METHODS
cdef list _LOG_METHODS_BEFORE, _STREAM_METHODS_BEFORE, _FORMATTER_METHODS_BEFORE


@cython.final
cdef class AccessLog:
    # where lines go
    cdef object _logger
    cdef object _call_soon
    # how they are made; None leaves it to the logger
    cdef LineFormat _format
    cdef readonly bint timed
    cdef object _clock
    # of this loop iteration
    cdef list _lines

    cpdef log(self, exchange)
    cpdef log_shaped(self, exchange, req, resp, environ)
    cdef _call_access(self, exchange, req, resp, environ)
    cdef bint _gather(self, exchange) except -1
    cpdef flush(self)


@cython.locals(handlers=list)
cpdef list plain_handlers(log)
cdef bint _is_plain(handler) except -1
@cython.locals(i="Py_ssize_t")
cdef bint _is_untouched(kind, tuple names, list before) except -1
@cython.locals(first="Py_ssize_t", size="Py_ssize_t", length="Py_ssize_t", i="Py_ssize_t", line=str)
cdef _write(log, handler, list lines)
cdef _write_together(log, handler, list lines, str end)
