"""WebSocket frames, server side: bytes in, whole messages out (RFC 6455); ``ws_writer`` makes the frames to send back.

A pull parser: what is not asked for is not parsed, so that whoever reads decides how much is under way. It
owns framing (section 5), fragmentation (5.4), UTF-8 (8.1), close codes (7.4) and the limit on the size of a
message. What would take more memory than its bytes, inflated or decoded, it hands over as it came. It knows
nothing of sockets, time or ASGI, and answers nothing itself: a PING is an event, and so is a CLOSE.
"""

from __future__ import annotations

from codecs import utf_8_decode
from enum import IntEnum
from typing import Any, NoReturn

from pronghorn.wire.ws_masking import room, turned, unmask, unmask_into, unmasked
from pronghorn.wire.ws_vocabulary import (
    FIN,
    LENGTH_16,
    LENGTH_64,
    MASKED,
    MOST_CONTROL,
    RSV1,
    CloseCode,
    FrameError,
    Opcode,
    is_close_code,
)


class Event(IntEnum):
    """What ``FrameParser.next`` found."""

    NEED_DATA = 0
    MESSAGE = 1  # parser.is_text tells whether parser.text or parser.data holds it, unless parser.payload does
    PING = 2  # parser.data
    PONG = 3  # parser.data
    CLOSE = 4  # parser.close_code, parser.close_reason; nothing follows
    FRAGMENT = 5  # a frame that does not end its message: nothing to do but to count it


class State(IntEnum):
    """Where in a frame the parser stands; drawn in ``ws_frames.pxd``."""

    HEADER = 0
    PAYLOAD = 1
    CLOSED = 2
    FAILED = 3


_NEED_DATA = int(Event.NEED_DATA)
_MESSAGE = int(Event.MESSAGE)
_GOT_PING = int(Event.PING)
_GOT_PONG = int(Event.PONG)
_GOT_CLOSE = int(Event.CLOSE)
_GOT_FRAGMENT = int(Event.FRAGMENT)

_CONTINUATION = int(Opcode.CONTINUATION)
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING = int(Opcode.PING)
_PONG = int(Opcode.PONG)

_HEADER = int(State.HEADER)
_PAYLOAD = int(State.PAYLOAD)
_CLOSED = int(State.CLOSED)
_FAILED = int(State.FAILED)

_PROTOCOL_ERROR = int(CloseCode.PROTOCOL_ERROR)
_NO_STATUS = int(CloseCode.NO_STATUS)
_INVALID_DATA = int(CloseCode.INVALID_DATA)
_MESSAGE_TOO_BIG = int(CloseCode.MESSAGE_TOO_BIG)

_FIN, _RSV, _RSV1, _RSV2_3, _OPCODE = FIN, 0x70, RSV1, 0x30, 0x0F
_MASKED, _LENGTH, _LENGTH_16, _LENGTH_64 = MASKED, 0x7F, LENGTH_16, LENGTH_64

#: What deflate may take beyond what it inflates to: fixed codes cost at most an eighth, and blocks this.
_DEFLATE_SLACK = 1024

#: From this length on, the least that a header of eight bytes of length may tell, a frame gets room of its own.
_LARGE = 0x10000
#: What a header announces need never come: room is made for at most so many times what has.
_MOST_AHEAD = 8
#: Parts of a text that are shorter than this are joined with the ones before, so that they stay few.
_SMALL_PART = 16384
#: One character that needs four bytes makes all of a string take four for each: a text that is not ASCII is decoded
#: for the application only if it takes, so decoded, no more than what a message may have; but 64 KiB always, and
#: never more than this.
_MOST_DECODED = 1 << 20


class FrameParser:
    """Parses what one client sends after the handshake.

    Of the last event: ``is_text`` with ``text``: str or ``data``: bytes, a message; ``payload``: bytes or
    bytearray of a message that is still to be inflated (``is_deflated``), or is text that is valid and still
    to be decoded, and else None; ``data``, the payload of a PING or PONG; ``close_code``: int, 1005 where the
    client gave none, and ``close_reason``: str, of a CLOSE.
    """

    def __init__(self, max_size: int = 0, deflate: bool = False) -> None:
        """``max_size``: bytes of a message that is still taken; 0 for no limit. ``deflate``: it may be compressed."""
        self._max_size = max_size
        self._most_decoded = min(_MOST_DECODED, max(max_size >> 2, _LARGE)) if max_size else _MOST_DECODED
        self._deflate = deflate
        self._buffer = bytearray()
        self._position = 0
        self._state = _HEADER
        self._opcode = 0
        self._fin = False
        self._length = 0
        self._seen = 0
        self._key = 0
        self._room: Any = None
        self._filled = 0
        self._plain = True
        self._keeps = False
        self._texts: list[str] = []
        self._kind = 0
        self._compressed = False
        self._deflated_size = 0
        self._message = bytearray()
        self._carry = b""
        self._ready = False
        self.is_text = False
        self.is_deflated = False
        self.text = ""
        self.data = b""
        self.payload: bytes | bytearray | None = None
        self.close_code = 0
        self.close_reason = ""

    @property
    def state(self) -> State:
        """Where the parser stands."""
        return State(self._state)

    def buffered(self) -> int:
        """Return how many bytes are held: fed and not consumed, or of a message that is not complete.

        After NEED_DATA they all belong to an incomplete message, which only more data can complete.
        """
        return len(self._buffer) - self._position + self._filled + len(self._message)

    def is_under_way(self) -> bool:
        """Whether a message or a frame has begun and is not complete, though perhaps nothing of it is held."""
        return self._kind != 0 or self._state == _PAYLOAD or len(self._buffer) > self._position

    def feed(self, data: bytes) -> None:
        """Append what the client sent. After a CLOSE or an error it is dropped."""
        if self._state >= _CLOSED or self._take_whole(data):
            return
        if self._room is not None:
            data = bytes(data)
            end = self._fill(data, 0)
            if end == len(data):
                return
            data = data[end:]
        # Dropping the consumed front only once it is half of all keeps the total cost linear in what is fed.
        if self._position and self._position * 2 >= len(self._buffer):
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next(self) -> int:
        """Return the next ``Event``, as an int. Raises ``FrameError``, and again on every later call."""
        if self._ready:
            self._ready = False
            return _MESSAGE
        self.text = ""
        self.data = b""
        self.payload = None
        if self._state >= _CLOSED:
            return self._stay_ended()
        while self._state == _PAYLOAD or self._read_header():
            have = len(self._buffer) - self._position if self._room is None else self._filled
            if have < self._length:
                self._look_ahead(have)
                return _NEED_DATA
            return self._end_frame()
        return _NEED_DATA

    def _take_whole(self, data: bytes) -> bool:
        """Take ``data`` where it is one whole message of less than 64 KiB and nothing else, as most reads are.

        So it is buffered nowhere. What is anything else, or not legal, is left to the buffer and ``next``.
        """
        size = len(data)
        if self._state != _HEADER or self._kind or self._ready or self._position != len(self._buffer):
            return False
        if size < 8 or type(data) is not bytes:
            return False
        buf = data
        first = buf[0]
        if (first != _FIN | _TEXT and first != _FIN | _BINARY) or buf[1] < _MASKED:
            return False
        start = 6
        length = buf[1] & _LENGTH
        if length >= _LENGTH_16:
            if length == _LENGTH_64:
                return self._take_front(data)
            start = 8
            length = buf[2] << 8 | buf[3]
            if length < _LENGTH_16:
                return False
        if size - start != length or (self._max_size and length > self._max_size):
            return False
        key = buf[start - 4] << 24 | buf[start - 3] << 16 | buf[start - 2] << 8 | buf[start - 1]
        payload = unmasked(data, start, size, key)
        self.payload = None
        self.is_text = first == _FIN | _TEXT
        if self.is_text:
            try:
                self.text = payload.decode("utf-8")
            except UnicodeDecodeError:
                return False
            self.data = b""
        else:
            self.text = ""
            self.data = payload
        self._ready = True
        return True

    def _take_front(self, data: bytes) -> bool:
        """Take ``data`` where it is the front of a large message, so that all of that is buffered nowhere."""
        came = len(data) - 14
        buf = data
        if came <= 0 or buf[2] & 0x80:
            return False
        length = 0
        for k in range(2, 10):
            length = length << 8 | buf[k]
        if length < _LARGE or length > came * _MOST_AHEAD or (self._max_size and length > self._max_size):
            return False
        self._key = buf[10] << 24 | buf[11] << 16 | buf[12] << 8 | buf[13]
        self._begin_frame(buf[0], length)
        self._make_room(b"")
        end = self._fill(data, 14)
        if end < len(data):
            self._buffer += data[end:]
        return True

    def _make_room(self, came: bytes | bytearray) -> None:
        """Have the payload of the frame in hand, of which ``came`` is unmasked, in room of its own, not the buffer."""
        self._room = room(self._length)
        self._filled = len(came)
        self._keeps = (
            self._opcode == _TEXT and self._fin and not self._compressed and self._length <= self._most_decoded
        )
        is_ascii = unmask_into(self._room, 0, came, 0, len(came), 0)
        self._plain = is_ascii or not self._keeps
        if self._keeps:
            # What was validated is looked at once more, for now it can be kept.
            self._seen = 0
            self._carry = b""
        self._buffer.clear()
        self._position = 0

    def _fill(self, data: bytes | bytearray, start: int) -> int:
        """Unmask what ``data`` has from ``start`` on of the frame in hand to its room; return where that ends."""
        end = min(len(data), start + self._length - self._filled)
        if not unmask_into(self._room, self._filled, data, start, end, self._key):
            self._plain = False
        self._key = turned(self._key, end - start)
        self._filled += end - start
        return end

    def _read_header(self) -> bool:
        have = len(self._buffer) - self._position
        if have < 2:
            if have == 0 and self._position:
                self._buffer.clear()
                self._position = 0
            return False
        buf = self._buffer
        i = self._position
        first = buf[i]
        self._check_first_bytes(first, buf[i + 1])
        length = buf[i + 1] & _LENGTH
        i += 2
        have -= 2
        if length >= _LENGTH_16:
            size = 2 if length == _LENGTH_16 else 8
            if have < size:
                return False
            if size == 8 and buf[i] & 0x80:
                self._fail(_PROTOCOL_ERROR, "frame length of 2^63 or more")
            length = 0
            for k in range(size):
                length = length << 8 | buf[i + k]
            if length < (_LENGTH_16 if size == 2 else 0x10000):
                self._fail(_PROTOCOL_ERROR, "frame length not in its shortest form")
            i += size
            have -= size
        if first & _OPCODE < _CLOSE:
            self._check_size(length, first)
        if have < 4:
            return False
        self._key = 0
        for k in range(4):
            self._key = self._key << 8 | buf[i + k]
        self._position = i + 4
        self._begin_frame(first, length)
        return True

    def _check_first_bytes(self, first: int, second: int) -> None:
        """Refuse what RFC 6455 section 5.2, 5.4 and 5.5 rule out."""
        opcode = first & _OPCODE
        if not second & _MASKED:
            self._fail(_PROTOCOL_ERROR, "frame not masked")
        if opcode >= _CLOSE:
            if opcode > _PONG:
                self._fail(_PROTOCOL_ERROR, "reserved opcode")
            if first & _RSV:
                self._fail(_PROTOCOL_ERROR, "reserved bit set")
            if not first & _FIN:
                self._fail(_PROTOCOL_ERROR, "fragmented control frame")
            if second & _LENGTH > MOST_CONTROL:
                self._fail(_PROTOCOL_ERROR, "control frame over 125 bytes")
            if opcode == _CLOSE and second & _LENGTH == 1:
                self._fail(_PROTOCOL_ERROR, "close frame with half a code")
            return
        if opcode > _BINARY:
            self._fail(_PROTOCOL_ERROR, "reserved opcode")
        if opcode == _CONTINUATION and not self._kind:
            self._fail(_PROTOCOL_ERROR, "continuation of no message")
        if opcode != _CONTINUATION and self._kind:
            self._fail(_PROTOCOL_ERROR, "new message before the end of the last")
        # RFC 7692 section 6: RSV1 marks a compressed message, on its first frame only.
        if first & _RSV2_3 or (first & _RSV1 and (opcode == _CONTINUATION or not self._deflate)):
            self._fail(_PROTOCOL_ERROR, "reserved bit set")

    def _check_size(self, length: int, first: int) -> None:
        if not self._max_size:
            return
        most = self._max_size - len(self._message)
        if self._compressed or first & _RSV1:
            # Who inflates it counts the message; this bounds what is kept for that.
            most = self._max_size + (self._max_size >> 3) + _DEFLATE_SLACK - self._deflated_size
        if length > most:
            self._fail(_MESSAGE_TOO_BIG, "message too big")

    def _begin_frame(self, first: int, length: int) -> None:
        self._state = _PAYLOAD
        self._opcode = first & _OPCODE
        self._fin = first & _FIN != 0
        self._length = length
        self._seen = 0
        if self._opcode == _TEXT or self._opcode == _BINARY:
            self._kind = self._opcode
            self._compressed = first & _RSV1 != 0

    def _look_ahead(self, have: int) -> None:
        """Unmask what came so far of a frame; validate text, so that it fails before its frame ends."""
        if have == self._seen or self._opcode >= _CLOSE:
            return
        if self._room is not None:
            self._look_into_room(have)
            return
        seen = self._seen
        self._seen = have
        start = self._position + seen
        end = self._position + have
        unmask(self._buffer, start, end, self._key)
        self._key = turned(self._key, have - seen)
        if self._kind == _TEXT and not self._compressed:
            buf = self._buffer
            self._validate(buf[start:end])
        if self._length >= _LARGE and self._length <= have * _MOST_AHEAD:
            self._make_room(self._buffer[self._position : end])

    def _look_into_room(self, have: int) -> None:
        """Validate text, and keep what is decoded for that, so as not to do it again; ASCII needs neither."""
        if self._kind == _TEXT and not self._compressed and (self._carry or not self._plain):
            buf = self._room
            text = self._validate(buf[self._seen : have])
            if self._keeps:
                self._keep(text)
        elif self._keeps:
            return  # not seen: what is kept has no gaps, and while all is ASCII nothing need be kept
        self._seen = have
        self._plain = True

    def _keep(self, text: str) -> None:
        """Add to what is kept of the text in the room, small parts as a binary counter adds its ones."""
        texts = self._texts
        while texts and len(text) < _SMALL_PART and len(texts[-1]) < 2 * len(text):
            text = texts.pop() + text
        if text:
            texts.append(text)

    def _end_frame(self) -> int:
        self._state = _HEADER
        if self._room is not None:
            return self._end_large()
        start = self._position
        end = start + self._length
        unmask(self._buffer, start + self._seen, end, self._key)
        self._position = end
        buf = self._buffer
        if self._opcode >= _CLOSE:
            return self._read_control(b"" + buf[start:end])
        if not self._fin or self._compressed or self._opcode == _CONTINUATION or self._length > self._most_decoded:
            return self._join(buf[start:end])
        if self._kind == _TEXT:
            try:
                self.text = buf[start:end].decode("utf-8")
            except UnicodeDecodeError:
                self._fail(_INVALID_DATA, "text not valid UTF-8")
        else:
            # Compiled, the slice is bytes already, which b"" + returns as it is; bytes() would cost 0.1 µs.
            self.data = b"" + buf[start:end]
        return self._end_message()

    def _end_large(self) -> int:
        payload = self._room
        self._room = None
        self._filled = 0
        if not self._fin or self._compressed or self._opcode == _CONTINUATION:
            return self._join(payload)
        buf = payload
        if self._texts:
            self._texts.append(self._validate_last(buf[self._seen : self._length]))
            self.text = "".join(self._texts)
            self._texts.clear()
        else:
            self._deliver(payload, payload)
        return self._end_message()

    def _read_control(self, payload: bytes) -> int:
        if self._opcode == _PING:
            self.data = payload
            return _GOT_PING
        if self._opcode == _PONG:
            self.data = payload
            return _GOT_PONG
        code = _NO_STATUS
        if payload:
            code = payload[0] << 8 | payload[1]
            if not is_close_code(code):
                self._fail(_PROTOCOL_ERROR, "close code not allowed")
            try:
                self.close_reason = payload[2:].decode("utf-8")
            except UnicodeDecodeError:
                self._fail(_INVALID_DATA, "close reason not valid UTF-8")
        self.close_code = code
        self._end(_CLOSED)
        return _GOT_CLOSE

    def _join(self, payload: bytes | bytearray) -> int:
        """Add a frame to a message that is fragmented or compressed."""
        if self._compressed:
            self._deflated_size += len(payload)
        if self._fin and not self._message:
            self._deliver(payload, payload)
            return self._end_message()
        self._message += payload
        if self._fin:
            self._deliver(self._message, payload)
            return self._end_message()
        if self._kind == _TEXT and not self._compressed:
            self._validate(payload[self._seen :])
        return _GOT_FRAGMENT

    def _deliver(self, whole: bytes | bytearray, last: bytes | bytearray) -> None:
        """Hand over a message. ``last``: the payload of its last frame; what is before that was validated."""
        if self._compressed:
            self.payload = whole
        elif self._kind != _TEXT:
            self.data = bytes(whole)
        elif len(whole) <= self._most_decoded or whole.isascii():
            try:
                self.text = whole.decode("utf-8")
            except UnicodeDecodeError:
                self._fail(_INVALID_DATA, "text not valid UTF-8")
        else:
            self._validate_last(last[self._seen :])
            self.payload = whole

    def _end_message(self) -> int:
        self.is_text = self._kind == _TEXT
        self.is_deflated = self._compressed
        self._kind = 0
        self._compressed = False
        self._deflated_size = 0
        if self._message:
            self._message = bytearray()
        self._carry = b""
        return _MESSAGE

    def _validate(self, piece: bytes | bytearray) -> str:
        """Decode the next piece of a text that is not complete; a character may be cut at its end."""
        if self._carry:
            piece = self._carry + piece
        try:
            text, used = utf_8_decode(piece, "strict", False)
            self._carry = bytes(piece[used:])
        except UnicodeDecodeError:
            self._fail(_INVALID_DATA, "text not valid UTF-8")
        # The codec waits for the third byte of a surrogate, for error handlers that let it pass.
        if b"\xed\xa0" <= self._carry < b"\xee":
            self._fail(_INVALID_DATA, "text not valid UTF-8")
        return text

    def _validate_last(self, piece: bytes | bytearray) -> str:
        """As ``_validate``, of the end of a text."""
        text = self._validate(piece)
        if self._carry:
            self._fail(_INVALID_DATA, "text not valid UTF-8")
        return text

    def _stay_ended(self) -> int:
        if self._state == _FAILED:
            raise FrameError(self.close_code, self.close_reason)
        return _NEED_DATA

    def _fail(self, code: int, reason: str) -> NoReturn:
        self._end(_FAILED)
        self.close_code = code
        self.close_reason = reason
        raise FrameError(code, reason) from None

    def _end(self, state: int) -> None:
        self._state = state
        self._position = 0
        self._buffer = bytearray()
        self._room = None
        self._filled = 0
        self._texts = []
        self._message = bytearray()
        self._kind = 0
