cimport cython

from pronghorn.wire.ws_masking cimport room, turned, unmask, unmask_into, unmasked

# State, of which _begin_frame(), _end_frame() and _end() are the only writers:
#
#   HEADER ──► PAYLOAD ─┬─ frame of a message, PING, PONG ──► HEADER
#      │          │     └─ CLOSE ──► CLOSED: what follows is dropped (RFC 6455 section 1.4)
#      └──────────┴──► FAILED, once a FrameError was raised
#
# Memory: _buffer holds what is not parsed yet, at most one incomplete frame once next() said NEED_DATA; _room the
# payload of a large frame instead, once an eighth of that has come; _message the frames before it of the same message.

cdef int _NEED_DATA, _MESSAGE, _GOT_PING, _GOT_PONG, _GOT_CLOSE, _GOT_FRAGMENT
cdef int _CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG
cdef int _HEADER, _PAYLOAD, _CLOSED, _FAILED
cdef int _PROTOCOL_ERROR, _NO_STATUS, _INVALID_DATA, _MESSAGE_TOO_BIG
cdef int _FIN, _RSV, _RSV1, _RSV2_3, _OPCODE, _MASKED, _LENGTH, _LENGTH_16, _LENGTH_64
cdef Py_ssize_t _DEFLATE_SLACK, _LARGE, _MOST_AHEAD, _SMALL_PART, _MOST_DECODED


@cython.final
cdef class FrameParser:
    cdef long long _max_size
    cdef Py_ssize_t _most_decoded
    cdef bint _deflate
    # bytes fed and not consumed: _buffer[_position:]
    cdef bytearray _buffer
    cdef Py_ssize_t _position
    cdef int _state
    # the frame in hand: its payload starts at _position, of which _seen bytes are unmasked and, if text, valid;
    cdef int _opcode
    cdef bint _fin
    cdef long long _length
    cdef long long _seen
    cdef unsigned int _key
    # or it is in room of its own, _filled bytes of it, unmasked; those from _seen on are _plain if they are ASCII
    cdef object _room
    cdef Py_ssize_t _filled
    cdef bint _plain
    # of a text that _keeps what is decoded: its parts up to _seen
    cdef bint _keeps
    cdef list _texts
    # the message in hand: TEXT, BINARY or 0 for none; its frames so far; the start of a character cut at their end
    cdef int _kind
    cdef bint _compressed
    cdef long long _deflated_size
    cdef bytearray _message
    cdef bytes _carry
    # a message that was fed whole and is the next event
    cdef bint _ready
    # the payload of the last event
    cdef readonly bint is_text
    cdef readonly bint is_deflated
    cdef readonly str text
    cdef readonly bytes data
    cdef readonly object payload
    cdef readonly int close_code
    cdef readonly str close_reason

    cpdef Py_ssize_t buffered(self)
    cpdef bint is_under_way(self) except -1
    @cython.locals(end="Py_ssize_t")
    cpdef feed(self, data)
    @cython.locals(have="Py_ssize_t")
    cpdef int next(self) except -1

    @cython.locals(
        buf="const unsigned char*", have="Py_ssize_t", i="Py_ssize_t", k="Py_ssize_t", first=int, length="long long",
        size="Py_ssize_t",
    )
    cdef bint _read_header(self) except -1
    @cython.locals(
        buf="const unsigned char*", size="Py_ssize_t", start="Py_ssize_t", length="Py_ssize_t", first=int,
        key="unsigned int", payload=bytes,
    )
    cdef bint _take_whole(self, data) except -1
    @cython.locals(buf="const unsigned char*", came="Py_ssize_t", end="Py_ssize_t", k="Py_ssize_t", length="long long")
    cdef bint _take_front(self, bytes data) except -1
    @cython.locals(is_ascii=bint)
    cdef _make_room(self, came)
    @cython.locals(end="Py_ssize_t")
    cdef Py_ssize_t _fill(self, data, Py_ssize_t start) except -1
    @cython.locals(opcode=int)
    cdef _check_first_bytes(self, int first, int second)
    @cython.locals(most="long long")
    cdef _check_size(self, long long length, int first)
    cdef int _begin_frame(self, int first, long long length) except -1
    @cython.locals(buf="const unsigned char*", start="Py_ssize_t", end="Py_ssize_t", seen="Py_ssize_t")
    cdef _look_ahead(self, Py_ssize_t have)
    @cython.locals(buf="const unsigned char*")
    cdef _look_into_room(self, Py_ssize_t have)
    @cython.locals(texts=list)
    cdef _keep(self, str text)
    @cython.locals(buf="const unsigned char*", start="Py_ssize_t", end="Py_ssize_t")
    cdef int _end_frame(self) except -1
    @cython.locals(buf="const unsigned char*")
    cdef int _end_large(self) except -1
    @cython.locals(code=int)
    cdef int _read_control(self, bytes payload) except -1
    cdef int _join(self, bytes payload) except -1
    cdef _deliver(self, whole, bytes last)
    cdef int _end_message(self) except -1
    @cython.locals(used="Py_ssize_t")
    cdef str _validate(self, bytes piece)
    cdef str _validate_last(self, bytes piece)
    cdef int _stay_ended(self) except -1
    cdef int _fail(self, int code, str reason) except -1
    cdef int _end(self, int state) except -1
