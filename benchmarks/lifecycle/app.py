"""The application under test: answers whose every byte the client can predict, and some that misbehave on demand."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs


def expected_body(key: str, size: int) -> bytes:
    """``size`` bytes that depend on all of ``key``, so that an answer to another request cannot pass."""
    seed = hashlib.sha256(key.encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(receive, send)
    elif scope["type"] == "http":
        await _http(scope, receive, send)


async def _lifespan(receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await asyncio.sleep(float(os.environ.get("BOOT_SECONDS", "0")))
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _http(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
    if scope["path"] == "/block":
        time.sleep(float(query["seconds"]))  # what an application must not do
    elif "ms" in query:
        await asyncio.sleep(int(query["ms"]) / 1000)
    key = query.get("key", "") + hashlib.sha256(body).hexdigest() * bool(body)
    answer = expected_body(key, int(query.get("size", "0")))
    parts = int(query.get("parts", "1"))
    headers = [(b"x-pid", str(os.getpid()).encode())]
    if parts == 1:
        headers.append((b"content-length", str(len(answer)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    step = len(answer) // parts + 1
    for start in range(0, step * parts, step):
        last = start + step >= step * parts
        await send({"type": "http.response.body", "body": answer[start : start + step], "more_body": not last})
        if not last:
            await asyncio.sleep(0)


async def _websocket(receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    """Says its process id, then whatever it is told, until the end."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({**message, "type": "websocket.send"})
