"""The ASGI lifespan protocol (2.0) for one worker: start-up before the first request, shutdown after the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: Seconds that the application gets to end once its task is cancelled.
_CANCELLATION = 0.2
_TRACEBACK = "Traceback (most recent call last)"


class LifespanFailed(RuntimeError):
    """The application could not start, and said so or raised where it must not; the worker must not serve."""


class Lifespan:
    """Runs the application's lifespan task.

    ``mode``: "auto" (an application without lifespan is served all the same), "on" (it must have one) or "off".
    ``state``: dict that the application fills at start-up and each request gets a copy of; None where the
    application has no lifespan.
    """

    def __init__(self, app: Callable[..., Any], mode: str, log: Any) -> None:
        self._app = app
        self._mode = mode
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._started: asyncio.Future[str | None]
        self._stopped: asyncio.Future[str | None]
        self._namespace: dict[str, Any] = {}
        self._supported = False
        self._asked = False
        self._told_traceback = False

    @property
    def state(self) -> dict[str, Any] | None:
        return self._namespace if self._supported else None

    async def startup(self) -> None:
        """Send lifespan.startup and wait for its answer. Raises LifespanFailed."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._task = loop.create_task(self._run())
        self._events.put_nowait({"type": "lifespan.startup"})
        failure = await self._started
        if failure is not None:
            raise LifespanFailed(failure)

    async def shutdown(self) -> None:
        """Send lifespan.shutdown and wait for its answer; a failure is logged, for the worker stops anyway."""
        if not self._supported or self._task is None or self._task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        failure = await self._stopped
        if failure is not None:
            self._log.error("ASGI lifespan shutdown failed: %s", failure)
        await asyncio.wait([self._task], timeout=1)

    async def cancel(self) -> None:
        """End the application's task where shutdown did not."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CANCELLATION)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._namespace,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            self._ended(error)  # also when the application cancelled itself: nobody must wait for its answer
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            if not self._started.done():
                raise  # the worker cannot begin to serve
            self._ended(error)
        except BaseException as error:
            self._ended(error)
        else:
            self._ended(None)

    def _ended(self, error: BaseException | None) -> None:
        """The application returned or raised, which it may do at any time."""
        if not self._started.done():
            self._supported = False
            if error is None:
                self._started.set_result(None if self._mode == "auto" else "the application ignores lifespan events")
            elif self._mode == "auto":
                # An application without lifespan raises on the scope type, which is no fault; one that had already
                # asked for the event meant to start and could not. Both are served (ASGI lifespan 2.0, Scope).
                if self._asked:
                    self._log.error("Exception in ASGI lifespan; serving without it", exc_info=error)
                else:
                    self._log.debug("ASGI lifespan is not supported by the application", exc_info=error)
                self._started.set_result(None)
            else:
                self._log.error("Exception in ASGI lifespan", exc_info=error)
                self._started.set_result(f"{type(error).__name__}: {error}")
        elif error is not None and not isinstance(error, asyncio.CancelledError) and not self._told_traceback:
            self._log.error("Exception in ASGI lifespan", exc_info=error)
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def _receive(self) -> dict[str, Any]:
        self._asked = True
        return await self._events.get()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._supported = True
            self._answer(self._started, None, kind)
        elif kind == "lifespan.startup.failed":
            self._fail(self._started, message, kind)
        elif kind == "lifespan.shutdown.complete":
            self._answer(self._stopped, None, kind)
        elif kind == "lifespan.shutdown.failed":
            self._fail(self._stopped, message, kind)
        else:
            raise RuntimeError(f"Unknown event type {kind!r:.60} in lifespan")

    def _fail(self, future: asyncio.Future[str | None], message: dict[str, Any], kind: str) -> None:
        """Pass on why it failed. Starlette sends its traceback, and raises the exception all the same."""
        reason = str(message.get("message") or "the application did not say why")
        self._answer(future, reason, kind)
        self._told_traceback = _TRACEBACK in reason

    def _answer(self, future: asyncio.Future[str | None], failure: str | None, kind: str) -> None:
        if future.done():
            raise RuntimeError(f"{kind} sent twice")
        future.set_result(failure)
