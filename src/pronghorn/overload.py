"""Applications around the application: answers that a worker gives for it when it is full, or about to end.

Both are plain ASGI, installed only where an option asks for them, so that other requests do not pay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

#: Seconds after which a client that was refused may try again (RFC 9110 section 10.2.3).
RETRY_AFTER = 1
#: Seconds without a refusal after which an overload is over.
CALM = 2.0

_App = Callable[..., Awaitable[None]]


class Limiter:
    """Lets ``most`` requests into ``app`` at once; ``queue`` more wait, in order, and what comes beyond gets a 503.

    Counts requests, not connections: idle ones and WebSockets are ``worker_connections``' affair. Requests for
    ``exempt``, a path, are let through, so that a health check tells of the worker and not of its queue. ``log`` hears
    when refusals begin, and when they have come to an end; call ``flush`` at the end of the worker.
    """

    def __init__(self, app: _App, most: int, queue: int, exempt: str, log: Any = None) -> None:
        self._app = app
        self._most = most
        self._queue = queue
        self._exempt = exempt
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._log = log or logging.getLogger("gunicorn.error")
        #: Of the overload at hand: how many were refused, when the first and the last of them.
        self._refused = 0
        self._first = 0.0
        self._last = 0.0

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] != "http" or scope["path"] == self._exempt:
            return self._app(scope, receive, send)
        return self._admit(scope, receive, send)

    async def _admit(self, scope: Any, receive: Any, send: Any) -> None:
        # Counted here and not before, for a task that is cancelled before it begins would not count back.
        if self._running < self._most:
            self._running += 1
        elif len(self._waiting) < self._queue:
            await self._wait()
        else:
            self._note_refusal()
            await refuse(send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._pass_on()

    def _note_refusal(self) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        self._refused += 1
        if self._refused > 1:
            return
        self._first = self._last
        loop.call_later(CALM, self._look, loop)
        self._log.warning(
            "Requests are refused with 503: %d under way (max_concurrent_requests=%d) and %d waiting "
            "(max_queued_requests=%d)",
            self._running,
            self._most,
            len(self._waiting),
            self._queue,
        )

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        calm = self._last + CALM - loop.time()
        if calm > 0:
            loop.call_later(calm, self._look, loop)
        else:
            self.flush()

    def flush(self) -> None:
        """Say how many were refused, if any were."""
        if self._refused:
            seconds = self._last - self._first
            self._log.info("Requests are no longer refused: %d got 503 in %.1f s", self._refused, seconds)
            self._refused = 0

    async def _wait(self) -> None:
        """Wait for one that ends to pass its place on."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it had got the place just before
                self._pass_on()
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def _pass_on(self) -> None:
        """Give the place of a request that has ended to the one that waits longest, or let it go."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.cancelled():
                place.set_result(None)
                return
        self._running -= 1


class HealthAnswer:
    """Answers ``path`` with 503 while ``is_ending()``, and leaves everything else to ``app``."""

    def __init__(self, app: _App, path: str, is_ending: Callable[[], bool]) -> None:
        self._app = app
        self._path = path
        self._is_ending = is_ending

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == self._path and self._is_ending():
            return refuse(send)
        return self._app(scope, receive, send)


async def refuse(send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer 503."""
    body = b"Service Unavailable\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % RETRY_AFTER),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
