cimport cython

from pronghorn.asgi.source cimport Source

# What receive() has to say, in this order:
#
#   events of _queue ──► what make_room() brings in their place ──► _last, once it is there, for ever


cdef class Inbox(Source):
    # what the application has not taken, and about how many bytes that is
    cdef list _queue
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _most_queued
    # the event that ends it
    cdef dict _last

    cdef bint _is_full(self) except -1
    cdef int _put(self, dict event, Py_ssize_t size) except -1
    cdef int _put_last(self, dict event) except -1
    @cython.locals(queue=list, event=dict)
    cpdef dict take(self)
    cpdef dict last_event(self)
    cpdef make_room(self)
    cpdef on_asked(self)
