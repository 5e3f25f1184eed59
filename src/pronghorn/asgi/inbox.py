"""The half of an exchange that the application receives from: events that wait for it, and it for events.

Owns the queue and its bounds, the last event and its repetition, and the futures of tasks that wait. Knows nothing of
what the events mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pronghorn.asgi import awaitables
from pronghorn.asgi.context import Context
from pronghorn.asgi.exchange import MOST_TOLD_AT_ONCE
from pronghorn.asgi.stream import Exchange
from pronghorn.wire.request import Request

_DONE_AWAITABLE = awaitables.DONE

Event = dict[str, Any]


class Inbox(Exchange):
    """Base of an exchange whose events come one after the other.

    A subclass calls ``_put`` and, once, ``_put_last``; it asks ``_is_full`` before it takes more from the peer, and
    goes on taking in ``make_room``.
    """

    __slots__ = ("_context", "_last", "_most_queued", "_queue", "_queued", "_told", "_waiters")

    def __init__(self, context: Context, request: Request, most_queued: int) -> None:
        """``most_queued``: events that may wait; bytes are bounded by the context's ``high_water`` and one event."""
        self.request = request
        self._context = context
        self._queue: list[Event] = []
        self._queued = 0
        self._most_queued = most_queued
        self._last: Event | None = None
        self._told = 0
        self._waiters: list[asyncio.Future[None]] = []

    def receive(self) -> Coroutine[Any, Any, Event]:
        """ASGI ``receive``: the next event, which is taken when this is awaited and there is one."""
        return Incoming(self)

    def _is_full(self) -> bool:
        """Whether what comes from the peer has to wait there."""
        return len(self._queue) >= self._most_queued or self._queued > self._context.high_water

    def _put(self, event: Event, size: int) -> None:
        self._queue.append(event)
        self._queued += size
        if self._waiters:
            self._wake()

    def _put_last(self, event: Event) -> None:
        """What ``receive`` returns from now on, when it has returned what is queued."""
        self._last = event
        self._wake()

    def take(self) -> Event | None:
        """Return the next event and let the peer go on; None where there is none to return yet."""
        queue = self._queue
        if not queue:
            self.on_asked()
            return None
        event = queue.pop(0)
        if not queue:
            self._queued = 0
            self.make_room()
        return event

    def make_room(self) -> None:
        """The application has taken all that was queued."""
        raise NotImplementedError

    def on_asked(self) -> None:
        """The application is done with all there was, and asks for more."""

    def ends_at_once(self) -> bool:
        """Whether an application that is told of the end need not wait a turn of the loop for it.

        Frameworks poll with a ``receive()`` that is cancelled at its first wait, so the end comes at once. One that is
        asked for again and again lets the loop run, so that an application that spins on it cannot stop the worker.
        """
        self._told += 1
        return self._told <= MOST_TOLD_AT_ONCE

    def wait(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as it is worth looking again."""
        waiter: asyncio.Future[None] = self._context.loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Whoever waited was cancelled. A ``receive()`` with a timeout in a loop must not leave a future each."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class Incoming:
    """What ``receive()`` returns: a coroutine without a frame.

    The event is taken when this is awaited, so that one which is never awaited, or cancelled, loses none.
    """

    __slots__ = ("_inbox", "_rested", "_waiter")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox: Inbox | None = inbox
        self._waiter: Any = None
        self._rested = False

    def __await__(self) -> Incoming:
        return self

    def __iter__(self) -> Incoming:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: object) -> Any:
        inbox = self._inbox
        if inbox is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if self._waiter is None or self._waiter.done():
            event = inbox.take()
            if event is None and inbox._last is not None:
                if not self._rested and not inbox.ends_at_once():
                    self._rested = True
                    return None  # to the loop: a turn, as asyncio.sleep(0) waits
                event = inbox._last.copy()
            if event is not None:
                self._inbox = None
                self._waiter = None
                raise StopIteration(event)
            self._waiter = inbox.wait()
        # How a future tells the task that it is awaited and not merely yielded.
        self._waiter._asyncio_future_blocking = True
        return self._waiter

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        self.close()
        return _DONE_AWAITABLE.throw(kind, value, traceback)

    def close(self) -> None:
        inbox = self._inbox
        self._inbox = None
        if inbox is not None and self._waiter is not None:
            inbox.forget(self._waiter)
        self._waiter = None


Coroutine.register(Incoming)
