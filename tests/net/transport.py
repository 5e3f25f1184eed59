"""A transport that is a Python object, with the peer's end of it in the test's hand.

It behaves as the socket transports of CPython's and uvloop's loops do, and where they differ as the one that is harder
to live with: a double is never kinder than what it stands for. What a protocol does that a loop would not forgive is
noted in ``doubles.misuses``, which fails the test.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from tests.asgi.doubles import misuses

#: asyncio's own marks: ``pause_writing`` above, ``resume_writing`` at or below.
HIGH_WATER = 65536
LOW_WATER = 16384
#: What a loop reads from a socket at once, at most, and how often before anything else gets its turn: asyncio's reads
#: once, libuv until the socket is empty, but not for ever.
MOST_READ = 262144
MOST_READS = 32

CLIENT = ("192.0.2.7", 50123)
SERVER = ("198.51.100.1", 8000)


class FakeTransport(asyncio.Transport):
    """One connection. ``extra``: what ``get_extra_info`` knows; a peer that has reset has no name: ``peername=None``.

    ``calls``: what was done to it, by name, in order. ``writes``: what each write carried. ``received``: what has
    reached the peer. ``delivered``: bytes of the peer's that the protocol has been given. ``unread``: those that it
    had not been given when the socket was closed, so that the kernel answered them with a reset. ``write_error``: what
    the next write meets, when the peer is gone and we have not heard of it. ``reads_at_once``: 1 for asyncio's loop.
    ``old_writelines``: as in CPython 3.12.0 to 3.13.1, ``writelines`` never pauses the protocol, and after the loss of
    the connection (up to 3.13.5) it buffers for ever and has a descriptor watched that is about to be closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, **extra: Any) -> None:
        super().__init__(extra={"peername": None, "sockname": None} | extra)
        self._loop = loop
        self.protocol: Any = None
        self.calls: list[str] = []
        self.writes: list[bytes] = []
        self.received = bytearray()
        self.delivered = 0
        self.unread = 0
        self.can_half_close = True
        self.peer_reads = True
        self.write_error: Exception | None = None
        self.reads_at_once = MOST_READS
        self.old_writelines = False
        self.reading = True
        self.closing = False
        self.lost = False
        self.eof_written = False
        self._unsent = bytearray()
        self._paused_protocol = False
        self._marks = (HIGH_WATER, LOW_WATER)
        self._inbound: deque[bytes | Exception] = deque()
        self._delivering: asyncio.Handle | None = None
        # Each callback of a loop runs in a copy of the context in which it was asked for: often the application's.
        self._reading_context = contextvars.copy_context()
        self._writing_context = self._reading_context
        self._entered = False

    # -- the protocol's side ----------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading and not self.closing

    def write(self, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        self._write([data])
        self._maybe_pause()

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        self.calls.append("writelines")
        if self.lost and self.old_writelines:
            misuses.append("writelines after the connection was lost")
        self._write([*list_of_data])
        if not self.old_writelines:
            self._maybe_pause()

    def _write(self, parts: list[bytes]) -> None:
        if self.eof_written:
            misuses.append("written after write_eof")
            raise RuntimeError("Cannot call write() after write_eof()")
        if not all(parts):
            misuses.append("an empty write")
        data = b"".join(parts)
        if self.lost:
            return  # dropped: the protocol has not heard of it yet
        if self.closing:
            misuses.append(f"written after close: {data[:100]!r}")
            if not self._unsent:
                return
        self.writes.append(data)
        if self.write_error is not None and not self._unsent:
            self._end(self.write_error)
            return
        if not self._unsent:
            self._writing_context = contextvars.copy_context()
        self._unsent += data
        self._send()

    def _maybe_pause(self) -> None:
        if len(self._unsent) > self._marks[0] and not self._paused_protocol:
            self._paused_protocol = True
            self.protocol.pause_writing()

    def _maybe_resume(self) -> None:
        if self._paused_protocol and len(self._unsent) <= self._marks[1]:
            self._paused_protocol = False
            self._tell(self._writing_context, self.protocol.resume_writing)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        self._marks = (high, high // 4 if low is None else low)
        self._maybe_pause()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._marks[1], self._marks[0]

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        self.calls.append("write_eof")
        if self.closing or self.eof_written:
            return
        self.eof_written = True
        if self.write_error is not None and not self._unsent:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")  # shutdown(2), after a reset

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")
        if not self.reading:
            misuses.append("paused twice")
        self.reading = False

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")
        if self.reading:
            misuses.append("resumed twice")
        self.reading = True
        self._reading_context = contextvars.copy_context()
        self._deliver_later()

    def close(self) -> None:
        self.calls.append("close")
        if not self.closing:
            self.closing = True
            self._send()

    def abort(self) -> None:
        self.calls.append("abort")
        self._end(None)

    # -- the peer's side --------------------------------------------------------------------------------------------

    def arrive(self, data: bytes) -> None:
        """Bytes from the peer reach us, and are read; an empty ``data`` is the end of its input."""
        if not data:
            self._inbound.append(b"")
        for start in range(0, len(data), MOST_READ):
            self._inbound.append(data[start : start + MOST_READ])
        if self.closing:
            self.unread += len(data)
        else:
            self._deliver()

    def reset(self) -> None:
        """The peer resets the connection (RST): what it sent is still read first, what it has not read is lost.

        Who neither reads nor has anything to write learns of it by the next write.
        """
        error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        self.peer_reads = False
        self.write_error = error
        self._inbound.append(error)
        if self._unsent:
            self._loop.call_soon(self._end, error)
        if not self.closing:
            self._deliver()

    def lose(self, error: Exception | None) -> None:
        """The connection is no more; the protocol hears of it in the next turn of the loop.

        uvloop gives its buffer up before that and says so, which may not be taken for a peer that reads.
        """
        if not self.lost:
            self._end(error)
            if self._paused_protocol:
                self._paused_protocol = False
                self._tell(self._writing_context, self.protocol.resume_writing)

    def take(self, size: int | None = None) -> None:
        """The peer reads ``size`` bytes, or all there are."""
        count = len(self._unsent) if size is None else size
        self.received += self._unsent[:count]
        del self._unsent[:count]
        self._maybe_resume()
        self._close_when_sent()

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _deliver_later(self) -> None:
        if self._delivering is None:
            self._delivering = self._loop.call_soon(self._deliver_now)

    def _deliver_now(self) -> None:
        self._delivering = None
        self._deliver()

    def _deliver(self) -> None:
        """Poll: read what is there, as often as the loop does before it turns to others."""
        for _ in range(self.reads_at_once):
            if not (self._inbound and self.reading and not self.closing):
                return
            data = self._inbound.popleft()
            if isinstance(data, Exception):
                self._end(data)
                return
            if not data:
                # Who resumes reading after the end, reads the end again.
                self._inbound.appendleft(b"")
                if not self._tell(self._reading_context, self.protocol.eof_received):
                    self.close()
                return
            self.delivered += len(data)
            self._tell(self._reading_context, self.protocol.data_received, data)
        if self._inbound:
            self._deliver_later()

    def _tell(self, context: contextvars.Context, callback: Callable[..., object], *args: Any) -> Any:
        """Call the protocol as a loop does: an exception ends the connection and is reported."""
        if self._entered:  # the application had bytes arrive, which it cannot on a loop
            context = context.copy()
        before, self._entered = self._entered, True
        try:
            return context.run(callback, *args)
        except Exception as error:
            details = {"message": "Fatal error: protocol call failed.", "exception": error, "transport": self}
            self._loop.call_exception_handler(details)
            self._end(error)
            return True
        finally:
            self._entered = before

    def _send(self) -> None:
        if self.peer_reads:
            self.received += self._unsent
            self._unsent.clear()
        self._close_when_sent()

    def _close_when_sent(self) -> None:
        if self.closing and not self._unsent:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.closing = True
            self.unread += sum(len(data) for data in self._inbound if isinstance(data, bytes))
            self._inbound.clear()
            self._unsent.clear()
            self._loop.call_soon(self.protocol.connection_lost, error)
