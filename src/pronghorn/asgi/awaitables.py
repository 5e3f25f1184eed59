"""What ``send()`` returns when nothing has to be waited for: coroutines without a frame.

Each is a ``collections.abc.Coroutine``: it can be awaited, given to ``create_task`` or ``gather``, and passes
``asyncio.iscoroutine``. Making and running a coroutine with a frame costs about as much as the whole of ``send``.
``coroutine_function`` is the other way round: it sees that a call of the application is nothing but a coroutine.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType, MethodType
from typing import Any, NoReturn


class Done:
    """Returns None at once. It has no state, so one instance serves every caller."""

    __slots__ = ()

    def __await__(self) -> Done:
        return self

    def __iter__(self) -> Done:
        return self

    def __next__(self) -> NoReturn:
        raise StopIteration

    def send(self, value: object) -> NoReturn:
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> NoReturn:
        raise _thrown(kind, value, traceback)

    def close(self) -> None:
        """Nothing is held."""


class Failed:
    """Raises ``error`` when awaited, once."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error

    def __await__(self) -> Failed:
        return self

    def __iter__(self) -> Failed:
        return self

    def __next__(self) -> NoReturn:
        self.send(None)

    def send(self, value: object) -> NoReturn:
        error = self._error
        # Given up before it is raised: its traceback will refer to this frame, which must not refer to it. The cycle
        # would keep the application's frames alive, and with them generators that are to end with their client.
        self._error = None
        try:
            raise RuntimeError("cannot reuse already awaited coroutine") if error is None else error
        finally:
            del error

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> NoReturn:
        raise _thrown(kind, value, traceback)

    def close(self) -> None:
        """Nothing is held."""


def _thrown(kind: Any, value: Any, traceback: Any) -> BaseException:
    """The exception that ``throw`` was given, in its one-argument or its old three-argument form."""
    error: BaseException = kind if isinstance(kind, BaseException) else value
    if error is None or not isinstance(error, BaseException):
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)


async def fail_later(error: Exception) -> None:
    """Fail after a turn of the loop, so that an application that sends on and on cannot stop the worker."""
    await asyncio.sleep(0)
    raise error


def coroutine_function(app: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return ``app`` as a callable none of whose code runs when it is called, but all of it in the coroutine.

    So whatever the application does, it does in its task. It may be a plain callable and return any awaitable.
    """
    if _runs_nothing_when_called(app):
        return app

    async def call(*arguments: Any) -> None:
        await app(*arguments)

    return call


def _runs_nothing_when_called(app: Any) -> bool:
    """Told by what Python does with it. Marks do not count, for ``inspect.markcoroutinefunction`` marks anything."""
    while type(app) in (functools.partial, MethodType):
        app = app.func if type(app) is functools.partial else app.__func__
    if type(app) is not FunctionType:
        app = next((vars(kind)["__call__"] for kind in type(app).__mro__ if "__call__" in vars(kind)), None)
    return type(app) is FunctionType and bool(app.__code__.co_flags & inspect.CO_COROUTINE)


async def remembering(coroutine: Any, remember: Callable[[contextvars.Context], None]) -> None:
    """Run ``coroutine`` in a task that cannot be asked for its context, and tell that to ``remember``."""
    try:
        await coroutine
    finally:
        remember(contextvars.copy_context())


for _type in (Done, Failed):
    Coroutine.register(_type)

#: The one instance: what ``send()`` returns nearly always.
DONE = Done()
