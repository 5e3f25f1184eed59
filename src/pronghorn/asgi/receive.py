"""``receive()`` of both kinds of exchange: a coroutine that is interpreted in either build.

What the interpreter's own coroutine returns goes straight to whoever awaits it; an iterator of a compiled class has to
raise StopIteration, with a traceback, which takes three times as long (``benchmarks/micro/receive.py``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pronghorn.asgi.source import Source

Event = dict[str, Any]


async def receive(source: Source) -> Event:
    """Return the next event of ``source``. It is taken here and not before, so that one who gives up loses none."""
    event = source.take()
    while event is None:
        event = source.last_event()
        if event is not None:
            if not source.ends_at_once():
                await asyncio.sleep(0)
            break
        await woken(source)
        event = source.take()
    return event


async def woken(source: Source) -> None:
    """Return when it is worth looking at ``source`` again."""
    waiter = source.wait()
    try:
        await waiter
    except BaseException:
        source.forget(waiter)
        raise
