"""The client's end of one connection that serves an application: over a fake transport, or over a real socket.

One vocabulary for all of them: bytes, FIN and RST go in, the client reads or does not, the loop turns. So a script runs
unchanged over a transport in the test's hand, which is as harsh as any loop, and over sockets on uvloop's loop and on
asyncio's, which show whether that is what loops do.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.ends import ends_of
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules
from tests.asgi.doubles import MOST_TURNS, make_context
from tests.net.support import Wire
from tests.net.transport import MOST_READS

#: Bytes that the kernel keeps for a client that does not read, each way. In small segments, or the window opens late.
_KERNEL_BUFFER = 16384
_SEGMENT = 1024
_RESET = struct.pack("ii", 1, 0)
#: Turns after which a quiet loop is given a moment: what is in the kernel's hands may take one.
_IMPATIENT_TURNS = 50
_MOMENT = 0.001


class Peer:
    """``received``: what the client has read. ``ended``: it has read the end, and ``was_reset``: by a reset.

    ``client``: its address, None where it has none.
    """

    client: tuple[str, int] | None
    context: Context
    reaper: Reaper
    turn: Turn
    connection: Connection

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.was_reset = False

    async def open(self, app: Callable[..., Any], **attributes: Any) -> None:
        """Connect to a server of ``app``; ``attributes``: of its context."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def fin(self) -> None:
        """The client sends no more."""
        raise NotImplementedError

    def reset(self) -> None:
        """The client is gone, and says so with a reset where there is such a thing."""
        raise NotImplementedError

    def stop_reading(self) -> None:
        raise NotImplementedError

    def read(self, size: int) -> None:
        """Read ``size`` bytes at most, and no more for now."""
        raise NotImplementedError

    def read_all(self) -> None:
        """Read what there is and what comes."""
        raise NotImplementedError

    def look(self) -> None:
        """Bring ``received`` and ``ended`` up to date."""

    def take_turn(self) -> None:
        """Answer what was read, before the loop turns."""
        self.turn.run()

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass and sweep once."""
        self.reaper.sweep(self.context.clock + seconds)

    async def let_turn(self, turns: int = 1) -> None:
        """Let the loop turn."""
        for _ in range(turns):
            self.look()
            await asyncio.sleep(0)
        self.look()

    async def until(self, condition: Callable[[], Any], what: str, turns: int = MOST_TURNS) -> None:
        for _ in range(turns):
            if condition():
                return
            await self.let_turn()
        raise AssertionError(f"never came true: {what}")

    async def come_to_rest(self, turns: int = 25) -> None:
        """Let everything happen that is going to without the client."""
        quiet = 0
        while quiet < turns:
            before = self._marks()
            await self.let_turn()
            quiet = quiet + 1 if before == self._marks() else 0

    def _marks(self) -> tuple[Any, ...]:
        return len(self.received), self.ended, len(self.context.tasks), self.connection.unsent(), self.context.requests

    def close(self) -> None:
        """Let nothing of the client be left."""


class FakePeer(Peer):
    """Over ``FakeTransport``. ``reads_at_once`` and ``old_writelines``: its manners."""

    def __init__(self, reads_at_once: int = MOST_READS, old_writelines: bool = False) -> None:
        super().__init__()
        self._manners = reads_at_once, old_writelines

    async def open(self, app: Callable[..., Any], **attributes: Any) -> None:
        self.wire = Wire(app, **attributes)
        self.transport = self.wire.transport
        self.transport.reads_at_once, self.transport.old_writelines = self._manners
        self.context, self.reaper, self.turn = self.wire.context, self.wire.reaper, self.wire.turn
        self.connection = self.wire.connection
        self.received = self.transport.received
        self.client = self.wire.connection.ends.client

    def send(self, data: bytes) -> None:
        self.transport.arrive(data)

    def fin(self) -> None:
        self.transport.arrive(b"")

    def reset(self) -> None:
        self.ended = self.was_reset = True
        self.transport.reset()

    def stop_reading(self) -> None:
        self.transport.peer_reads = False

    def read(self, size: int) -> None:
        self.transport.peer_reads = False
        self.transport.take(size)

    def read_all(self) -> None:
        self.transport.peer_reads = True
        self.transport.take()

    def look(self) -> None:
        transport = self.transport
        if transport.lost or (transport.eof_written and not transport.get_write_buffer_size()):
            self.ended = True


class SocketPeer(Peer):
    """Over a pair of real sockets, on the running loop: TCP, or ``family`` AF_UNIX.

    ``early``: bytes that the client sends at once, to reset the connection before the loop has made a transport of it.
    """

    def __init__(self, family: int = socket.AF_INET, early: bytes = b"") -> None:
        super().__init__()
        self._family = family
        self._early = early
        self._outbox = bytearray()
        self._ends = False
        self._said_end = False
        self._reads = True
        self._allowance = 0
        self._idle = 0

    async def open(self, app: Callable[..., Any], *, eager: bool = False, **attributes: Any) -> None:
        rules = Rules()
        loop = asyncio.get_running_loop()
        self.context = make_context(app, eager=eager, rules=rules, trusting_rules=rules, **attributes)
        self.reaper = Reaper(loop, self.context)
        self.turn = Turn(self.context)
        self.connection = Connection(self.context, self.reaper, self.turn, Http1)
        if self._family == socket.AF_UNIX:
            self._sock, ours = socket.socketpair()
            name = self.client = None
        else:
            self._sock, ours, name = _tcp_pair()
            self.client = name
        self.connection.ends = ends_of(ours.family, name, ours.getsockname())
        self._sock.setblocking(False)
        ours.setblocking(False)
        if self._early:
            self._sock.send(self._early)
            self.reset()
        await loop.connect_accepted_socket(lambda: self.connection, ours)

    def send(self, data: bytes) -> None:
        self._outbox += data
        self.look()

    def fin(self) -> None:
        self._ends = True
        self.look()

    def reset(self) -> None:
        self.ended = self.was_reset = True
        if self._sock.fileno() >= 0 and self._family != socket.AF_UNIX:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()

    def stop_reading(self) -> None:
        self._reads = False

    def read(self, size: int) -> None:
        self._reads = False
        self._allowance = size
        self.look()

    def read_all(self) -> None:
        self._reads = True
        self.look()

    def look(self) -> None:
        if self._sock.fileno() < 0:
            return
        try:
            self._send_what_goes()
            while not self.ended and (self._reads or self._allowance):
                data = self._sock.recv(1 << 18 if self._reads else self._allowance)
                self._allowance = max(self._allowance - len(data), 0)
                self.received += data
                self.ended = not data
        except BlockingIOError:
            pass
        except ConnectionError:
            self.ended = self.was_reset = True

    def _send_what_goes(self) -> None:
        try:
            while self._outbox:
                del self._outbox[: self._sock.send(self._outbox)]
            if self._ends and not self._said_end:
                self._said_end = True
                self._sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass  # the server does not read
        except OSError as error:  # the server has gone; what it said before may still be read
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise
            self._outbox.clear()

    def take_turn(self) -> None:
        """The loop's alone."""

    async def let_turn(self, turns: int = 1) -> None:
        await super().let_turn(turns)
        self._idle += turns
        if self._idle >= _IMPATIENT_TURNS:
            self._idle = 0
            await asyncio.sleep(_MOMENT)

    def close(self) -> None:
        self._sock.close()


def _tcp_pair() -> tuple[socket.socket, socket.socket, tuple[str, int]]:
    """The client's end and the server's, with little room between them, and the client's address."""
    with socket.socket() as listener:
        for name in ("SO_RCVBUF", "SO_SNDBUF"):
            listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), _KERNEL_BUFFER)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Gunicorn's do
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(listener.getsockname())
        return client, *listener.accept()


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))
