"""Stand-ins for what surrounds an exchange, and the loop that tests run in.

No clock of its own: time is ``context.clock``, which tests set. Waiting is for a condition, counted in turns of the
loop, so that nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from pronghorn.asgi.context import Context

#: Turns of the loop that are enough for everything that is ready to have run.
QUIET_TURNS = 25
#: Turns of the loop after which a condition will not come true any more.
MOST_TURNS = 20_000
#: Seconds after which a test hangs; far more than any needs.
HANGS = 120.0

#: What was done to a double that what it stands for would not forgive, or would drop without a word.
misuses: list[str] = []

EAGER_POSSIBLE = sys.version_info >= (3, 12)
#: The ways to start applications that this Python has.
WAYS_TO_START = [False, True] if EAGER_POSSIBLE else [False]


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test in a loop of its own, where leftover tasks, unheard errors and misuses are failures."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(_supervised(test(*args, **kwargs)))

    return run


async def _supervised(test: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    unheard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, details: unheard.append(details))
    misuses.clear()
    await asyncio.wait_for(test, HANGS)
    assert not unheard, unheard
    assert not misuses, misuses


async def settle(turns: int = QUIET_TURNS) -> None:
    """Let everything run that is ready to."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], what: str = "", turns: int = MOST_TURNS) -> None:
    """Turn the loop until ``condition()`` is true."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"never came true: {what or condition}")


class RecordingLog:
    """A logger that keeps ``entries``: (level, text, exception or None)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, BaseException | None]] = []

    def _add(self, level: str, text: str, args: tuple[Any, ...], exc_info: Any) -> None:
        error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
        if error is True:
            error = sys.exc_info()[1]
        self.entries.append((level, text % args if args else text, error or None))

    def debug(self, text: str, *args: Any, exc_info: Any = None) -> None:
        self._add("debug", text, args, exc_info)

    def info(self, text: str, *args: Any, exc_info: Any = None) -> None:
        self._add("info", text, args, exc_info)

    def warning(self, text: str, *args: Any, exc_info: Any = None) -> None:
        self._add("warning", text, args, exc_info)

    def error(self, text: str, *args: Any, exc_info: Any = None) -> None:
        self._add("error", text, args, exc_info)

    def exception(self, text: str, *args: Any) -> None:
        self._add("error", text, args, True)

    def of(self, *levels: str) -> list[str]:
        return [text for level, text, _ in self.entries if level in levels]

    @property
    def errors(self) -> list[str]:
        return self.of("error")

    @property
    def raised(self) -> list[BaseException]:
        """The exceptions that were logged with their traceback."""
        return [error for _, _, error in self.entries if error is not None]


def make_context(app: Callable[..., Any], *, eager: bool = False, **attributes: Any) -> Context:
    """A context of the running loop; ``attributes`` override what ``Context`` sets."""
    context = Context(app, asyncio.get_running_loop(), RecordingLog())
    context.clock = 1000.0
    context.start_eagerly(eager)
    context.cancels_unsafe = "disconnect_grace_period" in attributes  # set on purpose
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


class Timers:
    """Takes the running loop's ``call_later`` over: what is set is kept in ``pending``, and fires when told."""

    def __init__(self) -> None:
        self.pending: list[Timer] = []
        asyncio.get_running_loop().call_later = self._call_later  # type: ignore[assignment,method-assign]

    def _call_later(self, delay: float, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Timer:
        timer = Timer(self, delay, functools.partial(callback, *args))
        self.pending.append(timer)
        return timer

    @property
    def delays(self) -> list[float]:
        return [timer.delay for timer in self.pending]

    def fire(self) -> None:
        """Run all that is pending."""
        pending, self.pending = self.pending, []
        for timer in pending:
            timer.callback()


class Timer:
    """What ``Timers`` returns for a ``TimerHandle``."""

    def __init__(self, timers: Timers, delay: float, callback: Callable[[], object]) -> None:
        self.delay = delay
        self.callback = callback
        self._timers = timers

    def cancel(self) -> None:
        if self in self._timers.pending:
            self._timers.pending.remove(self)
