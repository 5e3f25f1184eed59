"""The open connections of a worker and their deadlines: one timer for all of them.

A connection says by when something must have happened; the sweep finds the ones that are late. So a request costs no
timer. Time is an argument, for tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: Seconds between two sweeps. A deadline is met late by at most this, never early: ``margin`` is added to each.
INTERVAL = 0.25
#: While draining, connections linger for fractions of a second.
DRAIN_INTERVAL = 0.05
#: Connections that are told in one turn of the loop. Thousands that are late at once, as a flood of half-sent heads is,
#: take their turns between the requests of others.
_MOST_AT_ONCE = 8


class Reaper:
    """Owns the set of open connections of a worker, whatever their protocol, and sweeps it.

    ``connections``: those with a ``deadline`` attribute (seconds of the loop's time, 0 for none) and an
    ``on_deadline`` method.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Any) -> None:
        self._loop = loop
        self._context = context
        self._timer: asyncio.TimerHandle | None = None
        self._interval = INTERVAL
        self._due = 0.0
        self._empty: asyncio.Future[None] | None = None
        self._late: list[Any] = []
        self._next_turn: asyncio.Handle | None = None
        self.on_change: Callable[[], None] | None = None
        self.connections: set[Any] = set()

    def start(self) -> None:
        """Begin sweeping."""
        self._context.clock = self._loop.time()
        self._context.margin = INTERVAL
        self._context.peer_log.sweep(self._context.clock)
        self._schedule(self._context.clock)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def hurry(self) -> None:
        """Sweep in short intervals from now on."""
        self._interval = DRAIN_INTERVAL
        self._context.margin = 0.0
        self.stop()
        self._due = self._loop.time()
        self._tick()

    def add(self, connection: Any) -> None:
        self.connections.add(connection)

    def discard(self, connection: Any) -> None:
        self.connections.discard(connection)
        if self.on_change is not None:
            self.on_change()
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)

    async def wait_until_empty(self) -> None:
        """Return when no connection is open."""
        while self.connections:
            self._empty = self._loop.create_future()
            await self._empty

    def sweep(self, now: float) -> None:
        """Tell each connection whose deadline has passed, many of them in several turns of the loop."""
        self._context.clock = now
        self._late = [one for one in self.connections if 0.0 < one.deadline <= now]
        self._tell(now)

    def _tell(self, now: float) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        for _ in range(min(_MOST_AT_ONCE, len(self._late))):
            connection = self._late.pop()
            if not 0.0 < connection.deadline <= now:
                continue  # it moved on, or ended, since the sweep
            try:
                connection.on_deadline(now)
            except Exception:
                # A defect in one must not switch off the deadlines of all.
                self._context.log.exception("Exception at the deadline of a connection")
        if self._late:
            self._next_turn = self._loop.call_soon(self._tell, now)

    def give_up_idle(self, most: int) -> int:
        """Close ``most`` connections that are between two requests, those first that would be closed next anyway.

        Returns how many are closed; fewer where there are not so many.
        """
        waiting = [one for one in self.connections if one.deadline > 0.0]
        waiting.sort(key=lambda one: one.deadline)
        closed = 0
        for connection in waiting:
            if closed >= most:
                break
            if connection.close_if_idle():
                closed += 1
        return closed

    def forgive(self, late: float) -> None:
        """The loop stood still for ``late`` seconds: no peer could do anything about its deadline meanwhile."""
        for connection in self.connections:
            if connection.deadline:
                connection.deadline += late

    def _tick(self) -> None:
        now = self._loop.time()
        if now - self._due > self._interval:
            self.forgive(now - self._due)
        self.sweep(now)
        self._context.peer_log.sweep(now)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        self._due = now + self._interval
        self._timer = self._loop.call_later(self._interval, self._tick)
