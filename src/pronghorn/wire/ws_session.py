"""What an open WebSocket waits for, and until when: pings, their answers, and the end (RFC 6455 section 5.5, 7.1).

It has no clock: ``now`` and all times are seconds as the caller counts them, 0 for never.
"""

from __future__ import annotations

from enum import IntEnum

from pronghorn.wire import ws_writer


class Due(IntEnum):
    """What is to be done now."""

    NOTHING = 0
    PING = 1  # send one
    PONG = 2  # it did not come: judge the peer's silence
    CLOSE = 3  # the time for an orderly end is over


_NOTHING = int(Due.NOTHING)
_PING = int(Due.PING)
_PONG = int(Due.PONG)
_CLOSE = int(Due.CLOSE)

#: Seconds for an application that has answered, after the peer's close frame, to ask for more or to answer again.
ANSWERED = 1.0
#: Seconds until what is overdue is looked at.
_AT_ONCE = 0.001


class Session:
    """``ping_interval``: between the answer to a ping and the next; ``ping_timeout``: for the answer, 0 to wait for
    none; ``close_timeout``: for the end once it has begun.

    ``is_pinged``: whether a ping is not answered.
    """

    __slots__ = (
        "_close_by",
        "_close_timeout",
        "_is_answered",
        "_payload",
        "_ping_by",
        "_ping_interval",
        "_ping_timeout",
        "_pong_by",
        "is_pinged",
    )

    def __init__(self, ping_interval: float, ping_timeout: float, close_timeout: float, now: float) -> None:
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._close_timeout = close_timeout
        self._payload = b""
        self._ping_by = now + ping_interval if ping_interval else 0.0
        self._pong_by = 0.0
        self._close_by = 0.0
        self._is_answered = False
        self.is_pinged = False

    def ping(self, payload: bytes, now: float) -> bytes:
        """Return the frame of a ping, whose answer has the same payload."""
        self._payload = payload
        self.is_pinged = True
        if self._ping_timeout:
            self._pong_by = now + self._ping_timeout
            self._ping_by = 0.0
        else:
            self._ping_by = now + self._ping_interval
        return ws_writer.ping(payload)

    def is_answer(self, payload: bytes) -> bool:
        """Whether a pong answers the ping that is not answered yet; one may come unasked (section 5.5.3)."""
        return self.is_pinged and payload == self._payload

    def answered(self, now: float) -> None:
        """The peer is there, whatever showed it."""
        self.is_pinged = False
        self._pong_by = 0.0
        self._ping_by = now + self._ping_interval if self._ping_interval else 0.0

    def close_soon(self, now: float) -> None:
        """The end has begun. It is put off by nothing that comes later."""
        if not self._close_by and self._close_timeout:
            self._close_by = now + self._close_timeout

    def close_sooner(self, now: float) -> bool:
        """The application has answered what came before the end; return whether that is news."""
        if self._is_answered:
            return False
        self._is_answered = True
        if not self._close_by or now + ANSWERED < self._close_by:
            self._close_by = now + ANSWERED
        return True

    def go_on(self) -> None:
        """It does not end after all."""
        self._close_by = 0.0

    def next(self, now: float, most: float) -> float:
        """Return in how many seconds to look at ``due``, at most ``most`` where that is not 0; 0: not at all."""
        by = self._close_by
        if not by:
            by = self._pong_by or self._ping_by
            if most and (not by or now + most < by):
                by = now + most
        return max(by - now, _AT_ONCE) if by else 0.0

    def due(self, now: float) -> int:
        """Return the ``Due``, as an int."""
        if self._close_by:
            return _CLOSE if now >= self._close_by else _NOTHING
        if self._pong_by:
            return _PONG if now >= self._pong_by else _NOTHING
        return _PING if self._ping_by and now >= self._ping_by else _NOTHING
