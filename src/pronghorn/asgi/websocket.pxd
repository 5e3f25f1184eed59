cimport cython

from pronghorn.asgi.awaitables cimport Done, Failed
from pronghorn.asgi.context cimport Context
from pronghorn.asgi.scope cimport Endpoint, endpoint_of
from pronghorn.asgi.stream cimport Stream
from pronghorn.asgi.websocket_input cimport WebSocketInput
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response
from pronghorn.wire.ws_frames cimport FrameParser
from pronghorn.wire.ws_session cimport Session
from pronghorn.wire.ws_writer cimport binary as binary_frame, header as frame_header, text as text_frame

# State, changed by _set_state:
#
#   CONNECTING ─┬─ websocket.accept ──► OPEN ──our close frame──► CLOSING ──the peer's, or time──► CLOSED
#               │                        └──the peer's close frame, a fault, its end, loss───────► CLOSED
#               ├─ websocket.http.response.start ──► DENYING ──its last body──► CLOSED
#               └─ websocket.close, a failure ──► CLOSED

cdef int _CONNECTING, _DENYING, _OPEN, _CLOSING, _CLOSED
cdef int _PING_DUE, _PONG_DUE, _CLOSE_DUE, _TEXT, _BINARY
cdef double _LOOK, _AT_ONCE
cdef Py_ssize_t _LARGE
cdef Done _DONE_AWAITABLE
cdef object _monotonic


cdef class WebSocketExchange(WebSocketInput):
    # the handshake
    cdef object _handshake
    cdef bint _denial
    # what goes out, and what is waited for, while it is open
    cdef object _deflater
    cdef Session _session
    # how it is to end once the application has had the messages before: code, reason, our frame,
    # and whether the peer has ended as well
    cdef tuple _verdict
    # when the last ping was sent, seconds of time.monotonic
    cdef double _pinged
    cdef readonly double latency

    cdef _end(self, int code, str reason)
    cdef _refuse(self, int status, str reason=*, tuple headers=*, bint gone=*)

    cdef _lose(self)
    cdef _end_of_input(self)
    cdef _limit_answer(self)
    cdef _look_after(self, Session session, double now)
    cdef _judge_silence(self, Session session)
    cdef _abandon(self)

    @cython.locals(session=Session, now=double, timeout=double, is_news=bint)
    cdef _on_all_read(self, FrameParser parser)
    @cython.locals(session=Session)
    cdef _take_pong(self, bytes data)
    cdef _close_with(self, int code, str reason, bytes frame, bint ended)
    @cython.locals(state=int)
    cdef _end_with(self, int code, str reason, bytes frame, bint ended)
    cdef _send_close(self, int code, str reason)
    @cython.locals(session=Session)
    cdef _begin_end(self)
    @cython.locals(session=Session)
    cdef _end_sooner(self)
    @cython.locals(session=Session, now=double, is_ending=bint, most=double)
    cdef _await_peer(self)

    cpdef send(self, message)
    cdef _send(self, dict message)
    cdef _send_message(self, dict message)
    cdef _send_large(self, int opcode, bytes payload)
    cdef _accept(self, dict message)
    cdef _close(self, dict message)
    cdef _deny(self, str kind, dict message)

    cdef int _set_state(self, int state) except -1
    cdef _observe_if_alone(self)
