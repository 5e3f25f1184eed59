cimport cython

from pronghorn.asgi.awaitables cimport Done, Failed
from pronghorn.asgi.context cimport Context
from pronghorn.asgi.inbox cimport Inbox
from pronghorn.asgi.scope cimport Endpoint, endpoint_of
from pronghorn.asgi.stream cimport Stream
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response
from pronghorn.wire.ws_frames cimport FrameParser
from pronghorn.wire.ws_writer cimport binary as binary_frame, header as frame_header, text as text_frame

# State, changed by _set_state:
#
#   CONNECTING ─┬─ websocket.accept ──► OPEN ──our close frame──► CLOSING ──the peer's, or time──► CLOSED
#               │                        └──the peer's close frame, a fault, its end, loss───────► CLOSED
#               ├─ websocket.http.response.start ──► DENYING ──its last body──► CLOSED
#               └─ websocket.close, a failure ──► CLOSED

cdef int _CONNECTING, _DENYING, _OPEN, _CLOSING, _CLOSED
cdef int _NEED_DATA, _MESSAGE, _PING, _PONG, _TEXT, _BINARY
cdef Py_ssize_t _LARGE
cdef Done _DONE_AWAITABLE
cdef object _monotonic


cdef class WebSocketExchange(Inbox):
    # the handshake
    cdef object _handshake
    cdef bint _denial
    # frames; bytes that were not taken from the parser's, and whether no more will come
    cdef int _state
    cdef FrameParser _parser
    cdef object _deflater
    cdef Py_ssize_t _held
    cdef bint _peer_ended
    # how it is to end once the application has had the messages before: code, reason, our frame,
    # and whether the peer has ended as well
    cdef tuple _verdict
    # keep-alive: the unanswered ping, when it was sent, and whether anything came since
    cdef bytes _ping
    cdef double _pinged
    cdef bint _heard
    cdef readonly double latency
    # the end
    cdef readonly int close_code

    cdef _end(self, int code, str reason)
    cdef _refuse(self, int status, str reason=*, tuple headers=*)

    cdef _end_of_input(self)
    cdef _abandon(self)
    cdef _send_ping(self)
    cdef _judge_silence(self)

    @cython.locals(parser=FrameParser, event=int, held="Py_ssize_t")
    cpdef _read_frames(self)
    @cython.locals(text=str, data=bytes)
    cdef _take_message(self, FrameParser parser)
    cdef _take_pong(self, bytes data)
    cdef _take_close(self, int code, str reason)
    cdef _refuse_frame(self, error)
    cdef _close_with(self, int code, str reason, bytes frame, bint ended)
    @cython.locals(state=int)
    cdef _end_with(self, int code, str reason, bytes frame, bint ended)
    cdef _send_close(self, int code, str reason)
    cdef _await_peer(self)
    cdef _put_disconnect(self, int code, str reason)

    cpdef send(self, message)
    cdef _send(self, dict message)
    cdef _send_message(self, dict message)
    cdef _send_large(self, int opcode, bytes payload)
    cdef _accept(self, dict message)
    cdef _close(self, dict message)
    cdef _deny(self, str kind, dict message)

    cdef int _set_state(self, int state) except -1
    cdef _observe_if_alone(self)
