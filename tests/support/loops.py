"""Fresh event loops of either kind, for tests of what runs on a loop but not in a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

try:
    import uvloop
except ImportError:
    uvloop = None

#: Seconds; no test comes near it unless something hangs.
LONG = 30.0

#: Runs a coroutine to its end, and returns what that returns.
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def fresh_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Return a new loop; skip the test where there is none of this ``kind``, "asyncio" or "uvloop"."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    if uvloop is None:
        pytest.skip("uvloop is not installed")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
