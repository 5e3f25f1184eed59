"""Accepts connections from the listening sockets that the workers share.

One connection per wake-up, so that a burst spreads over the workers that wake; none while the worker has
``worker_connections`` open, so that the rest stays in the backlog for its siblings.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

#: Seconds to leave a listener alone after accept failed for want of descriptors or memory.
RETRY = 1.0
#: Waiting connections taken over when the listener is given up, at most: more than any backlog holds.
_MOST_AT_ONCE = 65536
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_TLS_HANDSHAKE_TIMEOUT = 30.0


class Acceptor:
    """Watches ``listeners``; each accepted socket goes to a new protocol from ``make_protocol``.

    ``most``: connections this worker may have open. ``count``: callable that says how many are open.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: list[socket.socket],
        make_protocol: Callable[[], Any],
        *,
        most: int,
        count: Callable[[], int],
        log: Any,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = loop
        self._listeners = listeners
        self._make_protocol = make_protocol
        self._most = most
        self._count = count
        self._log = log
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._watching: set[socket.socket] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._running = False

    def start(self) -> None:
        """Begin to accept."""
        self._running = True
        for listener in self._listeners:
            listener.setblocking(False)
        self.watch()

    def watch(self) -> None:
        """Accept again, or not, by whether there is room; call it when a connection has closed."""
        if self._running and self._retry is None and self._has_room():
            for listener in self._listeners:
                if listener not in self._watching:
                    self._watching.add(listener)
                    self._loop.add_reader(listener, self._accept, listener)

    def retire(self) -> None:
        """Accept nothing more, from this moment on; what comes waits in the backlog until ``stop``."""
        self._running = False
        self._pause()

    def _pause(self) -> None:
        for listener in self._watching:
            self._loop.remove_reader(listener)
        self._watching.clear()

    def _has_room(self) -> bool:
        return self._count() + len(self._opening) < self._most

    async def stop(self, *, take_waiting: bool) -> None:
        """Give the listeners up. ``take_waiting``: accept first what already waits in their backlogs.

        A connection left in a backlog is served by whoever still listens; when nobody does, the kernel resets it.
        """
        self.retire()
        if self._retry is not None:
            self._retry.cancel()
        for listener in self._listeners:
            for _ in range(_MOST_AT_ONCE if take_waiting else 0):
                if not self._accept(listener):
                    break
            listener.close()
        self._listeners = []
        if self._opening:
            await asyncio.wait(self._opening, timeout=_TLS_HANDSHAKE_TIMEOUT if self._tls else 5)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; False when there was none."""
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            self._accept_failed(error)
            return False
        task = self._loop.create_task(self._open(sock))
        self._opening.add(task)
        task.add_done_callback(self._opened)
        if self._running and not self._has_room():
            self._pause()
        return True

    def _accept_failed(self, error: OSError) -> None:
        self._log.error("Cannot accept connections: %s", error)
        if error.errno in _OUT_OF_RESOURCES and self._running:
            self._pause()
            self._retry = self._loop.call_later(RETRY, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self.watch()

    async def _open(self, sock: socket.socket) -> None:
        options: dict[str, Any] = {}
        if self._tls is not None:
            options = {"ssl": self._tls, "ssl_handshake_timeout": _TLS_HANDSHAKE_TIMEOUT}
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, sock, **options)
        except (OSError, asyncio.TimeoutError) as error:
            # The peer left, or its TLS handshake failed: its own affair, but worth a line when something is searched.
            self._log.debug("Connection was not opened: %s", error)
            sock.close()

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("Connection was not opened", exc_info=task.exception())
        self.watch()


def detach(listener: Any) -> socket.socket:
    """A socket object of this process for one of Gunicorn's listeners.

    It owns a descriptor of its own, so that closing it cannot pull the one that Gunicorn still holds and closes
    later ("Bad file descriptor").
    """
    raw = getattr(listener, "sock", listener)
    return socket.socket(raw.family, raw.type, raw.proto, fileno=os.dup(raw.fileno()))
