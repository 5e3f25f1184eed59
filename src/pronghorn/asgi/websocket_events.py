"""What applications send over a WebSocket and raise, brought into the one form that the exchange works with.

Knows types only: whether an event is allowed where it comes is the exchange's to say.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pronghorn.asgi.errors import EventError


def as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise EventError(f"'bytes' and 'body' must be bytes, not {type(data).__name__}")


def as_str(text: object) -> str:
    """Text of a subclass, which templates return to mark it as safe, as plain text."""
    if isinstance(text, str):
        return str.__str__(text)
    raise EventError(f"websocket.send: 'text' must be str, not {type(text).__name__}")


def tells_disconnect(error: BaseException) -> bool:
    """Whether ``error`` is how a framework hands on websocket.disconnect: Starlette's and Litestar's name for it."""
    return type(error).__name__ == "WebSocketDisconnect"


async def fail_later(error: Exception) -> None:
    """Fail after a turn of the loop, lest an application that sends on and on, whatever happens, stop the worker."""
    await asyncio.sleep(0)
    raise error


async def awaited(result: Any) -> None:
    """Run an application whose call returned an awaitable that is not a coroutine: asyncio takes coroutines only."""
    await result
