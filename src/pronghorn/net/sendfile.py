"""A file on its way to the peer of one HTTP/1 connection: by the kernel where that can, else block by block.

Owns the connection's output from ``start`` until all is handed over, or until it is stopped because the connection
ends. Knows descriptors and transports; what stands before and after the bytes (chunk sizes, lengths) is
``Http1Writer``'s.

The kernel's way writes to a duplicate of the socket, for neither asyncio's transports nor uvloop's let anybody else
wait for theirs, and uvloop has no ``loop.sendfile``. Nothing else may be in the transport's buffer meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from enum import IntEnum

from pronghorn.asgi.files import FilePart
from pronghorn.asgi.stream import Stream
from pronghorn.net.connection import Connection
from pronghorn.wire.http1_writer import Http1Writer


class Sending(IntEnum):
    """Which way a file takes, and what is waited for; drawn in ``sendfile.pxd``."""

    NEW = 0
    EMPTYING = 1
    KERNEL = 2
    READING = 3
    WRITING = 4
    ENDED = 5


_NEW = int(Sending.NEW)
_EMPTYING = int(Sending.EMPTYING)
_KERNEL = int(Sending.KERNEL)
_READING = int(Sending.READING)
_WRITING = int(Sending.WRITING)
_ENDED = int(Sending.ENDED)

#: Bytes that one file may send before others get a turn of the loop.
_MOST_AT_ONCE = 1024 * 1024
#: Bytes that a thread reads at once. Each is a way through the executor; a block is held until the peer has read.
_BLOCK = 256 * 1024
#: What says that it cannot be sent from kernel to kernel (EMFILE: no further descriptor), while it can be read.
_NOT_POSSIBLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EMFILE, errno.ENFILE)
#: The head and the file's first bytes leave in the same packets.
_MORE = getattr(socket, "MSG_MORE", 0)


class FileTransfer:
    """Sends ``part`` behind what is in ``out``.

    ``stream``: whose ``sent`` is kept · ``written``: Http1's, called when the file and what ends it are in ``out``.
    """

    __slots__ = (
        "_before",
        "_connection",
        "_left",
        "_offset",
        "_out",
        "_part",
        "_paused",
        "_socket",
        "_state",
        "_stream",
        "_writer",
        "_written",
    )

    def __init__(
        self,
        connection: Connection,
        writer: Http1Writer,
        stream: Stream,
        out: list[bytes],
        written: Callable[[int], None],
        part: FilePart,
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._stream = stream
        self._out = out
        self._written = written
        self._part = part
        self._before = b""
        self._offset = part.offset
        self._left = 0
        self._paused = False
        self._socket: socket.socket | None = None
        self._state = _NEW

    @property
    def state(self) -> Sending:
        return Sending(self._state)

    def unsent(self) -> int:
        """Bytes that are to be sent; it falls while the peer reads."""
        return len(self._before) + max(self._left, 0)

    def is_reading(self) -> bool:
        """Whether it is the file that is waited for, not the peer."""
        return self._state == _READING

    def start(self) -> None:
        """Begin; small files are through when this returns. Raises ContentError, before anything was sent."""
        part = self._part
        connection = self._connection
        self._left = self._writer.begin_file(self._out, part.count if part.offset >= 0 else -1, part.last)
        self._stream.sent = self._writer.sent
        if self._left == 0:
            self._finish(None)
            return
        if part.offset < 0:
            self._left = part.count
        self._before = b"".join(self._out)
        self._out.clear()
        self._paused = not connection.writable
        buffered = connection.unsent()
        connection.begin_transfer(self)
        if part.offset < 0 or not connection.can_sendfile():
            self._read_instead()
        elif buffered == 0:
            self._send()
        else:
            self._state = _EMPTYING
            # With these marks, resume_writing says that the buffer is empty.
            connection.set_write_marks(0)

    def pause(self) -> None:
        """The transport's buffer is above its mark."""
        self._paused = True

    def resume(self) -> None:
        """It is below again."""
        self._paused = False
        if self._state == _EMPTYING:
            self._connection.set_write_marks(-1)
            self._send()
        elif self._state == _WRITING:
            self._read()

    def stop(self) -> None:
        """The connection ends: no byte more."""
        if self._state != _ENDED:
            reading = self._state == _READING
            self._state = _ENDED
            self._release()
            if not reading:  # else a thread uses the descriptor, and _on_block closes it
                self._part.close()

    def _end(self, error: Exception | None) -> None:
        self._state = _ENDED
        self._release()
        self._connection.end_transfer(self._paused)
        self._finish(error)
        if not self._paused:
            self._connection.tell_writable()

    def _finish(self, error: Exception | None) -> None:
        if error is None:
            try:
                self._writer.end_file(self._out, self._part.count if self._part.offset >= 0 else -1, self._part.last)
            except RuntimeError as shorter:  # than its Content-Length
                error = shorter
        self._part.finish(error)
        if error is None:
            self._written(0)

    def _release(self) -> None:
        """Give up what is held beside the file."""
        self._before = b""
        if self._socket is not None:
            self._connection.context.loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    # -- from kernel to kernel --------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send as much as the socket takes now, up to a limit; called again when it takes more."""
        if self._state == _ENDED:
            return
        try:
            if self._socket is None:
                self._socket = self._connection.duplicate_socket()
            if self._send_now(self._socket):
                self._end(None)
                return
        except (BlockingIOError, InterruptedError):
            pass
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self._connection.abort()  # stops this; the exchange hears that the connection is lost
            return
        except OSError as error:
            if error.errno in _NOT_POSSIBLE:
                self._read_instead()
            else:
                self._end(error)
            return
        if self._state != _KERNEL and self._socket is not None:
            self._state = _KERNEL
            self._connection.context.loop.add_writer(self._socket.fileno(), self._send)

    def _send_now(self, sock: socket.socket) -> bool:
        """Send up to the limit; whether all is sent. Raises BlockingIOError when the socket is full."""
        while self._before:
            size = sock.send(self._before, _MORE if self._left else 0)
            self._before = self._before[size:]
        most = _MOST_AT_ONCE
        out = sock.fileno()
        while self._left > 0 and most > 0:
            size = os.sendfile(out, self._part.fd, self._offset, min(self._left, most))
            if size == 0:
                raise _ended_early(self._left)
            self._advance(size)
            most -= size
        return self._left == 0

    def _advance(self, size: int) -> None:
        self._offset += size
        self._left -= size
        self._writer.sent += size
        self._stream.sent = self._writer.sent

    # -- through this process ---------------------------------------------------------------------------------------

    def _read_instead(self) -> None:
        before = self._before
        self._release()
        if before:
            self._connection.write([before])
        if self._state != _ENDED:
            self._read()

    def _read(self) -> None:
        """Have a thread read the next block, or wait for the peer first."""
        if self._left == 0:
            self._end(None)
        elif self._paused:
            self._state = _WRITING
        else:
            self._state = _READING
            size = _BLOCK if self._left < 0 else min(self._left, _BLOCK)
            context = self._connection.context
            reading = context.loop.run_in_executor(None, _read_block, self._part.fd, self._offset, size)
            reading.add_done_callback(self._on_block, context=context.contextvars)

    def _on_block(self, reading: asyncio.Future[bytes]) -> None:
        if self._state == _ENDED:
            self._part.close()
            if not reading.cancelled():
                reading.exception()  # nobody is left to hear of it
            return
        self._state = _WRITING
        try:
            data = reading.result()
            if not data and self._part.offset >= 0:
                raise _ended_early(self._left)
            if data:
                self._pass_on(data)
        except (OSError, RuntimeError) as error:
            self._end(error)
        else:
            if not data:
                self._end(None)
            elif self._state != _ENDED:
                self._read()

    def _pass_on(self, data: bytes) -> None:
        """Write a block. Raises ContentError where a pipe gives more than the Content-Length says."""
        if self._part.offset >= 0:
            self._connection.write([data])
            self._advance(len(data))
            return
        try:
            self._writer.data(self._out, data, False)
        finally:
            self._stream.sent = self._writer.sent
            if self._out:
                self._connection.write(self._out)
        if self._left > 0:
            self._left -= len(data)


def _read_block(fd: int, offset: int, size: int) -> bytes:
    """Runs in a thread."""
    return os.read(fd, size) if offset < 0 else os.pread(fd, size, offset)


def _ended_early(left: int) -> OSError:
    return OSError(errno.EIO, f"The file ended {left} bytes before it should")
