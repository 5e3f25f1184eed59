"""The application: ``/echo`` sends back what it gets, ``/broadcast`` sends what one client says to all others."""

from __future__ import annotations

from typing import Any

_LISTENERS: set[Any] = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await (_broadcast if scope["path"] == "/broadcast" else _echo)(scope, receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
    elif scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": event["text"]})


async def _broadcast(scope: Any, receive: Any, send: Any) -> None:
    if scope["query_string"] != b"speak":
        _LISTENERS.add(send)
        await receive()
        _LISTENERS.discard(send)
        return
    while (event := await receive())["type"] == "websocket.receive":
        message = {"type": "websocket.send", "text": event["text"]}
        for listener in list(_LISTENERS):
            await listener(message)
