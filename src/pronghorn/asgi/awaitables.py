"""What ``send()`` returns when nothing has to be waited for: coroutines without a frame.

Each is a ``collections.abc.Coroutine``: it can be awaited, given to ``create_task`` or ``gather``, and passes
``asyncio.iscoroutine``. Making and running a coroutine with a frame costs about as much as the whole of ``send``.
``awaited`` is the other way round: it makes a coroutine of an awaitable that is none.
"""

from __future__ import annotations

from collections.abc import Coroutine
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


async def awaited(result: Any) -> None:
    """Run an application whose call returned an awaitable that is no coroutine: asyncio takes coroutines only."""
    await result


for _type in (Done, Failed):
    Coroutine.register(_type)

#: The one instance: what ``send()`` returns nearly always.
DONE = Done()
