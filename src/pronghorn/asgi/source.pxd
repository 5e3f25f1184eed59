cimport cython

from pronghorn.asgi.app_task cimport AppTask

cdef int MOST_TOLD_AT_ONCE
cdef object _receive, _Future, _is_done


cdef class Source(AppTask):
    # how often the application was told of the end
    cdef int _told
    # futures of the application's tasks that wait for an event, or for the peer to read; None for none
    cdef list _waiters

    cpdef dict take(self)
    cpdef dict last_event(self)
    cpdef bint ends_at_once(self) except -1
    cpdef wait(self)
    cpdef forget(self, waiter)
    @cython.locals(waiters=list)
    cdef int _wake(self) except -1
