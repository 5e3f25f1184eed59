"""What all exchanges of one worker share: the application, the loop, the settings of the hot path, the counters.

One instance per worker, made by ``server.py``, mutable only by the worker's own thread. Nothing of this is module
state, so that two workers in one process would not meet.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pronghorn.asgi.awaitables import coroutine_function
from pronghorn.asgi.forwarding import Forwarder
from pronghorn.asgi.peer_log import PeerLog
from pronghorn.asgi.round import Round
from pronghorn.wire.proxy_protocol import Address


@dataclass(frozen=True)
class WebSocketSettings:
    """Seconds and bytes; 0 switches a limit, or the pings, off.

    ``enabled``: whether there are any; else a handshake is a request like others. ``message_timeout``: for a message
    that has begun to be complete. ``backlog_timeout``: for the application to take what was sent by a client that has
    left. ``compression``: whether permessage-deflate is agreed to (RFC 7692); ``compression_ratio``: how many times its
    compressed size a message of more than 1 MiB may inflate to. ``restart_spread``: seconds over
    which WebSockets are closed when the worker drains, so that their clients do not come back all at once.
    """

    enabled: bool = True
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 10.0
    message_timeout: float = 60.0
    backlog_timeout: float = 30.0
    max_message_size: int = 16 * 1024 * 1024
    max_queue: int = 32
    compression: bool = True
    compression_ratio: int = 100
    restart_spread: float = 5.0


class Context:
    """Shared state of one worker. Times are seconds, sizes bytes.

    ``defaults``: the Date line, the Server line and both, as the wire wants them. ``clock``: the loop's time as of
    the last sweep, good enough for deadlines; ``margin``: by how much it may lag behind. ``observer``: called with each
    finished exchange, or None. ``peer_log``: for lines that a peer can cause. ``sendfile``: whether the kernel may send
    files by itself where it can.
    """

    __slots__ = (
        "app",
        "body_timeout",
        "cancels_unsafe",
        "clock",
        "contextvars",
        "create_task",
        "defaults",
        "disconnect_grace_period",
        "draining",
        "eager",
        "eagerly",
        "forwarded",
        "header_timeout",
        "high_water",
        "in_turn",
        "is_trusted",
        "keepalive",
        "log",
        "loop",
        "margin",
        "max_body_size",
        "max_requests",
        "names_context",
        "observer",
        "on_limit",
        "on_loop",
        "peer_log",
        "pre_request",
        "request_timeout",
        "requests",
        "root_path",
        "round",
        "rules",
        "sendfile",
        "state",
        "tasks",
        "templates",
        "timed",
        "tls_extension",
        "trusting_rules",
        "unhurried",
        "websockets",
        "write_timeout",
    )

    def __init__(self, app: Callable[..., Any], loop: asyncio.AbstractEventLoop, log: Any) -> None:
        self.app: Callable[..., Any] = coroutine_function(app)
        self.loop = loop
        self.log = log
        self.peer_log = PeerLog(log)
        self.state: dict[str, Any] | None = None
        self.root_path = ""
        # tasks
        #: Those that run, also without a connection, and the exchange of each.
        self.tasks: dict[asyncio.Task[Any], Any] = {}
        #: What the context of each request is a copy of. No code of an application runs in it.
        self.contextvars = contextvars.copy_context()
        self.create_task: Callable[..., asyncio.Task[Any]] = loop.create_task
        self.eager = False
        #: Whether ``create_task`` takes the task's context.
        self.names_context = False
        #: Keywords of futures and of tasks that start at once. In a call they would be made into a dict each time.
        self.on_loop = {"loop": loop}
        self.eagerly: dict[str, Any] = {"loop": loop, "eager_start": True}
        #: Whether a turn of ``net/turn`` is being taken: in ``contextvars``, as nothing else is.
        self.in_turn = False
        # times
        self.clock = 0.0
        self.margin = 0.0
        self.keepalive = 2.0
        self.header_timeout = 10.0
        self.body_timeout = 30.0
        self.write_timeout = 60.0
        self.request_timeout = 0.0
        self.disconnect_grace_period = 3.0
        #: Whether that holds for requests with any method, not only for those that change nothing.
        self.cancels_unsafe = False
        # sizes
        self.high_water = 65536
        self.max_body_size = 0
        # responses
        self.defaults = [b"", b"", b""]
        self.sendfile = hasattr(os, "sendfile")
        # connections
        self.is_trusted: Callable[[Address], bool] = _nobody
        self.templates: dict[Any, dict[str, Any]] = {}
        #: None where there is no field to look at.
        self.forwarded: Forwarder | None = None
        self.tls_extension: Callable[[Any], dict[str, Any]] | None = None
        # requests
        self.rules: Any = None
        self.trusting_rules: Any = None
        self.requests = 0
        self.max_requests = sys.maxsize
        self.on_limit: Callable[[], None] = _ignore
        self.draining = False
        self.unhurried = False
        # WebSockets
        self.round = Round(loop, self.contextvars)
        self.websockets = WebSocketSettings()
        # observation
        self.pre_request: Callable[[Any], None] | None = None
        self.observer: Callable[[Any], None] | None = None
        self.timed = False

    def start_eagerly(self, eager: bool) -> None:
        """Choose how applications are started: at once where Python can (3.12) and ``eager`` asks for it.

        An application that set a task factory of its own keeps it; where it made the loop re-entrant, as nest_asyncio
        does, a task that starts at once would be entered within others. Call this when the loop is running.
        """
        is_default = self.loop.get_task_factory() is None
        self.eager = eager and is_default and sys.version_info >= (3, 12) and not is_reentrant(self.loop)
        self.names_context = is_default and sys.version_info >= (3, 11)
        self.create_task = functools.partial(asyncio.Task, loop=self.loop) if is_default else self.loop.create_task

    def set_defaults(self, date: bytes, server: bytes) -> None:
        """Set the fields that a response gets where the application gives none; lines with CRLF, or empty."""
        self.defaults[:] = [date, server, date + server]

    def count_request(self) -> None:
        """Count a request towards ``max_requests``."""
        self.requests += 1
        if self.requests >= self.max_requests and not self.draining:
            self.draining = True  # at once, so that this very response announces the end
            self.on_limit()


def _nobody(peer: Address) -> bool:
    return False


def _ignore() -> None:
    """No limit was set."""


def is_reentrant(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether somebody has put a way of running of his own in the place of that of asyncio's loop."""
    run: Any = type(loop).run_forever
    return isinstance(loop, asyncio.BaseEventLoop) and getattr(run, "__module__", "") not in _LOOPS


#: Modules of the standard library whose loops run as asyncio means them to.
_LOOPS = ("asyncio.base_events", "asyncio.unix_events", "asyncio.selector_events", "asyncio.proactor_events")
