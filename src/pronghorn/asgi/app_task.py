"""The application's task for one request: how it starts, how it is cancelled and what came of it.

Base of both kinds of exchange. What an outcome means for the peer is for them to say.

Each request has a ``contextvars`` context of its own, a copy of the worker's, which no application runs in. Hooks, the
application's call and its task, the access log and our own log lines all run in it. In whose context the loop calls us
tells nothing: asyncio's reads on in that of whoever resumed reading.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.awaitables import remembering
from pronghorn.asgi.context import Context
from pronghorn.asgi.errors import set_reported
from pronghorn.asgi.scope import Endpoint
from pronghorn.asgi.stream import Exchange, Stream
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response

_Task: Any = asyncio.Task
# Half the price of looking the method up; for tasks that are known to be asyncio's own.
_is_done = asyncio.Task.done
_exception_of = asyncio.Task.exception

#: The status that goes to the access log when the client left before there was any (nginx's convention).
CLIENT_CLOSED_REQUEST = 499


class AppTask(Exchange):
    """Base of both kinds of exchange. A subclass calls ``_prepare`` when it is made, ``_enter``, ``_new_task`` and
    ``_follow`` when it starts, and implements ``_fail``, ``_end_cancelled`` and ``_end_returned``.

    ``response`` Response or None · ``status`` int, what the client got · ``stream`` Stream · ``endpoint`` Endpoint ·
    ``scope`` dict · ``started`` float, seconds of ``time.monotonic``, as of the last sweep where the context is not
    timed; 0 when it was refused before it started.
    """

    __slots__ = (
        "_cancelling",
        "_context",
        "_grace",
        "_observed",
        "_own_context",
        "_task",
        "endpoint",
        "logged",
        "response",
        "scope",
        "started",
        "status",
        "stream",
    )

    _context: Context

    def _prepare(self, context: Context, stream: Stream, request: Request, endpoint: Endpoint) -> None:
        self.request = request
        self._context = context
        self.stream = stream
        self.endpoint = endpoint
        self.logged: Any = None
        self.scope: dict[str, Any] | None = None
        self.response: Response | None = None
        self.status = 0
        self.started = 0.0
        self._own_context: contextvars.Context | None = None
        self._task: Any = None
        self._grace: asyncio.TimerHandle | None = None
        self._cancelling = False
        self._observed = False

    def _enter(self) -> None:
        """Give the request its context, and run ``pre_request`` in it.

        Not needed for a task that starts at once in a turn, which is taken in the worker's context: the task copies it.
        """
        context = self._context
        own = self._own_context = context.contextvars.copy()
        if context.pre_request is not None:
            own.run(context.pre_request, self)

    def _new_task(self, coroutine: Any, eager: bool) -> Any:
        """A task for the application's coroutine, in the request's context; it may have ended when this returns."""
        context = self._context
        own = self._own_context
        if eager and own is None:
            return _Task(coroutine, **context.eagerly)
        if eager:
            return _Task(coroutine, **context.eagerly, context=own)
        if context.names_context:
            return context.create_task(coroutine, context=own)
        return own.run(context.create_task, remembering(coroutine, self.remember))  # type: ignore[union-attr]

    def remember(self, own: contextvars.Context) -> None:
        """Have what is still to come run in ``own``: the application's last words were in that context."""
        self._own_context = own

    def _within(self, do: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Call ``do`` in a copy of the request's context, which may itself be entered, where a loop is re-entered."""
        own = self._own_context
        if own is None:
            own = self._context.contextvars if self._task is None else self._task.get_context()
        own.copy().run(do, *arguments)

    def _follow(self, task: asyncio.Task[Any], eager: bool) -> None:
        """Bring the exchange to its end as soon as ``task`` has ended."""
        if _is_done(task) if eager else task.done():
            self._finish(task)
        else:
            self._task = task
            self._context.tasks[task] = self
            task.add_done_callback(self._finish, context=self._context.contextvars.copy())

    def _finish(self, task: Any) -> None:
        """The application has returned, raised or been cancelled: bring the exchange to an end."""
        if self._task is not None:
            self._task = None
            self._context.tasks.pop(task, None)
            if self._grace is not None:
                self._grace.cancel()
                self._grace = None
        try:
            error = _exception_of(task) if self._context.eager else task.exception()
            if error is None and self._is_answered():
                self._observe()
                return
        except asyncio.CancelledError:
            error = None
        if self._own_context is None:
            self._own_context = task.get_context()
        if task.cancelled():
            self._within(self._end_cancelled, ())
        elif error is not None:
            self._within(self._fail, (error,))
        else:
            self._within(self._end_returned, ())
        self._observe()

    def _is_answered(self) -> bool:
        """Whether there is nothing to be done when the application returns."""
        return False

    def _fail(self, error: BaseException) -> None:
        """The application has raised."""
        raise NotImplementedError

    def _end_cancelled(self) -> None:
        """The application was cancelled, by us where ``_cancelling``."""
        raise NotImplementedError

    def _end_returned(self) -> None:
        """The application has returned."""
        raise NotImplementedError

    def _log_exception(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            set_reported(error)
        self._context.log.error("Exception in ASGI application, %s", self.describe(), exc_info=error)

    def describe(self) -> str:
        """The request as it may stand in a log line."""
        raise NotImplementedError

    def _observe(self) -> None:
        """Tell the observer, once, that this is over, or that nobody is left to answer."""
        if self._context.observer is not None and not self._observed:
            self._within(self._observe_here, ())

    def _observe_here(self) -> None:
        """As ``_observe``, in the context that we are called in: the application's, within ``send``."""
        observer = self._context.observer
        if observer is not None and not self._observed:
            self._observed = True
            if self.status == 0:
                self.status = CLIENT_CLOSED_REQUEST
            observer(self)
