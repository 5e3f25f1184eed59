cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.stream cimport Exchange

# What receive() has to say, in this order:
#
#   events of _queue ──► what make_room() brings in their place ──► _last, once it is there, for ever

cdef object _DONE_AWAITABLE


cdef class Inbox(Exchange):
    cdef Context _context
    # what the application has not taken, and about how many bytes that is
    cdef list _queue
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _most_queued
    # the event that ends it, and how often the application was told of the end
    cdef dict _last
    cdef int _told
    # tasks of the application that wait for an event, or for the peer to read
    cdef list _waiters

    cpdef receive(self)
    cdef bint _is_full(self) except -1
    cdef int _put(self, dict event, Py_ssize_t size) except -1
    cdef int _put_last(self, dict event) except -1
    cpdef dict take(self)
    cpdef bint ends_at_once(self) except -1
    cpdef make_room(self)
    cpdef on_asked(self)
    cpdef wait(self)
    cpdef forget(self, waiter)
    cdef int _wake(self) except -1


@cython.final
@cython.freelist(16)
cdef class Incoming:
    cdef Inbox _inbox
    cdef object _waiter
    cdef bint _rested

    @cython.locals(inbox=Inbox, event=dict)
    cpdef send(self, value)
