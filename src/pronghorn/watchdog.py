"""What a blocked event loop is doing: a thread that notices when the worker's beats stay away, and says why in the log.

While the loop is blocked it serves nobody, and after ``timeout`` seconds Gunicorn ends the worker. By then the log
names the line of code that blocks and the requests that wait. Requests pay nothing for it: what is known of them is
looked at only when there is something to report. Knows nothing of Gunicorn but what it is given.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from enum import IntEnum
from types import FrameType
from typing import Any

#: Seconds between two looks. A beat that is late by less is not noticed.
INTERVAL = 0.25
#: Seconds between two warnings: an application that blocks all the time must not fill the log.
_QUIET = 30.0
#: Frames of the stack that are shown, innermost last.
_MOST_FRAMES = 40
#: Requests that are listed, oldest first.
_MOST_REQUESTS = 50
#: The part of ``timeout`` before its end at which a blocked loop is reported, and its least in seconds: two of
#: the arbiter's looks at the worker.
_RESERVE = 0.1
_LEAST_RESERVE = 2.0


class State(IntEnum):
    """What is known of the loop, and was said of it.

    WELL ──late──► WARNED, or NOTICED when the last warning was a moment ago ──timeout is near──► LAST_CALL
      ▲───────────────────────────────────beat───────────────────────────────────────────────────────┘
    """

    WELL = 0
    NOTICED = 1
    WARNED = 2
    LAST_CALL = 3


class Watchdog:
    """Watches the loop of the thread that calls ``start``.

    ``period``: seconds between two calls of ``beat`` by a loop that is well · ``warn_after``: seconds that a loop may
    be blocked before a warning, 0 for no warning · ``timeout``: Gunicorn's, 0 when it ends no worker · ``exchanges``:
    the requests under way.
    """

    def __init__(
        self,
        log: Any,
        *,
        period: float,
        warn_after: float,
        timeout: float,
        exchanges: Callable[[], Iterable[Any]],
    ) -> None:
        self._log = log
        self._period = period
        self._warn_after = warn_after
        self._last_call = timeout - min(max(_RESERVE * timeout, _LEAST_RESERVE), timeout / 2)
        self._timeout = timeout
        self._exchanges = exchanges
        self._ended = threading.Event()
        self._thread = 0
        self._beat = 0.0
        self._looked = 0.0
        self._state = State.WELL
        self._quiet_until = 0.0
        self._unsaid = 0

    def start(self) -> None:
        """Begin to watch the calling thread, where there is anything to say."""
        if not (self._warn_after or self._timeout):
            return
        self._thread = threading.get_ident()
        self._beat = self._looked = time.monotonic()
        threading.Thread(target=self._watch, name="pronghorn watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()

    def beat(self) -> None:
        """The loop turns."""
        now = time.monotonic()
        if self._state != State.WELL:
            if self._state != State.NOTICED:
                self._log.warning("Event loop turns again, after %.1f s", now - self._beat)
            self._state = State.WELL
        elif self._warn_after and now - self._beat > self._warn_after + self._period + 2 * INTERVAL:
            self._warn_late(now)
        self._beat = now

    def _warn_late(self, now: float) -> None:
        """Say what could not be said in time, for the watchdog's thread did not run either."""
        if self._thread and now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            self._log.warning(
                "Event loop turns again, after %.1f s in which no thread ran: code in C held the interpreter's lock, "
                "or the machine stood still",
                now - self._beat,
            )

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            try:
                self.look(time.monotonic())
            except Exception:
                self._log.exception("Exception in the watchdog")

    def look(self, now: float) -> None:
        """Report a loop that has been blocked for too long as of ``now``, seconds of ``time.monotonic``, once each."""
        paused = now - self._looked > INTERVAL + self._period
        self._looked = now
        if paused:
            return  # this thread did not run either: the machine was busy, or asleep
        late = now - self._beat
        if self._timeout and late >= self._last_call:
            if self._state != State.LAST_CALL:
                self._state = State.LAST_CALL
                self._log.error(
                    "Event loop has been blocked for %.1f s; Gunicorn ends it after timeout=%g. It is here:\n%s%s",
                    late,
                    self._timeout,
                    self._stack(),
                    requests_under_way(self._exchanges(), now),
                )
        elif self._state == State.WELL and self._warn_after and late >= self._warn_after + self._period:
            self._warn(now, late)

    def _warn(self, now: float, late: float) -> None:
        if now < self._quiet_until:
            self._state = State.NOTICED
            self._unsaid += 1
            return
        self._state = State.WARNED
        self._quiet_until = now + _QUIET
        again = f" ({self._unsaid} more since the last such warning)" if self._unsaid else ""
        self._unsaid = 0
        self._log.warning("Event loop has been blocked for %.1f s%s. It is here:\n%s", late, again, self._stack())

    def _stack(self) -> str:
        return stack_of(sys._current_frames().get(self._thread))


def stack_of(frame: FrameType | None) -> str:
    """The stack that ends in ``frame``, from where the loop calls the application."""
    if frame is None:
        return "  (nowhere)\n"
    frames = traceback.extract_stack(frame)
    begin = max((index + 1 for index, one in enumerate(frames[:-1]) if one.filename in _RUNNERS), default=0)
    while begin < len(frames) - 1 and frames[begin].filename.startswith(_ASYNCIO):
        begin += 1
    return "".join(traceback.format_list(frames[begin:][-_MOST_FRAMES:]))


#: Where the loop is run from.
_RUNNERS = tuple(os.path.join(os.path.dirname(__file__), name) for name in ("worker.py", "escapes.py"))
_ASYNCIO = os.path.dirname(asyncio.__file__)


def requests_under_way(exchanges: Iterable[Any], now: float) -> str:
    """One line for each request that is under way as of ``now``, seconds of ``time.monotonic``; oldest first."""
    found = sorted(exchanges, key=lambda exchange: exchange.started)
    if not found:
        return "No request is under way."
    lines = [f"Requests under way ({len(found)}):"]
    for exchange in found[:_MOST_REQUESTS]:
        age = f"{max(now - exchange.started, 0.0):.1f} s" if exchange.started else "new"
        lines.append(f"  {age}  {exchange.describe()} from {_peer(exchange.endpoint.client)}")
    if len(found) > _MOST_REQUESTS:
        lines.append(f"  and {len(found) - _MOST_REQUESTS} more")
    return "\n".join(lines)


def _peer(client: tuple[str, int] | None) -> str:
    return "a unix socket" if client is None else f"{client[0]}:{client[1]}"
