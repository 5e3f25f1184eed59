"""The life of a worker's server, to be read from top to bottom: start up, listen, run, drain, shut down."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from pronghorn.acceptor import Acceptor
from pronghorn.asgi.context import Context
from pronghorn.lifespan import Lifespan
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import open_http1
from pronghorn.net.reaper import Reaper
from pronghorn.settings import Settings

#: The share of graceful_timeout after which what is left is cancelled, so that the rest of the way, lifespan
#: shutdown included, is over before Gunicorn's SIGKILL.
_DRAIN_SHARE = 0.9
#: Seconds that cancelled applications get to return.
_CANCEL_GRACE = 1.0
#: Seconds for lifespan shutdown when the worker was told to quit at once.
_QUICK_SHUTDOWN = 1.0


class Server:
    """Serves one application on the listening sockets of one worker.

    ``stop(quick)`` ends ``serve``; it may be called from a signal handler that runs in the loop's thread.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        settings: Settings,
        log: Any,
        listeners: list[socket.socket],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        loop = asyncio.get_event_loop()
        self._loop = loop
        self._settings = settings
        self._log = log
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._quitting: asyncio.Future[None] = loop.create_future()
        self._take_waiting = True
        self._date_timer: asyncio.TimerHandle | None = None
        self.context = _make_context(app, settings, loop, log)
        self.context.on_fatal = self._fail
        self._lifespan = Lifespan(app, settings.lifespan, log)
        self._reaper = Reaper(loop, self.context)
        self._acceptor = Acceptor(
            loop,
            listeners,
            self._make_connection,
            most=settings.limits.worker_connections,
            count=lambda: len(self._reaper.connections),
            log=log,
            tls=tls,
        )
        self._reaper.on_change = self._acceptor.watch

    def stop(self, quick: bool = False) -> None:
        """Stop serving: drain, or with ``quick`` only cancel."""
        if not self._stopping.done():
            self._stopping.set_result(None)
        if quick and not self._quitting.done():
            self._quitting.set_result(None)

    def retire(self) -> None:
        """Stop because a successor takes over: what waits in the backlog is left to it and the siblings."""
        self._take_waiting = False
        self._acceptor.retire()
        self.stop()

    def _fail(self, error: BaseException) -> None:
        """Something raised SystemExit or KeyboardInterrupt in the application: the worker ends with it."""
        if not self._stopping.done():
            self._stopping.set_exception(error)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped. Raises LifespanFailed before ``on_ready`` is called, never after."""
        await self._lifespan.startup()
        self.context.state = self._lifespan.state
        self.context.start_eagerly(self._settings.eager_tasks)
        self._write_date()
        self._reaper.start()
        self._acceptor.start()
        on_ready()
        try:
            await self._stopping
        finally:
            await self._drain()
            await self._shut_down()

    async def _drain(self) -> None:
        """End all connections: announced, in the peers' own time, within the drain's share of graceful_timeout."""
        context = self.context
        budget = self._settings.timeouts.graceful * _DRAIN_SHARE
        end = self._loop.time() + budget
        context.draining = True
        await self._acceptor.stop(take_waiting=self._take_waiting)
        self._reaper.hurry()
        for connection in list(self._reaper.connections):
            connection.drain()
        finished = self._loop.create_task(self._wait_until_finished())
        await asyncio.wait(
            [finished, self._quitting], timeout=end - self._loop.time(), return_when=asyncio.FIRST_COMPLETED
        )
        if not finished.done():
            self._terminate()
            await asyncio.wait([finished], timeout=_CANCEL_GRACE)
        finished.cancel()
        for connection in list(self._reaper.connections):
            connection.abort()

    async def _wait_until_finished(self) -> None:
        await self._reaper.wait_until_empty()
        while self.context.tasks:
            await asyncio.wait(self.context.tasks)

    def _terminate(self) -> None:
        """The time for draining is over: cancel what still runs."""
        tasks = list(self.context.tasks)
        if tasks:
            self._log.warning("Cancelling %d request(s) that did not end within graceful_timeout", len(tasks))
        for connection in list(self._reaper.connections):
            connection.terminate()
        for task in tasks:
            task.cancel()

    async def _shut_down(self) -> None:
        shutdown = self._loop.create_task(self._lifespan.shutdown())
        timeout = _QUICK_SHUTDOWN if self._quitting.done() else self._settings.timeouts.graceful
        await asyncio.wait([shutdown], timeout=timeout)
        if not shutdown.done():
            self._log.warning("ASGI lifespan shutdown did not end in time")
            shutdown.cancel()
        await self._lifespan.cancel()
        self._reaper.stop()
        if self._date_timer is not None:
            self._date_timer.cancel()

    def _make_connection(self) -> Connection:
        return Connection(self.context, self._reaper, open_http1)

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
    context.max_body_size = settings.limits.max_body_size
    context.rules = settings.rules
    context.trusting_rules = settings.trusting_rules
    context.root_path = settings.root_path
    return context
