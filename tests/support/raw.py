"""A blocking HTTP/1.1 client over a bare socket: sends any bytes, reads strictly, never without a deadline.

Ordinary clients forgive what these tests must notice: a body on a 204, two Content-Length fields, a missing
last chunk, bytes after the end. The reader here follows RFC 9112 sections 4 to 8 and refuses everything else.
It must not import the package under test, whose own parser would hide its own mistakes.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

Address = tuple[str, int] | str | Path

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*)?")
_READ_SIZE = 65536


class ResponseError(Exception):
    """The peer sent something that is not an HTTP/1.1 response."""


class NoResponse(ResponseError):
    """The connection ended before the first byte of a response."""


class Truncated(ResponseError):
    """The connection ended inside a response; ``head`` and ``body`` are what had arrived of it."""

    def __init__(self, message: str, head: Response | None = None, body: bytes = b"") -> None:
        super().__init__(f"{message} (head: {head}, body so far: {len(body)} bytes)")
        self.head = head
        self.body = body


@dataclass
class Response:
    """One response as it was on the wire."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    framing: str = "none"  # none | length | chunked | close
    parts: list[bytes] = field(
        default_factory=list, repr=False
    )  # the chunks of a chunked body, as they were cut
    trailers: list[tuple[str, str]] = field(default_factory=list)
    informational: list[Response] = field(default_factory=list)  # the 1xx responses that came before it

    def all(self, name: str) -> list[str]:
        """Values of every field line of that name, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of the only field line of that name, None without one; two are an ``AssertionError``."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def connection(self) -> set[str]:
        """Options of the Connection field, in lower case."""
        return {option.strip().lower() for value in self.all("connection") for option in value.split(",")}

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class RawClient:
    """One connection to the server. Every call ends within ``timeout`` seconds or raises ``TimeoutError``."""

    def __init__(
        self, address: Address, *, timeout: float = 15.0, receive_buffer: int = 0, source: str = ""
    ) -> None:
        """``source``: the address to come from."""
        self.timeout = timeout
        self.unread = bytearray()  # arrived, and no part of a response that was read
        family = _family(address)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        try:
            if source:
                self.sock.bind((source, 0))
            self.sock.connect(str(address) if family == socket.AF_UNIX else address)
            if family != socket.AF_UNIX:
                # Otherwise Nagle's algorithm joins the pieces that slow senders mean to send apart.
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Our own TCP port: what the server sees as the client's."""
        return int(self.sock.getsockname()[1])

    def send(self, data: bytes) -> None:
        """Send everything."""
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def send_slowly(self, data: bytes, size: int = 1, pause: float = 0.0) -> None:
        """Send in pieces of ``size`` bytes, each in a segment of its own where the kernel lets us."""
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            if pause:
                time.sleep(pause)

    def send_until_refused(self, data: bytes) -> bool:
        """Send as much as the peer takes; False when it closed before everything was sent."""
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def request(
        self, method: str, target: str, *fields: str, body: bytes = b"", host: str = "test"
    ) -> Response:
        """Send an HTTP/1.1 request and read its response. ``fields`` are whole lines, ``"Name: value"``."""
        self.send(request_bytes(method, target, *fields, body=body, host=host))
        return self.read_response(method)

    def read_response(self, method: str = "GET") -> Response:
        """Read exactly one final response, with the 1xx ones before it, to a request made with ``method``."""
        deadline = time.monotonic() + self.timeout
        informational = []
        while True:
            response = self._read_head(deadline)
            if response.status >= 200 or response.status == 101:
                break
            informational.append(response)
        response.informational = informational
        self._read_body(response, method, deadline)
        return response

    def read_informational(self) -> Response:
        """Read one 1xx response and nothing after it."""
        response = self._read_head(time.monotonic() + self.timeout)
        assert 100 <= response.status < 200, f"not informational: {response}"
        return response

    def read_bytes(self, count: int) -> bytes:
        """Read exactly ``count`` bytes of whatever comes."""
        deadline = time.monotonic() + self.timeout
        while len(self.unread) < count:
            self._receive(deadline, f"{count} bytes")
        return self._take(count)

    def read_until(self, marker: bytes) -> bytes:
        """Read up to and with ``marker``."""
        deadline = time.monotonic() + self.timeout
        while marker not in self.unread:
            self._receive(deadline, repr(marker))
        return self._take(self.unread.index(marker) + len(marker))

    def read_until_closed(self) -> bytes:
        """Read to the orderly end of the connection; a reset raises ``ConnectionResetError``."""
        deadline = time.monotonic() + self.timeout
        try:
            while True:
                self._receive(deadline, "the end of the connection")
        except Truncated:
            return self._take(len(self.unread))

    def assert_closed(self) -> None:
        """The peer ends the connection in order (no reset) and sends nothing more."""
        rest = self.read_until_closed()
        assert rest == b"", f"more bytes before the end of the connection: {rest[:500]!r}"

    def assert_silent(self, seconds: float = 0.2) -> None:
        """Nothing arrives, and the connection stays open, for a moment."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(_READ_SIZE)
        except TimeoutError:
            data = None
        assert self.unread == b"", f"unread bytes: {bytes(self.unread[:500])!r}"
        assert data is None, f"closed by the peer or sent more: {data!r}"

    def half_close(self) -> None:
        """End our direction; the server's stays open."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST instead of FIN, as a crashed or impatient client does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """End the connection."""
        self.sock.close()

    # -- reading, RFC 9112 -------------------------------------------------------------------------

    def _read_head(self, deadline: float) -> Response:
        """Status line and field lines, RFC 9112 sections 4 and 5."""
        while b"\r\n\r\n" not in self.unread:
            try:
                self._receive(deadline, "a response head")
            except Truncated:
                if self.unread:
                    raise Truncated(f"the end inside a head: {bytes(self.unread[:200])!r}") from None
                raise NoResponse("closed before the first byte of a response") from None
        head = self._take(self.unread.index(b"\r\n\r\n") + 4)[:-4]
        status_line, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise ResponseError(f"not a status line: {status_line!r}")
        version, status, reason = match.groups()
        return Response(version.decode(), int(status), reason.decode("latin-1"), _fields(lines))

    def _read_body(self, response: Response, method: str, deadline: float) -> None:
        """Message body length, RFC 9112 section 6.3."""
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        if len(lengths) > 1 or (lengths and not lengths[0].isdecimal()):
            raise ResponseError(f"Content-Length is not one number: {lengths}")
        if lengths and codings:
            raise ResponseError("both Content-Length and Transfer-Encoding")
        if response.status == 204 and (lengths or codings):
            raise ResponseError(
                f"a 204 with framing fields: {response.headers}"
            )  # RFC 9110 8.6, RFC 9112 6.1
        if method == "HEAD" or response.status in (101, 204, 304):
            return
        if codings:
            if codings != ["chunked"] or response.version != "1.1":
                raise ResponseError(f"Transfer-Encoding {codings} on HTTP/{response.version}")
            response.framing = "chunked"
            self._read_chunks(response, deadline)
        elif lengths:
            response.framing = "length"
            self._fill(int(lengths[0]), response, deadline)
            response.body = self._take(int(lengths[0]))
        else:
            response.framing = "close"
            response.body = self.read_until_closed()

    def _read_chunks(self, response: Response, deadline: float) -> None:
        """Chunked coding and trailer section, RFC 9112 section 7.1."""
        while True:
            line = self._line(response, deadline)
            match = _CHUNK_LINE.fullmatch(line)
            if match is None:
                raise ResponseError(f"not a chunk size: {line!r}")
            size = int(match.group(1), 16)
            if size == 0:
                break
            self._fill(size + 2, response, deadline)
            response.parts.append(self._take(size))
            if self._take(2) != b"\r\n":
                raise ResponseError(f"no CRLF after a chunk of {size} bytes")
        lines = []
        while line := self._line(response, deadline):
            lines.append(line)
        response.trailers = _fields(lines)
        response.body = b"".join(response.parts)

    def _line(self, response: Response, deadline: float) -> bytes:
        while b"\r\n" not in self.unread:
            self._receive(deadline, "a line of a chunked body", response)
        return self._take(self.unread.index(b"\r\n") + 2)[:-2]

    def _fill(self, count: int, response: Response, deadline: float) -> None:
        while len(self.unread) < count:
            self._receive(deadline, f"{count} bytes of body", response)

    def _take(self, count: int) -> bytes:
        taken = bytes(self.unread[:count])
        del self.unread[:count]
        return taken

    def _receive(self, deadline: float, wanted: str, head: Response | None = None) -> None:
        """Wait for more bytes; ``Truncated`` at the end of it, ``TimeoutError`` at the deadline."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(
                f"waited {self.timeout:g} s for {wanted}; unread: {bytes(self.unread[:200])!r}"
            )
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(_READ_SIZE)
        except TimeoutError:
            raise TimeoutError(
                f"waited {self.timeout:g} s for {wanted}; unread: {bytes(self.unread[:200])!r}"
            ) from None
        if not data:
            body = b"".join(head.parts) if head else b""
            raise Truncated(f"the connection ended, wanted {wanted}", head, body + bytes(self.unread))
        self.unread += data


def request_bytes(method: str, target: str, *fields: str, body: bytes = b"", host: str = "test") -> bytes:
    """A well-formed HTTP/1.1 request. A body, or a method that promises one, gets a Content-Length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*parts: bytes, trailers: tuple[str, ...] = ()) -> bytes:
    """A chunked body of these parts."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return body + b"0\r\n" + b"".join(line.encode() + b"\r\n" for line in trailers) + b"\r\n"


def _family(address: Address) -> int:
    if not isinstance(address, tuple):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    """Field lines, RFC 9112 section 5: no folding, no space before the colon, no control characters."""
    found = []
    for line in lines:
        match = _FIELD_LINE.fullmatch(line)
        if match is None or _FIELD_VALUE.fullmatch(match.group(2)) is None:
            raise ResponseError(f"not a field line: {line!r}")
        found.append((match.group(1).decode(), match.group(2).decode("latin-1")))
    return found
