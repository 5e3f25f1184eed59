"""What the connections of one worker may have done in one round of its loop, and who goes on in the next.

Work that a peer can cause with few bytes, as inflating is, or that waits for an application which takes one message
after the other without ever waiting itself, would else keep the loop from everybody else. Nothing is counted for who
waits for the loop anyhow, and no callback is scheduled before there is somebody who has to wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context

from pronghorn.asgi.stream import Exchange

#: Bytes inflated, or as much other work, in a round: about 2 ms.
PER_ROUND = 1 << 20
#: Of that, what who waited and who has large work leave to those who ask later in the round.
FOR_OTHERS = PER_ROUND // 4
#: And what who waited leaves to them and to large work.
FOR_LARGE = PER_ROUND // 2
_PER_ROUND, _FOR_OTHERS, _FOR_LARGE = PER_ROUND, FOR_OTHERS, FOR_LARGE


class Round:
    """The budget of one round. ``left``: what there still is of it; not above 0, one has to ``wait``."""

    __slots__ = ("_contextvars", "_large", "_loop", "_scheduled", "_waiting", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop, contextvars: Context) -> None:
        self._loop = loop
        self._contextvars = contextvars
        self._waiting: deque[Exchange] = deque()
        self._large: deque[Exchange] = deque()
        self._scheduled = False
        self.left = PER_ROUND

    def wait(self, exchange: Exchange) -> None:
        """Have ``exchange.on_round`` called in the next round, or, behind many, in one of those after it."""
        self._waiting.append(exchange)
        self._schedule()

    def wait_alone(self, exchange: Exchange) -> None:
        """Have ``exchange.go_on`` called, with a budget, in round after round until it returns True.

        Only then is the next one's turn: however many have large work to do, one of them holds what is half done.
        """
        self._large.append(exchange)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.run, context=self._contextvars)

    def run(self) -> None:
        """Begin a round."""
        self._scheduled = False
        self.left = _PER_ROUND
        waiting, large = self._waiting, self._large
        try:
            for _ in range(len(waiting)):
                if self.left <= _FOR_LARGE:
                    break
                exchange = waiting.popleft()
                exchange.on_round()
            while large and self.left > _FOR_OTHERS:
                exchange = large.popleft()
                if not exchange.go_on(self.left - _FOR_OTHERS):
                    large.appendleft(exchange)
                    break
        finally:
            if waiting or large:
                self._schedule()
