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
#: Seconds that the turns of all connections may take together, before the loop's own callbacks have theirs.
MOST_TOGETHER = 0.01
#: An application that keeps the loop from everything else for that many seconds is likely to do so again: for a time,
#: then, no answer waits for another's application. Less may well be another process on the same core.
BLOCKED = 0.1
WARY = 10.0
# Compiled, C doubles, which nobody could import.
_MOST_HELD, _MOST_TOGETHER, _BLOCKED, _WARY = MOST_HELD, MOST_TOGETHER, BLOCKED, WARY


class TurnTaker:
    """Whoever asks for a turn. Implemented in ``net/connection``."""

    __slots__ = ()

    def take_turn(self) -> None:
        """Answer, and write what comes of it in ``end_turn``."""
        raise NotImplementedError

    def end_turn(self) -> None:
        """The others have taken theirs: write."""
        raise NotImplementedError

    def abort(self) -> None:
        """A turn ended in an exception: close at once."""
        raise NotImplementedError


class Turn:
    """The next turn of one worker's loop. ``clock``: seconds."""

    __slots__ = ("_clock", "_context", "_waiting", "_wary_until")

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._waiting: list[TurnTaker] = []
        self._wary_until = 0.0

    def add(self, taker: TurnTaker) -> None:
        """Have ``taker.take_turn`` called: not from within this call, and not in the contextvars context of it."""
        if not self._waiting:
            self._context.loop.call_soon(self.run, context=self._context.contextvars)
        self._waiting.append(taker)

    def now(self) -> float:
        """Seconds of ``clock``."""
        return self._clock()

    def run(self) -> None:
        """Take the turns that were asked for, all of them where that does not take long."""
        waiting = self._waiting
        self._waiting = []
        size = len(waiting)
        taken = ended = 0
        begun = before = since = self._clock() if size > 1 else 0.0
        self._context.in_turn = True
        try:
            for taker in waiting:
                taken += 1
                try:
                    taker.take_turn()
                except Exception:
                    self._close(taker)
                if size > 1:
                    now = self._clock()
                    if now - before > _BLOCKED:
                        self._wary_until = now + _WARY
                    if now - since > _MOST_HELD or now < self._wary_until:
                        self._end(waiting[ended:taken])
                        ended = taken
                        since = now
                    before = now
                    if now - begun > _MOST_TOGETHER:
                        break
        finally:
            self._context.in_turn = False
            self._end(waiting[ended:taken])
            if taken < size:
                self._put_off(waiting[taken:])

    def _put_off(self, takers: list[TurnTaker]) -> None:
        """To the next turn, and there before those who have had theirs and asked again."""
        again = self._waiting
        if not again:
            self._context.loop.call_soon(self.run, context=self._context.contextvars)
        self._waiting = takers + again

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
