"""Turns of an event loop as a measure: what one peer may have done before others get on, on a machine of any speed."""

from __future__ import annotations

import asyncio
from types import TracebackType


class TurnMeter:
    """Counts the turns of the running loop while it is entered, and what is noted in each.

    ``turns``: those that began. ``most``: the largest sum of ``note`` in one turn, the one under way included. For as
    long as it is entered the loop does not sleep. Works on any loop, in a worker as in a test.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.most = 0
        self._noted = 0
        self._next: asyncio.Handle | None = None

    def __enter__(self) -> TurnMeter:
        self._begin(asyncio.get_running_loop())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next is not None:
            self._next.cancel()

    def note(self, amount: int = 1) -> None:
        """Count ``amount`` for this turn."""
        self._noted += amount
        self.most = max(self.most, self._noted)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turns += 1
        self._noted = 0
        self._next = loop.call_soon(self._begin, loop)
