"""Another client of the same worker, which wants its answer while a first one is hostile.

How long it waits is counted in turns of the loop and in what the first one got done, never in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.asgi.doubles import MOST_TURNS, until
from tests.net.support import GET, Wire
from tests.support.turns import TurnMeter


@dataclass(frozen=True)
class Progress:
    """``turns``: of the loop until the whole answer was there · ``meanwhile``: what the other got done until then."""

    turns: int
    meanwhile: int


class Neighbour:
    """A client on a connection of its own, of the worker that ``wire`` is a connection of; ``target``: what it asks."""

    def __init__(self, wire: Wire, target: bytes = b"/neighbour") -> None:
        self.wire = Wire(wire.context.app, worker=wire)
        self._target = target
        self._asked = 0

    async def ask(self, done: Callable[[], int] = lambda: 0, most: int = MOST_TURNS) -> Progress:
        """Ask now and wait for the answer, ``most`` turns at most; ``done``: how much the other has got done so far."""
        before = done()
        self._asked += 1
        self.wire.send(GET % self._target)
        with TurnMeter() as meter:
            await until(self._is_answered, "the neighbour is answered", most)
        return Progress(meter.turns, done() - before)

    def _is_answered(self) -> bool:
        answers = self.wire.responses()
        return len(answers) == self._asked and answers[-1].complete
