"""Waiting for a condition with a deadline: the only kind of waiting the tests do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.02


def wait_until(predicate: Callable[[], T], timeout: float = 10.0, message: str | Callable[[], str] = "") -> T:
    """The first true value of ``predicate()``; ``AssertionError`` after ``timeout`` seconds without one.

    ``message`` says what was awaited. A callable is asked only on failure, so it can report what was seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = message() if callable(message) else message
            raise AssertionError(f"not within {timeout:g} s: {text or predicate}")
        time.sleep(_PAUSE)
