"""Accepts connections from the listening sockets that the workers share.

A worker takes one connection per wake-up and steps aside for a moment when another worker has fewer, so that a burst
spreads: it leaves the processor to the others a few times, then a few milliseconds, then takes what is left. It takes
none while it has ``worker_connections`` open, so that the rest stays in the backlog for the others.
Knows listeners and the scoreboard's row of its worker; what happens on a connection is the protocol's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from pronghorn.asgi.peer_log import PeerLog
from pronghorn.crowding import Crowding
from pronghorn.net.closing import shut_down_sending
from pronghorn.net.ends import Ends, ends_of, name_of, own_name
from pronghorn.proxyheader import Opening, ProxyHeaderReader
from pronghorn.readable import Readable
from pronghorn.scoreboard import CLOSED, Row
from pronghorn.tls import ServerTls, is_plain_http
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.escaping import escaped

#: Seconds to leave the listeners alone after accept failed for want of descriptors or memory.
RETRY = 1.0
#: One part in so many that a worker may have more than another. Below that, connections come and go by themselves.
_SLACK = 10
#: How often a worker with more connections leaves a waiting one to the others for a turn of its loop, to begin with.
_MOST_YIELDS = 8
#: Seconds that a worker with more connections leaves the listeners to the others before it looks again.
ASIDE = 0.002
#: How often it does so for one connection before it takes it: others may have to wait for a processor as well.
_MOST_ASIDE = 5
#: Connections taken per wake-up by a worker that is alone, before it turns to those it has.
_MOST_PER_WAKE_UP = 4
#: Waiting connections taken over when the listener is given up, at most: more than any backlog holds.
_MOST_AT_ONCE = 65536
#: Seconds that handshakes under way get when the listeners are given up.
_HANDSHAKES = 2.0
#: Seconds that stand for "no limit" where the loop wants a number, and for none left.
_WITHOUT_END = 30 * 86400.0
_LEAST = 0.001
#: Bytes looked at to tell TLS from what is none.
_LOOK = 32
#: accept(2): what became of the connection while it waited, and says nothing of the listener.
_LOST_WHILE_WAITING = {
    getattr(errno, name)
    for name in ("ECONNABORTED", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH",
                 "EOPNOTSUPP", "ENETUNREACH", "EPERM")
    if hasattr(errno, name)
}  # fmt: skip


class Acceptor:
    """Watches ``listeners``; each accepted socket goes to a new protocol from ``make_protocol``.

    ``make_protocol``: makes an asyncio protocol, whose ``ends`` are set before anything else is done with it.
    ``listeners``: sockets, or Gunicorn's wrappers of them, which are closed by their own ``close``: a descriptor of
    this process that stayed open would go on taking connections into a backlog that nobody empties.
    ``handshake_timeout``: seconds for a TLS handshake, 0 for any time.
    ``most``: connections this worker may have open. ``count``: callable that says how many are made.
    ``row``: this worker's row of the scoreboard, None where connections need no balance. ``give_up``: ends so many idle
    connections at most, and returns how many: asked when others wait and there is no room.
    Call ``made`` when a protocol's connection is made, ``closed`` when one has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: list[Any],
        make_protocol: Callable[[], Any],
        *,
        most: int,
        count: Callable[[], int],
        log: Any,
        tls: ServerTls | None = None,
        handshake_timeout: float = 0.0,
        row: Row | None = None,
        proxy_headers: ProxyHeaderReader | None = None,
        peer_log: PeerLog | None = None,
        give_up: Callable[[int], int] = lambda most: 0,
    ) -> None:
        self._loop = loop
        self._opened = list(listeners)
        self._listeners: list[socket.socket] = [getattr(one, "sock", one) for one in listeners]
        self._names = {listener: name_of(listener) for listener in self._listeners}
        self._make_protocol = make_protocol
        self._most = most
        self._count = count
        self._log = log
        self._peer_log = peer_log or PeerLog(log)
        self._tls = tls
        self._handshake_timeout = handshake_timeout or _WITHOUT_END
        self._tls_times: dict[str, Any] = {}
        if not isinstance(loop, asyncio.BaseEventLoop) or sys.version_info >= (3, 11):
            # Whether a peer still reads what was written is ``Connection``'s to judge, by its progress.
            self._tls_times["ssl_shutdown_timeout"] = _WITHOUT_END
        self._readable = Readable(loop, "TLS handshake")
        self._row = row
        self._proxy_headers = proxy_headers
        self._pending: set[Any] = set()
        self._handshakes: dict[asyncio.Task[None], Any] = {}
        self._settled: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._is_short = False
        self._watching = False
        self._pause: asyncio.TimerHandle | None = None
        self._yields = 0
        self._asides = 0
        self._offered: dict[int, int] = {}
        self._running = False
        self._crowding = Crowding(
            loop,
            log,
            most,
            load=lambda: self.load,
            waiting=self.waiting,
            give_up=give_up,
            others_have_room=lambda: row is not None and bool(row.outdone_by(most)),
        )

    @property
    def load(self) -> int:
        """Connections that are open or about to be."""
        return self._count() + len(self._pending)

    def start(self) -> None:
        """Begin to accept."""
        self._running = True
        if self._tls is not None:
            _leave_handshakes_to_their_line(self._loop)
        for listener in self._listeners:
            listener.setblocking(False)
        self._resume()

    def retire(self) -> None:
        """Accept nothing more, from this moment on; what comes waits in the backlog until ``stop``."""
        self._running = False
        self._unwatch()
        self._crowding.stop()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._row is not None:
            self._row.publish(CLOSED)

    def is_waited_for(self) -> bool:
        """Whether a connection waits in a backlog."""
        poll = select.poll()
        for listener in self._listeners:
            poll.register(listener, select.POLLIN)
        return bool(poll.poll(0))

    def waiting(self) -> int:
        """How many connections wait in the backlogs, as far as the system tells: at least 1 where any does."""
        if not self.is_waited_for():
            return 0
        return max(sum(_waiting_at(listener) for listener in self._listeners), 1)

    async def stop(self, *, take_waiting: bool, timeout: float) -> None:
        """Give the listeners up, and wait until all that was accepted is made, for ``timeout`` seconds at most.

        ``take_waiting``: accept first what already waits in the backlogs, for ``timeout`` seconds at most where there
        is no descriptor left for all of it at once. A connection left there is served by whoever still listens; when
        nobody does, the kernel resets it.
        """
        self.retire()
        end = self._loop.time() + timeout
        while self._listeners:
            if take_waiting:
                await self._take_waiting(self._listeners[0], end)
            # At once after the look: what comes between the two is lost where nobody else listens.
            self._opened.pop(0).close()
            del self._listeners[0]
        await self.settle(end - self._loop.time())

    async def settle(self, timeout: float) -> None:
        """Wait until all that was accepted is made, for ``timeout`` seconds at most; the peers may take their time for
        a handshake, but only some of it."""
        if self._proxy_headers is not None:
            self._proxy_headers.drain()
        if self._pending:
            self._settled = self._loop.create_future()
            await asyncio.wait([self._settled], timeout=max(min(timeout, _HANDSHAKES), 0.0))
        self._cancel_handshakes()

    def close(self) -> None:
        """Give the listeners up as they are, and what is not yet made."""
        self.retire()
        for listener in self._opened:
            listener.close()
        self._listeners.clear()
        self._opened.clear()
        self._cancel_handshakes()

    def _cancel_handshakes(self) -> None:
        for task, protocol in self._handshakes.items():
            if protocol in self._pending:
                task.cancel()

    async def _take_waiting(self, listener: socket.socket, end: float) -> None:
        """Accept until nobody waits, as fast as others end where there are too many for the descriptors."""
        taken = 0
        while taken < _MOST_AT_ONCE:
            self._room = None
            if self._accept(listener):
                taken += 1
            elif self._room is None:
                return
            else:
                left = end - self._loop.time()
                if left <= 0:
                    return
                await asyncio.wait([self._room], timeout=min(left, RETRY))

    # -- what became of a connection --------------------------------------------------------------------------------

    def made(self, protocol: Any) -> None:
        """The connection of ``protocol`` is made: from now on ``count`` counts it."""
        self._pending.discard(protocol)
        if self._settled is not None and not self._pending and not self._settled.done():
            self._settled.set_result(None)

    def closed(self) -> None:
        """A connection has ended: there may be room again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._running:
            load = self.load
            if load == 0 and self._offered and self._pause is not None:
                self._pause.cancel()
                self._end_rest()
            elif not self._watching and self._pause is None:
                self._resume()
            elif self._row is not None:
                self._publish(load)

    # -- accepting --------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Watch the listeners where there is room."""
        load = self.load
        if load < self._most and not self._watching:
            self._watching = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._on_waiting, listener)
        elif load >= self._most:
            self._crowding.watch()
        self._publish(load)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _publish(self, load: int) -> None:
        if self._row is not None:
            self._row.publish(load if load < self._most else CLOSED)

    def _on_waiting(self, listener: socket.socket) -> None:
        if not self._watching:
            return  # another listener of the same turn of the loop took the last room
        row = self._row
        if row is not None and not row.is_only:
            load = self.load
            self._offered = row.outdone_by(load - load // _SLACK)
            if self._offered:
                self._step_aside()
                return
        for _ in range(1 if row is not None and row.crowded else _MOST_PER_WAKE_UP):
            if not (self._accept(listener) and self._watching):
                return

    def _step_aside(self) -> None:
        """Leave what waits to the others: the processor first, which is all that most of them lack, then some time."""
        if self._yields < _MOST_YIELDS:
            self._yields += 1
            os.sched_yield()
        else:
            self._rest(ASIDE, self._come_back)

    def _come_back(self) -> None:
        """The others had a chance: give them another, or take one of what is still waiting."""
        row = self._row
        load = self.load
        self._asides += 1
        if row is not None and self._asides < _MOST_ASIDE and row.outdone_by(load - load // _SLACK):
            self._pause = self._loop.call_later(ASIDE, self._come_back)
            return
        self._pause = None
        if any(self._accept(listener) for listener in self._listeners) and row is not None:
            row.note_refusal(self._offered)
        if self._pause is None:
            self._end_rest()

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        self._unwatch()
        self._pause = self._loop.call_later(seconds, then)

    def _end_rest(self) -> None:
        self._pause = None
        self._asides = 0
        self._offered = {}
        self._resume()

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; False when there was none."""
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            return self._accept_failed(error)
        self._open(sock, ends_of(sock.family, peer, self._names.get(listener) or own_name(sock)))
        self._yields = 0
        if self._running:
            load = self.load
            self._publish(load)
            if load >= self._most:
                self._unwatch()
                self._crowding.watch()
        return True

    def _accept_failed(self, error: OSError) -> bool:
        if error.errno in _LOST_WHILE_WAITING:
            return True
        if self._running or not self._is_short:
            self._log.error("Cannot accept connections: %s", error)
        if not self._running:
            self._is_short = True
            self._room = self._loop.create_future()
        elif self._pause is None:
            self._rest(RETRY, self._end_rest)
        return False

    # -- opening ----------------------------------------------------------------------------------------------------

    def _open(self, sock: socket.socket, ends: Ends) -> None:
        protocol = self._make_protocol()
        protocol.ends = ends
        self._pending.add(protocol)
        opening = _Opening(self, sock, protocol)
        if self._tls is None and self._proxy_headers is None:
            opening.step()
        else:
            task = self._loop.create_task(opening.run())
            self._handshakes[task] = protocol
            task.add_done_callback(self._handshakes.__delitem__)

    def connect(self, sock: socket.socket, protocol: Any) -> Coroutine[Any, Any, Any]:
        """The way from an accepted socket to a transport."""
        if self._proxy_headers is not None:
            return self._connect_announced(self._proxy_headers, sock, protocol)
        return self._connect(sock, protocol)

    def _connect(
        self, sock: socket.socket, protocol: Any, opening: Opening | None = None
    ) -> Coroutine[Any, Any, Any]:
        """The loop's own way, behind ``opening``, which may have taken the first bytes."""
        if self._tls is None:
            return self._loop.connect_accepted_socket(lambda: protocol, sock)
        return self._connect_tls(self._tls, sock, protocol, opening or Opening())

    async def _connect_announced(self, headers: ProxyHeaderReader, sock: socket.socket, protocol: Any) -> None:
        """Read a PROXY header first. Where it is refused, TLS leaves no way to say so but in the log."""
        opening = await headers.read(sock, protocol.ends)
        if self._tls is not None and opening.error is not None:
            ip = protocol.ends.peer()
            self._peer_log.warning(ip, "Invalid request from ip=%s: %s", ip, opening.error.told())
            raise _Refused
        protocol.opening = opening
        await self._connect(sock, protocol, opening)

    async def _connect_tls(self, tls: ServerTls, sock: socket.socket, protocol: Any, opening: Opening) -> None:
        """Look at the first bytes before the handshake, for when that has failed the loop has closed the socket.

        Plain HTTP goes on without TLS, but only to be refused.
        """
        sock.setblocking(False)
        end = self._loop.time() + self._handshake_timeout
        if is_plain_http(opening.early or await self._readable.peek(sock, _LOOK, end)):
            protocol.opening = replace(opening, error=ProtocolError(400, "Plain HTTP on a port that speaks TLS"))
            await self._loop.connect_accepted_socket(lambda: protocol, sock)
            return
        if opening.early:
            raise ConnectionResetError("neither a PROXY header nor TLS")
        times = {"ssl_handshake_timeout": max(end - self._loop.time(), _LEAST), **self._tls_times}
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls.context, **times)
        except ConnectionAbortedError as error:
            raise asyncio.TimeoutError("the TLS handshake was not complete in time") from error

    def failed(self, sock: socket.socket, protocol: Any, error: BaseException) -> None:
        """A connection did not come about."""
        ip = protocol.ends.peer()
        if isinstance(error, ssl.SSLError):
            self._peer_log.info(ip, "TLS handshake with ip=%s failed: %s", ip, escaped(str(error)))
        elif self._tls is not None and isinstance(error, ValueError):
            # OpenSSL took it, and the loops read all of it into Python's objects, text as UTF-8 among them.
            self._peer_log.info(ip, "TLS handshake with ip=%s failed: unreadable client certificate: %s", ip, error)
        elif isinstance(error, (OSError, asyncio.TimeoutError, asyncio.CancelledError)):
            # Its own affair, and what health checks do all the time, but worth a line when something is searched.
            self._peer_log.debug(ip, "Connection from ip=%s was not opened: %s", ip, escaped(_reason(error)))
        elif not isinstance(error, _Refused):
            self._log.error("Connection was not opened", exc_info=error)
        shut_down_sending(sock)
        sock.close()
        self.made(protocol)
        self.closed()


def _leave_handshakes_to_their_line(loop: asyncio.AbstractEventLoop) -> None:
    """The loops' own report of a handshake that failed is a traceback, and ``failed`` has a line for it."""
    handler = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") == "SSL handshake failed":
            return
        if handler is None:
            loop.default_exception_handler(context)
        else:
            handler(loop, context)

    loop.set_exception_handler(handle)


def _waiting_at(listener: socket.socket) -> int:
    """What Linux tells of a listening TCP socket (``tcpi_unacked``), 0 of any other."""
    if sys.platform != "linux" or listener.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    waiting: int = _UNACKED.unpack_from(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size))[0]
    return waiting


#: The beginning of ``struct tcp_info``.
_UNACKED = struct.Struct("8x16xI")


class _Refused(Exception):
    """The peer may not connect, and the log says why already."""


def _reason(error: BaseException) -> str:
    """What the loops leave without words."""
    if str(error):
        return str(error)
    return "the worker ends" if isinstance(error, asyncio.CancelledError) else "the peer left"


class _Opening:
    """One accepted socket on its way to a transport.

    ``step`` drives the loop's coroutine without a Task, which costs as much as a small request: it waits once, for
    the next turn of the loop.
    """

    __slots__ = ("_acceptor", "_coroutine", "_protocol", "_sock")

    def __init__(self, acceptor: Acceptor, sock: socket.socket, protocol: Any) -> None:
        self._acceptor = acceptor
        self._sock = sock
        self._protocol = protocol
        self._coroutine = acceptor.connect(sock, protocol)

    async def run(self) -> None:
        """Drive it in a task: a TLS handshake takes time, and may have to be cancelled."""
        try:
            await self._coroutine
        except BaseException as error:
            self._acceptor.failed(self._sock, self._protocol, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._acceptor.made(self._protocol)

    def step(self, waiter: asyncio.Future[Any] | None = None) -> None:
        """Go on until the coroutine waits again or ends, as ``asyncio.Task`` would."""
        try:
            waiter = self._coroutine.send(None)
        except StopIteration:
            self._acceptor.made(self._protocol)  # long since, but where making it failed in a way the loop hides
            return
        except (Exception, asyncio.CancelledError) as error:
            self._acceptor.failed(self._sock, self._protocol, error)
            return
        if waiter is None:
            asyncio.get_running_loop().call_soon(self.step)
        else:
            waiter._asyncio_future_blocking = False
            waiter.add_done_callback(self.step)
