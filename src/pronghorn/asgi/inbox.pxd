cimport cython

from pronghorn.asgi.round cimport Round
from pronghorn.asgi.source cimport Source

# What receive() has to say, in this order:
#
#   events of _queue ──► what make_room() brings in their place ──► _last, once it is there, for ever

cdef Py_ssize_t _MOST_AT_ONCE, _EVENT_SIZE
cdef long long _EVENT_COST, _FIRST_SHARE


cdef class Inbox(Source):
    # what the application has not taken, and about how many bytes that is; what is no dict is packed
    cdef list _queue
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _most_queued
    # how often it asked and there was something; of those, before it last waited for the loop
    cdef Py_ssize_t _taken
    cdef Py_ssize_t _taken_before
    # whether the next round is waited for; whether the first of the queue is unpacked in this round and the next
    cdef bint _awaits_round
    cdef bint _is_large
    # whether it has taken an event and not asked for more: it may be about to answer
    cdef bint _is_answering
    # the event that ends it
    cdef dict _last

    cdef bint _is_full(self) except -1
    cdef int _put(self, event, Py_ssize_t size) except -1
    cdef int _put_last(self, dict event) except -1
    cdef _drop_queue(self)
    @cython.locals(queue=list, event=dict)
    cpdef dict take(self)
    @cython.locals(round=Round)
    cdef bint _may_take(self) except -1
    cdef _await_round(self)
    cpdef on_round(self)
    @cython.locals(queue=list)
    cpdef bint go_on(self, long long budget) except -1
    cpdef bint unpack(self, long long budget) except -1
    cpdef dict last_event(self)
    cpdef make_room(self)
    cpdef on_asked(self)
