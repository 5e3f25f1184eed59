cimport cython

from pronghorn.asgi.awaitables cimport Done, Failed
from pronghorn.asgi.context cimport Context
from pronghorn.asgi.scope cimport Endpoint, endpoint_of, http_scope
from pronghorn.asgi.source cimport Source
from pronghorn.asgi.stream cimport Stream
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

# Receiving, changed by _set_receiving and, as events are taken, by take:
#
#   OPEN ──on_end──► COMPLETE ──taken──► TAKEN ──on_disconnect──► GONE
#    │                   └──on_disconnect──► COMPLETE_THEN_GONE ──taken──► GONE
#    └──on_disconnect──► GONE
#
# Sending, changed by _set_sending and, on the way to HELD, where nobody can be waiting, by _send_start:
#
#   IDLE ──start──► HELD ──body──► STREAMING ──last body──► DONE
#                    │              │  └──last body, trailers announced──► TRAILERS ──trailers──► DONE
#                    │              └──file──► FILE ──all handed over──► STREAMING, TRAILERS or DONE
#                    └──the only body──► DONE                (or TRAILERS; a file──► FILE)
#   IDLE … TRAILERS ──the connection is lost──► LOST;  ──a failure was answered or cut off──► LOST

# Peer, changed by on_disconnect:
#
#   HERE ──its end──► ENDED, or CUT in the middle of its content ──the connection is lost──► LOST  (also from HERE)

cdef int _PEER_HERE, _PEER_ENDED, _PEER_CUT, _PEER_LOST
cdef int _OPEN, _COMPLETE, _COMPLETE_THEN_GONE, _TAKEN, _GONE
cdef int _IDLE, _HELD, _STREAMING, _FILE, _TRAILERS, _DONE, _LOST
cdef Py_ssize_t _WHOLE
cdef Done _DONE_AWAITABLE
cdef object _monotonic


cdef class HttpExchange(Source):
    # the response
    cdef int _sending
    cdef list _held_trailers
    cdef object _file
    # content that the application has not taken
    cdef int _receiving
    cdef int _peer
    cdef list _chunks

    cpdef open(self, Context context, Stream stream, Request request, Endpoint endpoint)
    @cython.locals(context=Context)
    cpdef start(self)
    cdef bint _is_answered(self) except -1
    @cython.locals(chunks=list)
    cpdef on_data(self, bytes data)
    @cython.locals(unanswered=bint)
    cpdef on_disconnect(self, bint lost)
    cdef _tell_disconnect(self)
    @cython.locals(context=Context)
    cdef _abandon(self)
    cdef _end_with_client(self)
    cdef _answer(self, int status, int logged, str reason, tuple headers)
    cpdef _say_cancelled(self)
    cdef _answer_failure(self, int status)
    cdef _end_early(self)
    cpdef refuse(self, int status, str reason=*, tuple headers=*)
    cpdef cancel(self)

    @cython.locals(chunks=list, body=bytes, before=int)
    cpdef dict take(self)
    cpdef dict last_event(self)

    @cython.locals(before=int)
    cpdef send(self, message)
    cdef _failed(self, error)
    cdef _send(self, dict message)
    @cython.locals(response=Response)
    cdef _send_start(self, dict message)
    @cython.locals(more=bint, response=Response)
    cdef _send_body(self, dict message)
    cdef _end_with(self, bytes data)
    @cython.locals(response=Response, before=int)
    cdef _send_file(self, dict message, str kind)
    cpdef _on_file_end(self)
    cdef _send_trailers(self, dict message)
    cdef _send_early_hint(self, dict message)

    cdef _set_receiving(self, int state)
    cdef _set_sending(self, int state)
