"""The half of an exchange that the application receives from: who waits, and how the end is told.

What there is to take, and what it means, is for the two kinds of exchange to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pronghorn.asgi.app_task import AppTask
from pronghorn.asgi.receive import receive

_receive = receive
_Future: Any = asyncio.Future
_is_done = asyncio.Future.done

#: How often an application is told of the end without having to wait a turn of the loop.
MOST_TOLD_AT_ONCE = 16

Event = dict[str, Any]


class Source(AppTask):
    """A subclass calls ``_wake`` when there is news."""

    __slots__ = ("_told", "_waiters")

    _told: int
    _waiters: list[asyncio.Future[None]] | None

    def receive(self) -> Coroutine[Any, Any, Event]:
        """ASGI ``receive``: the next event, which is taken when this is awaited and there is one."""
        return _receive(self)

    def take(self) -> Event | None:
        """Return the next event, and let the peer go on; None where there is none yet, or none any more."""
        raise NotImplementedError

    def last_event(self) -> Event | None:
        """Return the event that ends it, again and again, where ``take`` has none left; None where more may come."""
        raise NotImplementedError

    def ends_at_once(self) -> bool:
        """Whether an application that is told of the end need not wait a turn of the loop for it.

        Frameworks poll with a ``receive()`` that is cancelled at its first wait, so the end comes at once. One that is
        asked for again and again lets the loop run, so that an application that spins on it cannot stop the worker.
        """
        self._told += 1
        return self._told <= MOST_TOLD_AT_ONCE

    def wait(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as it is worth looking again."""
        waiter: asyncio.Future[None] = _Future(**self._context.on_loop)
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Whoever waited was cancelled. A ``receive()`` with a timeout in a loop must not leave a future each."""
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters = self._waiters
        self._waiters = None
        if waiters is not None:
            for waiter in waiters:
                if not _is_done(waiter):
                    waiter.set_result(None)
