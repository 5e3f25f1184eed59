"""What connections do at the end of a round of reads: one callback of the loop for all of them.

Each then parses, has its requests answered and writes, one after the other. So the writes come close together, and the
first wakes a client that has the answers of the others to read as well; written within each read, each would wake it.
"""

from __future__ import annotations

from pronghorn.asgi.context import Context


class TurnTaker:
    """Whoever asks for a turn. Implemented in ``net/connection``."""

    __slots__ = ()

    def take_turn(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """A turn ended in an exception: close at once."""
        raise NotImplementedError


class Turn:
    """The next turn of one worker's loop."""

    __slots__ = ("_context", "_waiting")

    def __init__(self, context: Context) -> None:
        self._context = context
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
        taken = 0
        try:
            for taker in waiting:
                taken += 1
                try:
                    taker.take_turn()
                except Exception:
                    # A defect in one must not take their turns from the others.
                    self._context.log.exception("Exception on a connection, which is closed")
                    taker.abort()
        finally:
            for taker in waiting[taken:]:  # some, where the process is told to exit
                self.add(taker)
