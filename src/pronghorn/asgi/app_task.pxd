cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.scope cimport Endpoint
from pronghorn.asgi.stream cimport Exchange, Stream
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

cdef object _Task, _is_done, _exception_of


cdef class AppTask(Exchange):
    cdef Context _context
    # the way back, and who is there
    cdef readonly Stream stream
    cdef public Endpoint endpoint
    # what hooks and loggers see of it, made by them
    cdef public object logged
    cdef public dict scope
    # the answer
    cdef readonly Response response
    cdef readonly int status
    cdef readonly double started
    cdef bint _observed
    # the task, while it runs; its contextvars; the timer that will cancel it
    cdef object _task
    cdef object _own_context
    cdef object _grace
    cdef bint _cancelling

    cdef _prepare(self, Context context, Stream stream, Request request, Endpoint endpoint)
    @cython.locals(context=Context)
    cdef _enter(self)
    @cython.locals(context=Context)
    cdef _new_task(self, coroutine, bint eager)
    cpdef remember(self, own)
    cdef _within(self, do, tuple arguments)
    cdef _follow(self, task, bint eager)
    cpdef _finish(self, task)
    cdef bint _is_answered(self) except -1
    cpdef _fail(self, error)
    cpdef _end_cancelled(self)
    cpdef _end_returned(self)
    cdef _log_exception(self, error)
    cpdef str describe(self)
    cdef _observe(self)
    cpdef _observe_here(self)
