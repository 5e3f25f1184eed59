"""What connections do at the end of a round of reads: one callback of the loop for all of them.

Each parses and has its requests answered, then all write. So the writes follow each other with nothing in between, and
the first wakes a client that has the answers of the others to read as well; written one by one, each would wake it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pronghorn.asgi.context import Context

#: Seconds that an answer waits for those of others, and no longer than the one application that then runs.
MOST_HELD = 0.0005
_MOST_HELD = MOST_HELD


class TurnTaker:
    """Whoever asks for a turn. Implemented in ``net/connection``."""

    __slots__ = ()

    def take_turn(self) -> None:
        """Answer, and write what comes of it in ``end_turn``."""
        raise NotImplementedError

    def end_turn(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """A turn ended in an exception: close at once."""
        raise NotImplementedError


class Turn:
    """The next turn of one worker's loop. ``clock``: seconds."""

    __slots__ = ("_clock", "_context", "_waiting")

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._waiting: list[TurnTaker] = []

    def add(self, taker: TurnTaker) -> None:
        """Have ``taker.take_turn`` called: not from within this call, and not in the contextvars context of it."""
        if not self._waiting:
            self._context.loop.call_soon(self.run, context=self._context.contextvars)
        self._waiting.append(taker)

    def run(self) -> None:
        """Take all the turns that were asked for."""
        waiting = self._waiting
        self._waiting = []
        size = len(waiting)
        taken = ended = 0
        now = until = 0.0
        if size > 1:
            now = self._clock()
            until = now + _MOST_HELD
        try:
            for taker in waiting:
                taken += 1
                try:
                    taker.take_turn()
                except Exception:
                    self._close(taker)
                if taken < size:
                    now = self._clock()
                    if now > until:
                        self._end(waiting[ended:taken])
                        ended = taken
                        until = now + _MOST_HELD
        finally:
            self._end(waiting[ended:taken])
            for taker in waiting[taken:]:  # some, where the process is told to exit
                self.add(taker)

    def _end(self, takers: list[TurnTaker]) -> None:
        for taker in takers:
            try:
                taker.end_turn()
            except Exception:
                self._close(taker)

    def _close(self, taker: TurnTaker) -> None:
        """Called for an exception: a defect in one must not take their turns from the others."""
        self._context.log.exception("Exception on a connection, which is closed")
        taker.abort()
