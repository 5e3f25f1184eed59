# State, changed by Connection.enter:
#
#   SERVING ──drain──► DRAINING
#      └──────┬───────────┘
#             ├──linger──► LINGERING ──eof, time, under TLS a pause──► CLOSED     no more is written, reads are dropped
#             └──close, abort, lost──────────────────────────────────► CLOSED

cdef int _LINGERING, _CLOSED


cdef class Closing:
    cdef object _connection
    cdef object _transport
    # under TLS, a descriptor of the socket's own, -1 for none
    cdef int _kept
    # bytes, when the peer's reading was last judged
    cdef Py_ssize_t _left_to_write
    # until when the peer's last bytes, or its reading, are waited for
    cdef double _patience

    cpdef close(self)
    cpdef linger(self, bint sending)
    cpdef keep_socket(self)
    cpdef on_lost(self)
    cpdef on_data(self)
    cpdef on_writable(self)
    cpdef on_deadline(self, double now)
    cdef Py_ssize_t _unacknowledged(self) except -1
    cdef _end_tls(self, double now)
    cdef _linger_in_tls(self, bint sending)
    cdef _await_pause(self)
    cdef _judge_pause(self, double now)
    cpdef watch_writing(self)
    cdef _judge_slow_reader(self)
    cdef _give_up_on_reader(self)
