"""Events that wait for the application one after the other.

Owns the queue and its bounds, how many events are taken in one round of the loop, the last event and its repetition.
Knows nothing of what the events mean.
"""

from __future__ import annotations

from typing import Any

from pronghorn.asgi.context import Context
from pronghorn.asgi.source import Source
from pronghorn.wire.request import Request

Event = dict[str, Any]

#: Events that an application takes one after the other before it has to wait for the next round of the loop.
MOST_AT_ONCE = 16
#: What an event takes in memory beside its content, and what taking it without a wait costs of a round's budget.
EVENT_SIZE = 256
EVENT_COST = 4096
#: What the first event may cost that is unpacked: small ones need not wait for others' large ones.
FIRST_SHARE = 65536
_MOST_AT_ONCE, _EVENT_SIZE, _EVENT_COST, _FIRST_SHARE = MOST_AT_ONCE, EVENT_SIZE, EVENT_COST, FIRST_SHARE


class Inbox(Source):
    """Base of an exchange whose events come one after the other.

    A subclass calls ``_put`` and, once, ``_put_last``; it asks ``_is_full`` before it takes more from the peer, and
    goes on taking in ``make_room``. What it puts that is no dict is packed: ``unpack`` makes an event of it, once the
    application asks for it.
    """

    __slots__ = (
        "_awaits_round",
        "_is_answering",
        "_is_large",
        "_last",
        "_most_queued",
        "_queue",
        "_queued",
        "_taken",
        "_taken_before",
    )

    def __init__(self, context: Context, request: Request, most_queued: int) -> None:
        """``most_queued``: events that may wait; bytes are bounded by the context's ``high_water`` and one event."""
        self.request = request
        self._context = context
        self._queue: list[Any] = []
        self._queued = 0
        self._most_queued = most_queued
        self._taken = 0
        self._taken_before = 0
        self._awaits_round = False
        self._is_large = False
        self._is_answering = False
        self._last: Event | None = None
        self._told = 0
        self._waiters = None

    def _is_full(self) -> bool:
        """Whether what comes from the peer has to wait there."""
        return len(self._queue) >= self._most_queued or self._queued > self._context.high_water

    def _put(self, event: Any, size: int) -> None:
        """``size``: bytes of its content, as they are held."""
        self._queue.append(event)
        self._queued += size + _EVENT_SIZE
        if self._waiters is not None:
            self._wake()

    def _put_last(self, event: Event) -> None:
        """What ``receive`` returns from now on, when it has returned what is queued."""
        self._last = event
        self._wake()

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def take(self) -> Event | None:
        """Return the next event and let the peer go on; None where there is none to return yet."""
        queue = self._queue
        if not queue:
            self._is_answering = False
            self.on_asked()
            return None
        self._taken += 1
        if (self._taken - self._taken_before > 1 or type(queue[0]) is not dict) and not self._may_take():
            return None
        event: Event = queue[0]
        del queue[0]  # compiled, a fifth of what pop(0) takes
        self._is_answering = True
        if not queue:
            self._queued = 0
            self.make_room()
        return event

    def _may_take(self) -> bool:
        """Whether the next event, one of several or a packed one, can be taken in this round."""
        round = self._context.round
        if self._is_large:
            return False
        if self._taken - self._taken_before > _MOST_AT_ONCE or round.left <= 0:
            self._await_round()
            return False
        if self._taken - self._taken_before > 1:
            round.left -= _EVENT_COST
        if type(self._queue[0]) is dict or self.unpack(_FIRST_SHARE):
            return True
        if self._queue:
            self._is_large = True
            round.wait_alone(self)
        return False

    def _await_round(self) -> None:
        if not self._awaits_round:
            self._awaits_round = True
            self._context.round.wait(self)

    def on_round(self) -> None:
        self._awaits_round = False
        self._taken_before = self._taken
        self._wake()

    def go_on(self, budget: int) -> bool:
        queue = self._queue
        if queue and type(queue[0]) is not dict and not self.unpack(budget) and queue:
            return False
        self._is_large = False
        self._wake()
        return True

    def unpack(self, budget: int) -> bool:
        """Put an event in the place of the first of the queue, which is packed; return whether it is done.

        ``budget``: bytes that may be read and made for it now. The queue is empty where it cannot be done.
        """
        raise NotImplementedError

    def last_event(self) -> Event | None:
        return None if self._last is None or self._queue else self._last.copy()

    def make_room(self) -> None:
        """The application has taken all that was queued."""
        raise NotImplementedError

    def on_asked(self) -> None:
        """The application is done with all there was, and asks for more."""
