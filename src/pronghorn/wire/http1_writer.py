"""HTTP/1 responses: what the exchange says, as bytes (RFC 9112).

Owns the framing of one response at a time, chosen in one function, and holds the application to it: content beyond
the declared length never reaches the wire, missing content ends the connection. It appends to a list that the caller
writes at once, so that a small response is one write. No clock: the caller brings the Date line.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus

from pronghorn.wire.request import GET, Request
from pronghorn.wire.response import Response


class Framing(IntEnum):
    """How the end of the content is told (RFC 9112 section 6.3)."""

    NONE = 0  # no content: HEAD, 204, 304
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3  # the end of the connection, for HTTP/1.0


_NONE = int(Framing.NONE)
_LENGTH = int(Framing.LENGTH)
_CHUNKED = int(Framing.CHUNKED)
_CLOSE = int(Framing.CLOSE)

#: By status, None where it has no registered name.
_STATUS_LINES: list[bytes | None] = [None] * 1000
for _status in HTTPStatus:
    _STATUS_LINES[_status] = b"HTTP/1.1 %d %b\r\n" % (_status, _status.phrase.encode())
# Reason phrases for the statuses that HTTPStatus names by an older RFC or not at all.
_STATUS_LINES[413] = b"HTTP/1.1 413 Content Too Large\r\n"
_STATUS_LINES[414] = b"HTTP/1.1 414 URI Too Long\r\n"
_STATUS_LINES[416] = b"HTTP/1.1 416 Range Not Satisfiable\r\n"
_STATUS_LINES[422] = b"HTTP/1.1 422 Unprocessable Content\r\n"

#: The lines of smaller lengths exist once, as most responses are small.
_LENGTH_LINES = [b"content-length: %d\r\n" % length for length in range(1024)]


def status_line(status: int) -> bytes:
    """Return the status line with its CRLF; a status without a registered name has an empty reason phrase."""
    line = _STATUS_LINES[status] if 0 <= status < 1000 else None
    return b"HTTP/1.1 %d \r\n" % status if line is None else line


def _default_lines(response: Response, defaults: list[bytes]) -> bytes:
    """Return the Date and Server lines that the application has not given, of ``defaults`` as ``head`` takes them."""
    if response.has_date:
        return b"" if response.has_server else defaults[1]
    return defaults[0] if response.has_server else defaults[2]


class ContentError(RuntimeError):
    """The application sent more or less content than its Content-Length said."""


class Http1Writer:
    """Writes the responses of one connection, in order.

    ``keep_alive`` bool: whether the connection may go on after this response. ``sent`` int: bytes of content
    handed over, framing not counted. ``complete`` bool: the response has been written to its end.
    """

    __slots__ = ("_framing", "_remaining", "complete", "keep_alive", "sent")

    def __init__(self) -> None:
        self._framing = _NONE
        self._remaining = 0
        self.keep_alive = False
        self.complete = True
        self.sent = 0

    @property
    def framing(self) -> Framing:
        return Framing(self._framing)

    def begin(self, keep_alive: bool) -> None:
        """A request was read; ``keep_alive``: what it and the server allow."""
        self.keep_alive = keep_alive
        self.complete = False
        self.sent = 0

    def informational(self, out: list[bytes], status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Append an interim response (RFC 9110 section 15.2)."""
        out.append(status_line(status))
        for name, value in headers:
            out.append(b"%b: %b\r\n" % (name, value))
        out.append(b"\r\n")

    def head(
        self, out: list[bytes], request: Request, response: Response, data: bytes, end: bool, defaults: list[bytes]
    ) -> None:
        """Append the head and the first part of the content.

        ``data``: bytes, may be empty. ``end``: nothing follows, trailers neither. ``defaults``: the Date line, the
        Server line and both, for a response that has none of its own. Raises ContentError as ``data`` does.
        """
        length = self._choose_framing(request, response, len(data), end)
        if length >= 0:
            framing = _LENGTH_LINES[length] if length < 1024 else b"content-length: %d\r\n" % length
        else:
            framing = b"transfer-encoding: chunked\r\n" if self._framing == _CHUNKED else b""
        if not self.keep_alive:
            last = b"connection: close\r\n\r\n"
        else:
            last = b"connection: keep-alive\r\n\r\n" if request.is_1_0 else b"\r\n"
        whole = self._framing == _LENGTH and end and len(data) == length and length < 16384
        content = data if whole else b""
        line = status_line(response.status)
        default = _default_lines(response, defaults)
        headers = response.headers
        if len(headers) == 1:  # beside Content-Length: as most have, and a list that grows costs as much as the join
            name, value = headers[0]
            parts = [line, default, name, b": ", value, b"\r\n", framing, last, content]
        else:
            parts = [line, default]
            for name, value in headers:
                parts.append(name)
                parts.append(b": ")
                parts.append(value)
                parts.append(b"\r\n")
            parts += [framing, last, content]
        out.append(b"".join(parts))
        if whole:
            self.sent = length
            self.complete = True
        else:
            self.data(out, data, end)

    def _choose_framing(self, request: Request, response: Response, size: int, end: bool) -> int:
        """Choose how the content ends; returns the Content-Length to send, or -1 for none."""
        length = response.content_length
        status = response.status
        if response.close:
            self.keep_alive = False
        if status == 204 or status == 304 or (request.method is not GET and request.method == "HEAD"):
            self._framing = _NONE
            if status == 204:
                return -1
            return size if length < 0 and end and size and status != 304 else length
        if status == 205:
            self._framing = _NONE
            return 0
        if length >= 0:
            self._framing = _LENGTH
            self._remaining = length
            return length
        if end:
            self._framing = _LENGTH
            self._remaining = size
            return size
        if request.is_1_0:
            self._framing = _CLOSE
            self.keep_alive = False
        else:
            self._framing = _CHUNKED
        return -1

    def data(self, out: list[bytes], data: bytes, end: bool) -> None:
        """Append a part of the content; ``end``: it is the last, and no trailers follow.

        Raises ContentError when the content does not fit the declared length: what fits is appended; a response
        cut short leaves ``keep_alive`` False, for the connection must not go on.
        """
        size = len(data)
        excess = 0
        if self._framing == _LENGTH:
            excess = size - self._remaining
            if excess > 0:
                data = data[: self._remaining]
                size = self._remaining
            self._remaining -= size
        if size and self._framing != _NONE:
            self.sent += size
            if self._framing == _CHUNKED:
                out.append(b"%x\r\n" % size)
                out.append(data)
                out.append(b"\r\n")
            else:
                out.append(data)
        if end:
            self._finish(out)
        if excess > 0:
            raise ContentError(f"Response content is {excess} bytes longer than its Content-Length")

    def begin_file(self, out: list[bytes], size: int, end: bool) -> int:
        """Append what goes before ``size`` bytes of content that the caller sends itself, and counts in ``sent``.

        ``size``: -1 where nobody knows it, and then parts come through ``data``. Returns how many are to be sent: the
        same, or 0. Raises ContentError, with nothing appended, where they would not fit the declared length.
        """
        if self._framing == _NONE:
            return 0
        if size < 0:
            return -1
        if self._framing == _LENGTH:
            if size > self._remaining or (end and size < self._remaining):
                raise ContentError(f"A file of {size} bytes, where Content-Length leaves {self._remaining}")
            self._remaining -= size
        elif self._framing == _CHUNKED and size:
            out.append(b"%x\r\n" % size)
        return size

    def end_file(self, out: list[bytes], size: int, end: bool) -> None:
        """Append what goes behind the bytes of ``begin_file``; ``end``: nothing follows. Raises ContentError."""
        if self._framing == _CHUNKED and size > 0:
            out.append(b"\r\n")
        if end:
            self._finish(out)

    def _finish(self, out: list[bytes]) -> None:
        self.complete = True
        if self._framing == _CHUNKED:
            out.append(b"0\r\n\r\n")
        elif self._framing == _LENGTH and self._remaining:
            self.keep_alive = False
            raise ContentError(f"Response content is {self._remaining} bytes shorter than its Content-Length")

    def trailers(self, out: list[bytes], headers: list[tuple[bytes, bytes]]) -> None:
        """Append the last chunk and the trailer section (RFC 9112 section 7.1.2), where the framing has one."""
        self.complete = True
        if self._framing != _CHUNKED:
            self._finish(out)
            return
        out.append(b"0\r\n")
        for name, value in headers:
            out.append(b"%b: %b\r\n" % (name, value))
        out.append(b"\r\n")
