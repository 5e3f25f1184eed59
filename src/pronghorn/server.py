"""The life of a worker's server, to be read from top to bottom: start up, listen, run, drain, shut down."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from pronghorn.acceptor import Acceptor
from pronghorn.asgi.context import Context, is_reentrant
from pronghorn.defaultheaders import DefaultHeaders
from pronghorn.droppedfields import DroppedFields
from pronghorn.lifespan import Lifespan, LifespanFailed
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.overload import HealthAnswer, Limiter
from pronghorn.proxyheader import ProxyHeaderReader
from pronghorn.scoreboard import Row
from pronghorn.settings import Settings
from pronghorn.tls import ServerTls

#: Seconds for lifespan shutdown when requests have used up all of graceful_timeout.
_LEAST_SHUTDOWN = 0.1
#: Seconds that streams get to end themselves, where graceful_timeout has so many to spare.
_LAST_CALL = 5.0
#: Seconds that requests get when the code has changed under ``reload``.
_RELOAD = 1.0
#: Seconds after which a request counts as a long one: a worker that nobody stands in for is not replaced under it.
_LONG = 1.0
#: Seconds that streams get to end themselves where nobody serves meanwhile.
_STREAMS_END = 1.0
#: Seconds between two looks at the scoreboard while waiting for another worker: memory that changes wakes nobody.
_LOOK = 0.1
#: Seconds until every worker that is to end has been told.
_ORDERS_ARRIVE = 1.0
#: Seconds until it shows whether the others are told to end as well. Shorter than idle connections linger.
_ALL_TOLD = 0.2
#: Seconds for which idle connections linger on in a worker that others have replaced.
_UNHURRIED = 1.8
#: The share of the time for requests that a worker goes on accepting while its successor boots.
_SUCCESSOR_SHARE = 0.5


class Budget:
    """How graceful_timeout is shared: moments in seconds after the order to stop.

    Gunicorn sends SIGKILL at ``graceful``. Nine tenths of it are the requests'. ``last_call``: streams without an end
    of their own are told to end; ``cancel``: what still runs is cancelled; ``give_up``: it has returned or is left
    behind; ``end``: lifespan shutdown is over.
    """

    __slots__ = ("cancel", "end", "give_up", "graceful", "last_call")

    def __init__(self, graceful: float) -> None:
        reserve = max(0.1 * graceful, min(1.0, 0.25 * graceful))
        self.graceful = graceful
        self.cancel = graceful - reserve
        self.last_call = self.cancel - min(_LAST_CALL, self.cancel / 4)
        self.give_up = graceful - 0.6 * reserve
        self.end = graceful - 0.15 * reserve

    def let_streams_go(self) -> None:
        """Nobody serves until this worker has ended: streams are told at once. Requests keep their time."""
        self.last_call = 0.0

    def reload(self) -> None:
        """Somebody waits for new code. Requests get a moment, streams none."""
        self.last_call = 0.0
        self.cancel = min(self.cancel, _RELOAD)
        self.give_up = min(self.give_up, _RELOAD + 0.3)
        self.end = min(self.end, _RELOAD + 1.0)
        self.graceful = min(self.graceful, _RELOAD + 1.5)

    def hurry(self) -> None:
        """The order is to quit: nobody gets time of his own. Gunicorn sends SIGKILL a second after SIGABRT."""
        self.last_call = self.cancel = 0.0
        self.give_up = 0.25
        self.end = 0.6
        self.graceful = 1.0


class Server:
    """Serves one application on the listening sockets of one worker.

    ``stop()`` ends ``serve``; it may be called from a signal handler that runs in the loop's thread. ``row``: the
    worker's row of the scoreboard, None where it has none. ``own_listeners``: nobody else has these listeners
    (``reuse_port``), so what waits in their backlogs is this worker's.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        settings: Settings,
        log: Any,
        listeners: list[Any],
        tls: ServerTls | None = None,
        *,
        row: Row | None = None,
        own_listeners: bool = False,
    ) -> None:
        loop = asyncio.get_event_loop()
        self._loop = loop
        self._settings = settings
        self._log = log
        self._row = row
        self._own_listeners = own_listeners
        self._budget = Budget(settings.timeouts.graceful)
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._quitting: asyncio.Future[None] = loop.create_future()
        self._stopped_at = 0.0
        self._retired = False
        self._patient_until = 0.0
        self._recall: asyncio.Task[None] | None = None
        self._date_timer: asyncio.TimerHandle | None = None
        self.context = _make_context(app, settings, loop, log)
        self._limiter: Limiter | None = None
        if settings.limits.concurrent_requests:
            most, queue = settings.limits.concurrent_requests, settings.limits.queued_requests
            self._limiter = self.context.app = Limiter(self.context.app, most, queue, settings.health_path, log)
        if settings.response_headers:
            self.context.app = DefaultHeaders(self.context.app, settings.response_headers)
        if tls is not None:
            self.context.tls_extension = tls.extension
        self._lifespan = Lifespan(app, settings.lifespan, log)
        self._reaper = Reaper(loop, self.context)
        self._turn = Turn(self.context)
        self._acceptor = Acceptor(
            loop,
            listeners,
            self._make_connection,
            most=settings.limits.worker_connections,
            count=lambda: len(self._reaper.connections),
            log=log,
            tls=tls,
            handshake_timeout=settings.timeouts.header,
            row=None if own_listeners else row,
            proxy_headers=self._make_proxy_headers(),
            peer_log=self.context.peer_log,
            give_up=self._reaper.give_up_idle,
        )
        self._reaper.on_change = self._acceptor.closed

    def stop(self, quick: bool = False, told_at: float = 0.0) -> None:
        """Stop serving: drain, or with ``quick`` only cancel. ``told_at``: the loop's time of the order, 0 for now."""
        if quick and not self._quitting.done():
            self._stopped_at = self._loop.time()
            self._budget.hurry()
            self._quitting.set_result(None)
        if not self._stopping.done():
            self._stopped_at = told_at or self._loop.time()
            self._stopping.set_result(None)
        elif self._retired and self._recall is None and not quick:
            self._recall = self._loop.create_task(self._give_listeners_up(take_waiting=self._is_last()))

    def reload(self) -> None:
        """Stop because the code has changed: as ``stop``, in about a second."""
        self._budget.reload()
        self.stop()

    def retire(self) -> None:
        """Stop because a successor takes over, which the master starts when this process has ended.

        Until then the other workers have to serve. Where each of them is about to end as well, this one goes on as if
        nothing had been until another is there. Where there is no other, it goes on until the long requests have ended
        that are under way now, and then ends its streams at once.
        """
        if self._stopping.done():
            return
        self.context.max_requests = sys.maxsize
        alone = not self._own_listeners and self._is_last()
        if alone and self._has_long_requests():
            self._loop.call_later(_LOOK, self.retire)
            return
        leaves = self._row is None or self._row.leave()
        self.context.draining = leaves
        if leaves:
            if alone:
                self._budget.let_streams_go()
                self._loop.call_later(_STREAMS_END, self._cancel_streams)
            self._acceptor.retire()
            self.stop()
            self._retired = True
        else:
            self._loop.call_later(_LOOK, self.retire)

    def _has_long_requests(self) -> bool:
        """Whether requests are under way that took long already and have an end of their own; for a time."""
        now = self._loop.time()
        if not self._patient_until:
            self._patient_until = now + self._budget.cancel
        return now < self._patient_until and any(
            one.started and now - one.started > _LONG and not one.is_endless() for one in self.exchanges()
        )

    def _cancel_streams(self) -> None:
        for one in self.exchanges():
            if one.is_endless():
                one.cancel()

    def beat(self) -> None:
        """The worker's heartbeat, while it serves."""
        if self.context.eager and is_reentrant(self._loop):  # since it began to serve
            self.context.start_eagerly(False)
        if self._row is not None:
            self._row.beat(self._acceptor.load, self.context.requests)

    def exchanges(self) -> list[Any]:
        """The requests under way, with or without a client. May be called from another thread, for diagnostics."""
        exchanges = [one for connection in list(self._reaper.connections) for one in connection.exchanges()]
        return list(dict.fromkeys([*exchanges, *list(self.context.tasks.values())]))

    @property
    def time_left(self) -> float:
        """Seconds of graceful_timeout that are left to a server that was told to stop."""
        return self._left(self._budget.graceful)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped. Raises LifespanFailed before ``on_ready`` is called, never after."""
        if not await self._start_up():
            return
        self.context.state = self._lifespan.state
        self.context.start_eagerly(self._settings.eager_tasks)
        if self._settings.gc_freeze:
            gc.collect()
            gc.freeze()
        self._write_date()
        self._reaper.start()
        if self._row is not None:
            self._row.serve()
        self._acceptor.start()
        on_ready()
        try:
            await self._stopping
            await self._hand_over()
        finally:
            await self._drain()
            await self._shut_down()

    async def _start_up(self) -> bool:
        """Start the application; False when the order to stop came first, for then nothing is in flight yet."""
        starting = self._loop.create_task(self._lifespan.startup())
        most = self._settings.timeouts.startup
        await asyncio.wait([starting, self._stopping], timeout=most or None, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done() and self._stopping.done() and self._is_waited_for():
            self._log.info("Told to stop while starting: serving first what waits, for nobody else will")
            await self._wait_for(starting, "cancel")
        if starting.done():
            starting.result()
            return True
        starting.cancel()
        await self._lifespan.cancel()
        if not self._stopping.done():
            raise LifespanFailed(f"it took longer than startup_timeout={most:g}")
        self._log.info("Stopped before the application had started")
        return False

    def _is_waited_for(self) -> bool:
        """Whether there are connections that will be lost if this worker, told to end, does not serve them first."""
        if self._row is not None:
            self._row.drain()  # said before the look: of several that are told at once, the last one to look is left
        alone = self._own_listeners or self._is_last()
        return alone and not self._quitting.done() and self._acceptor.is_waited_for()

    # -- from the order to stop to the drain ------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        """Go on serving until it can be left to others: load balancers that learn late, workers that still boot."""
        if self._retired or self._quitting.done():
            return
        if self._row is not None:
            self._row.want_to_leave()
        if self._settings.health_path:
            self.context.app = HealthAnswer(self.context.app, self._settings.health_path, self._is_last)
        if self._settings.shutdown_delay:
            # Each response announces the end of its connection from now on: a client that asks no load balancer
            # before it uses a connection again has to be told while there is somebody to tell it.
            self.context.keepalive = 0.0
            await self._serve_until(self._settings.shutdown_delay, self._is_not_needed)
        row = self._row
        if row is not None and row.others_boot() and not row.others_serve():
            await self._serve_until(self._budget.cancel * _SUCCESSOR_SHARE, self._is_succeeded)

    async def _serve_until(self, seconds: float, is_over: Callable[[], bool]) -> None:
        """Let ``seconds`` pass since the order to stop, or until ``is_over()`` says yes."""
        end = self._stopped_at + seconds
        while not self._quitting.done() and not is_over() and (left := end - self._loop.time()) > 0:
            await asyncio.wait([self._quitting], timeout=min(left, _LOOK))

    def _is_last(self) -> bool:
        """Whether nobody will serve on these listeners when this worker has ended."""
        row = self._row
        return row is None or not (row.others_serve() or row.others_boot())

    def _is_not_needed(self) -> bool:
        """Whether others go on. When all have to end, not each of them knows at the same moment."""
        return self._loop.time() - self._stopped_at >= _ORDERS_ARRIVE and not self._is_last()

    def _is_succeeded(self) -> bool:
        row = self._row
        return row is None or not row.others_boot()

    # -- the end ----------------------------------------------------------------------------------------------------

    def _left(self, moment: float) -> float:
        """Seconds from now to a moment of the budget."""
        return max(self._stopped_at + moment - self._loop.time(), 0.0)

    async def _drain(self) -> None:
        """End all connections: announced, in the peers' own time, within the requests' share of graceful_timeout."""
        self.context.draining = True
        self._acceptor.retire()
        if self._row is not None:
            self._row.drain()
        self._reaper.hurry()
        for connection in list(self._reaper.connections):
            connection.drain()
        self._loop.call_later(_ALL_TOLD, self._take_time)
        finished = self._loop.create_task(self._finish())
        await self._wait_for(finished, "last_call")
        if not finished.done():
            for connection in list(self._reaper.connections):
                connection.wind_up()
            await self._wait_for(finished, "cancel")
        if not finished.done():
            self._terminate()
            await self._wait_for(finished, "give_up")
        finished.cancel()
        if self._recall is not None:
            self._recall.cancel()
        self._acceptor.close()
        for connection in list(self._reaper.connections):
            connection.abort()

    def _take_time(self) -> None:
        """Where others serve on, let idle connections linger for longer: for clients that are late themselves."""
        seconds = min(_UNHURRIED, self._budget.cancel / 4)
        if not self._retired and not self._quitting.done() and self._others_take_over():
            self.context.unhurried = True
            self._loop.call_later(seconds, setattr, self.context, "unhurried", False)

    async def _finish(self) -> None:
        """Serve what is still to be served, and return when nothing is left."""
        if self._retired and not self._own_listeners and self._is_last():
            # What waits is the successor's, which the master starts when this process has ended, or ours after all,
            # where we are told to stop before that: the listeners stay open.
            await self._acceptor.settle(self._left(self._budget.cancel))
        else:
            await self._give_listeners_up(
                take_waiting=self._own_listeners or not (self._retired or self._others_take_over())
            )
        await self._reaper.wait_until_empty()
        if self._recall is not None:
            await self._recall
            await self._reaper.wait_until_empty()
        while self.context.tasks:
            await asyncio.wait(self.context.tasks)

    async def _give_listeners_up(self, take_waiting: bool) -> None:
        await self._acceptor.stop(take_waiting=take_waiting, timeout=self._left(self._budget.cancel))

    async def _wait_for(self, task: asyncio.Task[None], moment: str) -> None:
        """Wait for ``task`` until a moment of the budget, which comes sooner once the order is to quit."""
        while not task.done() and (left := self._left(getattr(self._budget, moment))) > 0:
            awaited = [task] if self._quitting.done() else [task, self._quitting]
            await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    def _others_take_over(self) -> bool:
        """Whether the backlog can be left to others. Asked after saying that this worker drains: where all do at the
        same time, the last one to ask sees that it is the last."""
        return self._row is not None and self._row.others_serve()

    def _terminate(self) -> None:
        """The time for draining is over: cancel what still runs."""
        tasks = list(self.context.tasks)
        if tasks:
            why = "which the worker does not wait for" if self._quitting.done() else "not ended within graceful_timeout"
            self._log.warning("Cancelling %d request(s), %s", len(tasks), why)
        for connection in list(self._reaper.connections):
            connection.terminate()
        for task in tasks:
            task.cancel()

    async def _shut_down(self) -> None:
        shutdown = self._loop.create_task(self._lifespan.shutdown())
        self._budget.end = max(self._budget.end, self._loop.time() - self._stopped_at + _LEAST_SHUTDOWN)
        await self._wait_for(shutdown, "end")
        if not shutdown.done():
            self._log.warning("ASGI lifespan shutdown did not end in time")
            shutdown.cancel()
        await self._lifespan.cancel()
        self._reaper.stop()
        self.context.peer_log.flush()
        if self._limiter is not None:
            self._limiter.flush()
        if self._date_timer is not None:
            self._date_timer.cancel()

    # -- parts ------------------------------------------------------------------------------------------------------

    def _make_connection(self) -> Connection:
        return Connection(self.context, self._reaper, self._turn, self._open_protocol)

    def _make_proxy_headers(self) -> ProxyHeaderReader | None:
        settings = self._settings
        if settings.proxy_protocol == "off":
            return None
        return ProxyHeaderReader(self._loop, settings.proxy_protocol, settings.proxy_peers, settings.timeouts.header)

    def _open_protocol(self, connection: Connection) -> Any:
        self._acceptor.made(connection)
        return Http1(connection)

    def _write_date(self) -> None:
        """Write the Server line, and keep the Date line current (RFC 9110 section 6.6.1)."""
        server = self._settings.server_header.encode("ascii")
        server_line = b"server: %b\r\n" % server if server else b""
        date_line = b"date: %b\r\n" % formatdate(usegmt=True).encode() if self._settings.date_header else b""
        self.context.set_defaults(date_line, server_line)
        if date_line:
            self._date_timer = self._loop.call_later(1.0, self._write_date)


def _make_context(
    app: Callable[..., Any], settings: Settings, loop: asyncio.AbstractEventLoop, log: Any
) -> Context:
    context = Context(app, loop, log)
    timeouts = settings.timeouts
    context.keepalive = timeouts.keepalive
    context.header_timeout = timeouts.header
    context.body_timeout = timeouts.body
    context.write_timeout = timeouts.write
    context.request_timeout = timeouts.request
    context.disconnect_grace_period = timeouts.disconnect_grace_period
    context.cancels_unsafe = timeouts.cancels_unsafe
    context.max_body_size = settings.limits.max_body_size
    settings.rules.on_dropped = settings.trusting_rules.on_dropped = DroppedFields(log)
    context.rules = settings.rules
    context.trusting_rules = settings.trusting_rules
    context.root_path = settings.root_path
    context.sendfile = context.sendfile and settings.sendfile
    context.is_trusted = settings.trusted_peers.trusts
    context.forwarded = settings.forwarded if settings.forwarded.reads else None
    context.websockets = settings.websockets
    return context
