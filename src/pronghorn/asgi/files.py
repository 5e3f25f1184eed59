"""Files as response content: the events http.response.pathsend and http.response.zerocopysend.

Owns what may be asked for and the descriptor while it is sent: one of our own, so that the application may close its
file whenever it likes. Which way the bytes take is ``net/``'s to know.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.errors import EventError
from pronghorn.wire.plain import plain_int, plain_str
from pronghorn.wire.response import Response

EVENTS = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


class FilePart:
    """A stretch of an open file that goes to the client.

    ``fd`` int, ours to close · ``offset`` int, -1 for what cannot be positioned (a pipe), which is read from where it
    is · ``count`` int, bytes to send, -1 for all that come (pipes only) · ``more`` bool, content follows · ``last``
    bool, the response ends with it · ``error`` what kept it from being sent, after ``finish``.
    """

    __slots__ = ("_moves", "_on_end", "count", "error", "fd", "last", "more", "offset")

    def __init__(self, fd: int, offset: int, count: int, more: bool, moves: bool = False) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count
        self.more = more
        self.last = not more
        self.error: Exception | None = None
        self._moves = moves
        self._on_end: Callable[[], None] | None = None

    def fit(self, response: Response, is_head: bool) -> None:
        """See that it fits ``response``, whose first content it is, and tell the length where that is known.

        Raises EventError: the head was not sent yet, and another response can still be given.
        """
        declared = response.content_length
        if self.offset < 0 or is_head or response.has_no_content:
            return
        if declared >= 0 and (self.count > declared or (not self.more and self.count < declared)):
            raise EventError(f"Content-Length is {declared}, and the file has {self.count} bytes")
        if declared < 0 and self.last:
            response.content_length = self.count

    def begin(self, on_end: Callable[[], None]) -> None:
        """Have ``on_end`` called when all was handed over, or could not be."""
        self._on_end = on_end

    def finish(self, error: Exception | None = None) -> None:
        """All was handed over to the connection; or ``error`` kept it from that. To be called once, by the stream."""
        self.error = error
        if self._moves and error is None:
            os.lseek(self.fd, self.offset + self.count, os.SEEK_SET)
        on_end = self._on_end
        self.close()
        if on_end is not None:
            on_end()

    def read(self) -> bytes:
        """Return all of it; for small files."""
        with open(os.dup(self.fd), "rb") as file:
            if self.offset >= 0:
                file.seek(self.offset)
            return file.read(self.count)

    def close(self) -> None:
        """Give the descriptor back; nobody is told. May be called again."""
        self._on_end = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def part_of(message: dict[str, Any], kind: str) -> FilePart:
    """Return what ``message`` asks for, an event of that ``kind``. Raises EventError, and OSError of opening it."""
    if kind == "http.response.pathsend":
        return _part_of_path(message.get("path"))
    return _part_of_file(message)


def _part_of_path(path: Any) -> FilePart:
    """The specification wants an absolute path; a relative one is what frameworks pass on, and as good as for open."""
    path = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(path, str) or not plain_str(path):
        raise EventError(f"http.response.pathsend: 'path' must be a str, not {path!r:.60}")
    path = plain_str(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # that of a pipe would wait for a writer
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise EventError(f"http.response.pathsend: {path!r:.200} is not a regular file")
    except BaseException:
        os.close(fd)
        raise
    return FilePart(fd, 0, status.st_size, False)


def _part_of_file(message: dict[str, Any]) -> FilePart:
    file = message.get("file")
    try:
        number = file if type(file) is int else file.fileno()  # type: ignore[union-attr]
    except (AttributeError, ValueError) as error:
        raise EventError(f"http.response.zerocopysend: 'file' has no descriptor: {file!r:.60}") from error
    offset = _number(message, "offset")
    count = _number(message, "count")
    more = bool(message.get("more_body"))
    fd = os.dup(number)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            if offset is not None:
                raise EventError("http.response.zerocopysend: 'offset' is given, and 'file' has no positions")
            return FilePart(fd, -1, -1 if count is None else count, more)
        moves = offset is None
        if offset is None:
            offset = os.lseek(fd, 0, os.SEEK_CUR)
        left = max(status.st_size - offset, 0)
        return FilePart(fd, offset, left if count is None else min(count, left), more, moves)
    except BaseException:
        os.close(fd)
        raise


def _number(message: dict[str, Any], key: str) -> int | None:
    value = message.get(key)
    if value is None:
        return None
    plain = plain_int(value) if issubclass(type(value), int) else -1
    if not 0 <= plain < 2**63:
        raise EventError(f"http.response.zerocopysend: {key!r} must be an int from 0, not {value!r:.40}")
    return plain
