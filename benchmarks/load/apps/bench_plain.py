"""The bare ASGI application behind most workloads: no framework, so the figures are the server's own.

Owns one route per workload. It must not import anything that is not needed to answer, because the resident
memory of the process is one of the figures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHUNKS = 100
CHUNK = b"x" * 1024

_BODIES = {
    "/": b"Hello, world!",
    "/10k": b"x" * (10 * 1024),
    "/1m": b"x" * (1024 * 1024),
}
_HEADERS = {
    path: [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    for path, body in _BODIES.items()
}
_STREAM_HEADERS = [(b"content-type", b"text/plain")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope.get("path")
    if path in _BODIES and scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS[path]})
        await send({"type": "http.response.body", "body": _BODIES[path]})
    elif scope["type"] == "http":
        await _other(path, receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)


async def _other(path: str | None, receive: Receive, send: Send) -> None:
    if path == "/count":
        await _count(receive, send)
    elif path == "/stream":
        await _stream(send)
    else:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def _count(receive: Receive, send: Send) -> None:
    """Take the request body as it arrives, keep none of it, answer with its length."""
    total = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(total).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        if message.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
