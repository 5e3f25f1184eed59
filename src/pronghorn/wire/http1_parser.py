"""HTTP/1 requests: bytes in, events out, one event a call (RFC 9112).

A pull parser: what is not asked for is not parsed, so that whoever reads decides how much is under way. It knows
nothing of sockets, time or ASGI. Lines are consumed as they complete: what is kept between two reads is at most one
unfinished line, which is not read again until what completes it may have come (``ReadBuffer``). It is strict; what
Gunicorn has a switch for can be allowed through ``Rules``.
"""

from __future__ import annotations

from pronghorn.wire import chars
from pronghorn.wire.errors import ProtocolError, shown
from pronghorn.wire.field_names import known_name
from pronghorn.wire.http1_events import Event as Event
from pronghorn.wire.http1_events import State as State
from pronghorn.wire.http1_folding import Folds
from pronghorn.wire.http1_framing import settle
from pronghorn.wire.http1_rules import Rules
from pronghorn.wire.http1_target import decoded, read_other_form
from pronghorn.wire.http1_vocabulary import CHUNK_EXTENSIONS, FORBIDDEN_TRAILERS, METHODS
from pronghorn.wire.read_buffer import ReadBuffer
from pronghorn.wire.request import GET, Request, unread_request

_NEED_DATA = int(Event.NEED_DATA)
_HEAD = int(Event.HEAD)
_DATA = int(Event.DATA)
_END = int(Event.END)

_REQUEST_LINE = int(State.REQUEST_LINE)
_FIELDS = int(State.FIELDS)
_LENGTH_BODY = int(State.LENGTH_BODY)
_CHUNK_SIZE = int(State.CHUNK_SIZE)
_CHUNK_DATA = int(State.CHUNK_DATA)
_CHUNK_END = int(State.CHUNK_END)
_TRAILERS = int(State.TRAILERS)
_FAILED = int(State.FAILED)

_TAB, _LF, _CR, _SP, _COLON, _QUESTION, _SLASH, _SEMICOLON = 9, 10, 13, 32, 58, 63, 47, 59
#: The first byte of a TLS record that opens a connection (RFC 8446 section 5.1).
_TLS_HANDSHAKE = 22
_UNDERSCORE_MARK = chars.UNDERSCORE_MARK
_DECODE_MARK = chars.DECODE_MARK
_METHOD = chars.METHOD
_PATH = chars.PATH
_QUERY = chars.QUERY
_FIELD_NAME = chars.FIELD_NAME
_FIELD_VALUE = chars.FIELD_VALUE
_HEX_VALUE = chars.HEX_VALUE
#: What may follow and leave an unfinished line as undecided as it is.
_NOTHING = b""
_METHOD_FILLER = chars.members(chars.METHOD)
_PATH_FILLER = chars.members(chars.PATH)
_QUERY_FILLER = chars.members(chars.QUERY)
_NAME_FILLER = chars.members(chars.FIELD_NAME)
_VALUE_FILLER = chars.members(chars.FIELD_VALUE)
_SPACES = b" \t"
_ZEROS = b"0"
_ALL_BUT_LF = bytes(byte for byte in range(256) if byte != _LF)
_CONNECT = METHODS[b"CONNECT"]

#: Empty lines a robust server skips before a request line (RFC 9112 section 2.2).
_MOST_EMPTY_LINES = 8
#: A chunk size line longer than this carries extensions that nobody sends.
_MOST_CHUNK_LINE = 1024
#: The least size of fifteen hexadecimal digits, which is as many as there may be behind leading zeros.
_FIFTEEN_DIGITS = 1 << 56


class Http1Parser:
    """Parses the requests of one connection, in order.

    ``request``: the ``Request`` of the last HEAD. ``data``: bytes of the last DATA. ``trailers``: of the last END.
    """

    __slots__ = (
        "_authority",
        "_buffer",
        "_dropped",
        "_empty_lines",
        "_error",
        "_folds",
        "_head_size",
        "_remaining",
        "_rules",
        "_state",
        "data",
        "request",
        "trailers",
    )

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._buffer: ReadBuffer = ReadBuffer()
        self._state = _REQUEST_LINE
        self._head_size = 0
        self._empty_lines = 0
        self._remaining = 0
        self._dropped = False
        self._folds: Folds | None = None
        self._authority: bytes | None = None
        self._error: tuple[int, str, tuple[tuple[bytes, bytes], ...], str] = (400, "", (), "")
        self.request: Request = None  # type: ignore[assignment]  # set before any event is returned
        self.data = b""
        self.trailers: list[tuple[bytes, bytes]] = []

    @property
    def state(self) -> State:
        return State(self._state)

    def is_between_messages(self) -> bool:
        """Whether no message has begun: nothing is buffered and the last one is complete."""
        return self._state == _REQUEST_LINE and self._buffer.size() == 0

    def buffered(self) -> int:
        """Return the number of bytes fed and not consumed yet; where there are none, none is kept."""
        return 0 if self._buffer.release() else self._buffer.size()

    def so_far(self) -> Request:
        """Return the request in hand as far as it was read, for the log: one that failed, or is not complete."""
        return self.request if self._state != _REQUEST_LINE else unread_request(self._buffer.beginning())

    def feed(self, data: bytes) -> int:
        """Append ``data``; return the number of bytes that wait. Call ``next`` until it returns NEED_DATA."""
        return self._buffer.feed(data)

    def take_rest(self) -> bytes:
        """Return what was fed and not consumed: the connection leaves HTTP/1 (RFC 9110 section 7.8)."""
        return self._buffer.take_all()

    def next(self) -> int:
        """Return the next ``Event`` as an int. Raises ProtocolError, then the same on every later call."""
        buffer = self._buffer
        if buffer.waiting:
            if buffer.is_undecided():
                return _NEED_DATA
            buffer.take_more()
        try:
            event = self._next()
            while event == _NEED_DATA and buffer.take_more():
                event = self._next()
            return event
        except ProtocolError as error:
            self.request = self.so_far()
            self._state = _FAILED
            # Not the exception itself: its traceback refers to this frame, and that to the parser.
            self._error = (error.status, error.reason, error.headers, error.setting)
            buffer.clear()
            raise

    def _next(self) -> int:
        if self._state == _LENGTH_BODY:
            return self._read_data(_LENGTH_BODY)
        if self._state == _REQUEST_LINE:
            if not self._read_request_line():
                return _NEED_DATA
            self._state = _FIELDS
        if self._state == _FIELDS:
            if not self._read_fields(self.request.headers):
                return _NEED_DATA
            return self._finish_head()
        if self._state == _FAILED:
            raise ProtocolError(*self._error)
        return self._next_chunked()

    def _next_chunked(self) -> int:
        while True:
            if self._state == _CHUNK_DATA:
                return self._read_data(_CHUNK_END)
            if self._state == _CHUNK_END:
                if not self._read_chunk_end():
                    return _NEED_DATA
                self._state = _CHUNK_SIZE
            if self._state == _CHUNK_SIZE:
                if not self._read_chunk_size():
                    return _NEED_DATA
                if self._remaining:
                    self._state = _CHUNK_DATA
                    continue
                self._state = _TRAILERS
                self._head_size = 0
                self._dropped = False
                self.trailers = []
            if not self._read_fields(self.trailers):
                return _NEED_DATA
            self._check_trailers()
            self._begin_next_message()
            return _END

    def _begin_next_message(self) -> None:
        self._state = _REQUEST_LINE
        self._dropped = False
        self._head_size = 0
        self._empty_lines = 0

    def _finish_head(self) -> int:
        settle(self.request, self._authority)
        if self.request.chunked:
            self._state = _CHUNK_SIZE
        elif self.request.has_body:
            self._state = _LENGTH_BODY
            self._remaining = self.request.content_length
        else:
            self._begin_next_message()
        return _HEAD

    def _read_request_line(self) -> int:
        """Read a request line (RFC 9112 section 3): 1 when done, 0 when bytes are missing."""
        data = self._buffer.data
        buf = data
        size = len(data)
        start = self._buffer.position
        while start < size and (buf[start] == _CR or buf[start] == _LF):
            if not self._skip_empty_line(start):
                return 0
            start = self._buffer.position
        methods = _METHOD
        paths = _PATH
        queries = _QUERY
        i = start
        while i < size and methods[buf[i]]:
            i += 1
        if i == size:
            return self._await_request_line(start, size, _METHOD_FILLER)
        if buf[i] != _SP or i == start:
            self._check_line_limit(i - start)
            raise ProtocolError(400, self._odd_first_byte(start))
        method_end = i
        i += 1
        target_start = i
        marks = 0
        while i < size and paths[buf[i]]:
            marks |= paths[buf[i]]
            i += 1
        path_end = i
        if i < size and buf[i] == _QUESTION:
            i += 1
            while i < size and queries[buf[i]]:
                i += 1
        target_end = i
        self._check_line_limit(i - start)
        if i == size:
            return self._await_request_line(start, size, _PATH_FILLER if i == path_end else _QUERY_FILLER)
        if buf[i] != _SP:
            raise ProtocolError(400, "Invalid character in the request target")
        end = self._read_version(i + 1, start)
        if end == 0:
            return self._await_request_line(start, size, _ALL_BUT_LF)
        self._check_line_limit(end - start)
        request = self.request
        if method_end - start == 3 and buf[start] == 71 and buf[start + 1] == 69 and buf[start + 2] == 84:
            request.method = GET
        else:
            request.method = self._rules.method(buf[start:method_end])
        request.target = buf[target_start:target_end]
        self._authority = None
        if buf[target_start] == _SLASH and request.method is not _CONNECT:
            if path_end == target_end:
                request.raw_path = request.target
            else:
                request.raw_path = buf[target_start:path_end]
                request.query_string = buf[path_end + 1 : target_end]
            if marks & _DECODE_MARK:
                request.path = decoded(request.raw_path)
            else:
                request.path = request.raw_path.decode("ascii")
        else:
            self._authority = read_other_form(request, request.target)
        self._buffer.position = end + 2
        self._head_size = end + 2 - start
        return 1

    def _check_line_limit(self, size: int) -> int:
        """Whatever else is wrong with a line, in whatever pieces it comes: too long is said first."""
        if size > self._rules.limit_request_line:
            raise self._line_too_large()
        return 0

    def _line_too_large(self) -> ProtocolError:
        method, _, _ = self._buffer.data[self._buffer.position :].partition(b" ")
        return self._rules.line_too_large(len(method))

    def _read_version(self, start: int, line_start: int) -> int:
        """Make the request with the version at ``start``.

        Returns the position of the CRLF that ends the line, or 0 when bytes are missing.
        """
        data = self._buffer.data
        buf = data
        if (
            len(data) - start >= 10
            and buf[start + 8] == _CR
            and buf[start + 9] == _LF
            and buf[start] == 72  # H
            and buf[start + 1] == 84  # T
            and buf[start + 2] == 84  # T
            and buf[start + 3] == 80  # P
            and buf[start + 4] == 47  # /
            and buf[start + 5] == 49  # 1
            and buf[start + 6] == 46  # .
            and (buf[start + 7] == 49 or buf[start + 7] == 48)
        ):
            request = Request()
            if buf[start + 7] == 48:
                request.http_version = "1.0"
                request.is_1_0 = True
            self.request = request
            return start + 8
        return self._read_odd_version(start, line_start)

    def _read_odd_version(self, start: int, line_start: int) -> int:
        data = self._buffer.data
        end = data.find(b"\n", start)
        if end < 0:
            return 0
        line = data[start:end]
        self._check_line_limit(start + len(line.removesuffix(b"\r")) - line_start)
        if not line.endswith(b"\r"):
            raise ProtocolError(400, "Request line must end in CRLF")
        version = line[:-1]
        self._rules.check_version(version)
        self.request = Request()
        return start + len(version)

    def _skip_empty_line(self, start: int) -> int:
        data = self._buffer.data
        if data[start] == _LF:
            raise ProtocolError(400, "Bare LF before the request line")
        if start + 1 == len(data):
            return self._buffer.wait(_NOTHING, 0)
        if data[start + 1] != _LF:
            raise ProtocolError(400, "Bare CR before the request line")
        self._empty_lines += 1
        if self._empty_lines > _MOST_EMPTY_LINES:
            raise ProtocolError(400, "Too many empty lines before the request line")
        self._buffer.position = start + 2
        return 1

    def _odd_first_byte(self, start: int) -> str:
        if self._buffer.data[start] == _TLS_HANDSHAKE:
            return "TLS handshake on a plain-text port"
        return "Invalid method"

    def _await_request_line(self, start: int, size: int, filler: bytes) -> int:
        if start == size:
            return 0
        most = self._rules.limit_request_line
        if filler is _METHOD_FILLER or filler is _ALL_BUT_LF:
            most += 1  # a CR of the line's end may be among them
        if size - start > most:
            raise self._line_too_large()
        return self._buffer.wait(filler, most)

    def _read_fields(self, fields: list[tuple[bytes, bytes]]) -> int:
        """Read field lines up to the empty line (RFC 9112 section 5): 1 when done, 0 when bytes are missing."""
        data = self._buffer.data
        buf = data
        size = len(data)
        start = self._buffer.position
        names = _FIELD_NAME
        values = _FIELD_VALUE
        most_fields = self._rules.limit_request_fields
        most_size = self._rules.limit_request_field_size
        filler = _NOTHING
        while start < size:
            i = start
            marks = 0
            while i < size and names[buf[i]]:
                marks |= names[buf[i]]
                i += 1
            if i == size:
                filler = _NAME_FILLER
                break
            if i - start > most_size:
                raise self._rules.field_too_large(data[start:i])
            name_end = i
            if buf[i] != _COLON or i == start:
                if i == start and buf[i] == _CR:
                    if i + 1 == size:
                        break
                    if buf[i + 1] != _LF:
                        raise ProtocolError(400, "Bare CR in the header section")
                    self._buffer.position = i + 2
                    if self._folds is not None:
                        self._folds.finish()
                        self._folds = None
                    return self._count_head(i + 2 - start)
                i = self._read_odd_field(fields, start, name_end)
                if i == 0:
                    filler = _ALL_BUT_LF if name_end == start else _SPACES
                    break
                if i < 0:
                    start = -i
                    continue
            i += 1
            while i < size and (buf[i] == _SP or buf[i] == _TAB):
                i += 1
            value_start = i
            while i + 4 <= size and values[buf[i]] & values[buf[i + 1]] & values[buf[i + 2]] & values[buf[i + 3]]:
                i += 4
            while i < size and values[buf[i]]:
                i += 1
            if i == size:
                filler = _VALUE_FILLER
                break
            if i + 1 == size and buf[i] == _CR:
                break
            if i - start > most_size:
                raise self._rules.field_too_large(data[start:name_end])
            if buf[i] != _CR or buf[i + 1] != _LF:
                raise ProtocolError(400, f"Invalid character in the value of field {shown(data[start:name_end])}")
            value_end = i
            while value_end > value_start and (buf[value_end - 1] == _SP or buf[value_end - 1] == _TAB):
                value_end -= 1
            i += 2
            if i - start > most_size:
                raise self._rules.field_too_large(data[start:name_end])
            self._count_head(i - start)
            name = known_name(data, start, name_end)
            if name is None:
                self._add_uncommon(fields, buf[start:name_end].lower(), buf[value_start:value_end], marks)
            else:
                self._dropped = False
                fields.append((name, buf[value_start:value_end]))
            if len(fields) > most_fields:
                raise self._rules.too_many_fields()
            start = i
        self._buffer.position = start
        if start == size:
            return 0
        if size - start > most_size + 1:  # of the line's end, CR may be there and LF missing
            raise self._rules.field_too_large(data[start : start + 40].partition(b":")[0])
        return self._buffer.wait(filler, most_size if filler is _SPACES else most_size + 1)

    def _count_head(self, size: int) -> int:
        self._head_size += size
        if self._head_size > self._rules.limit_request_head:
            raise self._rules.head_too_large()
        return 1

    def _add_uncommon(self, fields: list[tuple[bytes, bytes]], name: bytes, value: bytes, marks: int) -> int:
        self._dropped = bool(marks & _UNDERSCORE_MARK) and not self._rules.keeps(name, self._state == _TRAILERS)
        if not self._dropped:
            fields.append((name, value))
        return 0

    def _read_odd_field(self, fields: list[tuple[bytes, bytes]], start: int, name_end: int) -> int:
        """Judge a line whose name does not end in a colon, with the settings that allow some.

        Returns the position of the colon to go on from; 0 when bytes are missing; the position of the next line,
        negated, when a folded line was taken in.
        """
        data = self._buffer.data
        byte = data[name_end]
        if byte in (_LF, _CR):
            raise ProtocolError(400, "Field line without a colon, or ended by a bare CR or LF")
        if name_end == start and byte in (_SP, _TAB):
            return self._unfold(fields, start)
        if name_end > start and byte in (_SP, _TAB) and self._rules.strip_header_spaces:
            i = name_end
            while i < len(data) and data[i] in (_SP, _TAB):
                i += 1
            if i - start > self._rules.limit_request_field_size:
                raise self._rules.field_too_large(data[start:name_end])
            if i == len(data):
                return 0
            if data[i] == _COLON:
                return i
        if byte in (_SP, _TAB):
            raise self._rules.whitespace_after(data[start:name_end])
        raise ProtocolError(400, "Invalid character in a field name")

    def _unfold(self, fields: list[tuple[bytes, bytes]], start: int) -> int:
        if not self._rules.permit_obsolete_folding:
            raise ProtocolError(400, "Obsolete line folding", setting="permit_obsolete_folding=False")
        data = self._buffer.data
        end = data.find(b"\n", start)
        if end < 0:
            return 0
        line = data[start : end + 1]
        held = 0
        if fields and not self._dropped:
            if self._folds is None:
                self._folds = Folds(fields)
            held = self._folds.size()
        if held + len(line) > self._rules.limit_request_field_size:
            raise self._rules.field_too_large(data[start:end])
        if not line.endswith(b"\r\n") or line.translate(None, _VALUE_FILLER) != b"\r\n":
            raise ProtocolError(400, "Invalid character in a folded field value")
        self._count_head(len(line))
        if not self._dropped:
            if self._folds is None:
                raise ProtocolError(400, "Folded line without a field to belong to")
            self._folds.add(line)
        return -(end + 1)

    def _check_trailers(self) -> int:
        for name, _ in self.trailers:
            if name in FORBIDDEN_TRAILERS:
                raise ProtocolError(400, f"Field {shown(name)} must not be a trailer")
        return 0

    def _read_data(self, next_state: int) -> int:
        """Hand out what is there of ``_remaining`` bytes; ``next_state`` is where a chunk goes on."""
        data = self._buffer.data
        buf = data
        start = self._buffer.position
        size = len(data) - start
        if self._remaining == 0:
            self._begin_next_message()
            self.trailers = []
            return _END
        if size == 0:
            return _NEED_DATA
        if size > self._remaining:
            size = self._remaining
        if size == len(data):
            self.data = data
        else:
            self.data = buf[start : start + size]
        self._buffer.position = start + size
        self._remaining -= size
        if self._remaining == 0 and next_state == _CHUNK_END:
            self._state = _CHUNK_END
        return _DATA

    def _read_chunk_size(self) -> int:
        """Read a chunk size line (RFC 9112 section 7.1): 1 when done, 0 when bytes are missing."""
        data = self._buffer.data
        buf = data
        size = len(data)
        start = self._buffer.position
        hexes = _HEX_VALUE
        i = start
        value = 0
        while i < size and hexes[buf[i]]:
            if value >= _FIFTEEN_DIGITS or i - start == _MOST_CHUNK_LINE:
                raise ProtocolError(400, "Chunk size is too large")
            value = value * 16 + hexes[buf[i]] - 1
            i += 1
        if i == size:
            return 0 if i == start else self._buffer.wait(_NOTHING if value else _ZEROS, _MOST_CHUNK_LINE)
        if i == start:
            raise ProtocolError(400, "Invalid chunk size")
        if buf[i] != _CR:
            if buf[i] not in (_SEMICOLON, _SP, _TAB):
                raise ProtocolError(400, "Invalid chunk size")
            end = data.find(b"\n", i)
            if (end if end >= 0 else size) - start > _MOST_CHUNK_LINE:
                raise ProtocolError(400, "Chunk extension is too large")
            if end < 0:
                return self._buffer.wait(_ALL_BUT_LF, _MOST_CHUNK_LINE)
            if buf[end - 1] != _CR or CHUNK_EXTENSIONS.fullmatch(data, i, end - 1) is None:
                raise ProtocolError(400, "Invalid chunk extension")
            self._count_extension(end - 1 - i)
            i = end - 1
        elif i + 1 == size:
            return self._buffer.wait(_NOTHING, 0)
        elif buf[i + 1] != _LF:
            raise ProtocolError(400, "Chunk size must end in CRLF")
        self._remaining = value
        self._buffer.position = i + 2
        return 1

    def _count_extension(self, size: int) -> int:
        self._head_size += size
        if self._head_size > self._rules.limit_request_head:
            raise self._rules.extensions_too_large()
        return 0

    def _read_chunk_end(self) -> int:
        data = self._buffer.data
        start = self._buffer.position
        if start == len(data):
            return 0
        if data[start] != _CR:
            raise ProtocolError(400, "Chunk data must end in CRLF")
        if start + 1 == len(data):
            return self._buffer.wait(_NOTHING, 0)
        if data[start + 1] != _LF:
            raise ProtocolError(400, "Chunk data must end in CRLF")
        self._buffer.position = start + 2
        return 1
