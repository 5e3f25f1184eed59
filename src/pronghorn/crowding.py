"""A worker whose connections are all in use while others wait: what is idle is given up, or the log says so, once.

Looks only while there is no room. Knows no sockets: it asks what waits, what is open and what can be given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: Seconds between two looks.
LOOK = 0.05
#: Seconds that other workers with room get for what waits, before something is given up here.
OTHERS = 0.5
#: Seconds without anybody waiting after which it is over.
CALM = 1.0
#: The part of all connections that may be given up at once.
_SHARE = 8


class Crowding:
    """Call ``watch`` when the last room was taken, ``stop`` when no more is accepted.

    ``most``: connections that may be open. ``load``: how many are. ``waiting``: how many wait to be accepted, as far as
    that is known. ``give_up``: ends so many idle connections at most, oldest first, and returns how many.
    ``others_have_room``: whether other workers could take what waits.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Any,
        most: int,
        *,
        load: Callable[[], int],
        waiting: Callable[[], int],
        give_up: Callable[[int], int],
        others_have_room: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._log = log
        self._most = most
        self._load = load
        self._waiting = waiting
        self._give_up = give_up
        self._others_have_room = others_have_room
        self._timer: asyncio.TimerHandle | None = None
        #: Since when somebody waits without a pause, when that was seen last, and since when the log knows; 0: not.
        self._since = 0.0
        self._seen = 0.0
        self._told = 0.0
        self._given_up = 0

    def watch(self) -> None:
        """There is no room left."""
        if self._timer is None:
            self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._told = 0.0

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(LOOK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.look(self._loop.time()):
            self._schedule()

    def look(self, now: float) -> bool:
        """Do what is to be done at ``now``, seconds of the loop's time; whether to look again."""
        is_full = self._load() >= self._most
        waiting = self._waiting() if is_full else 0
        if waiting:
            self._seen = now
            self._since = self._since or now
            if now - self._since >= OTHERS or not self._others_have_room():
                self._make_room(waiting, now)
        else:
            self._since = 0.0
            if self._told and now - self._seen >= CALM:
                self._log.info(
                    "Worker is no longer full, after %.1f s; idle connections that were given up meanwhile: %d",
                    self._seen - self._told,
                    self._given_up,
                )
                self._told = 0.0
        return is_full or self._told > 0.0

    def _make_room(self, waiting: int, now: float) -> None:
        given_up = self._give_up(min(waiting, max(self._most // _SHARE, 1)))
        self._given_up += given_up
        if given_up or self._told:
            return
        self._told = now
        self._given_up = 0
        self._log.warning(
            "Worker is full: %d connections open (worker_connections=%d), none of them idle, and at least %d waiting; "
            "raise worker_connections, or the number of workers",
            self._load(),
            self._most,
            waiting,
        )
