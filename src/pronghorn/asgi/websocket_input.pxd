cimport cython

from pronghorn.asgi.inbox cimport Inbox
from pronghorn.wire.ws_frames cimport FrameParser
from pronghorn.wire.ws_messages cimport Unpacker

cdef int _CLOSING
cdef int _NEED_DATA, _MESSAGE, _PING, _PONG, _CLOSE
cdef int _MOST_FRAMES, _MOST_PONGS
cdef long long _FRAME_COST
cdef Py_ssize_t _SHORT


cdef class WebSocketInput(Inbox):
    cdef int _state
    cdef FrameParser _parser
    cdef Unpacker _unpacker
    # bytes that were not taken from the parser, whether so many that reading has stopped, and whether no more will come
    cdef Py_ssize_t _held
    cdef bint _stalled
    cdef bint _peer_ended
    # whether anything came since the last ping; by when the message that is under way has to be complete, 0: none is
    cdef bint _heard
    cdef double _message_by
    # how it ended, 0 while it has not
    cdef readonly int close_code

    @cython.locals(parser=FrameParser)
    cpdef _read_frames(self)
    @cython.locals(event=int, frames=int, pings=int, last_ping=bytes, is_all=bint)
    cdef bint _take_frames(self, FrameParser parser) except -1
    @cython.locals(held="Py_ssize_t")
    cdef _consume(self)
    @cython.locals(text=str, data=bytes, size="Py_ssize_t")
    cdef _take_message(self, FrameParser parser)
    @cython.locals(unpacker=Unpacker)
    cpdef bint unpack(self, long long budget) except -1
    cdef _put_disconnect(self, int code, str reason)
    cdef _stop_timer(self)
    cdef _limit_backlog(self)

    cdef _answer_ping(self, bytes data)
    cdef _take_pong(self, bytes data)
    cdef _take_close(self, int code, str reason)
    cdef _refuse_frame(self, error)
    cdef _on_all_read(self, FrameParser parser)
    cdef _on_stalled(self)
