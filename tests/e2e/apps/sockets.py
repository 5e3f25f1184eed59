"""An ASGI application for WebSockets: one behaviour per path. HTTP requests get the process id; /go lets /deaf hear."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from tests.e2e.apps.trace import trace


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await PATHS[scope["path"]](scope, receive, send)
    elif scope["type"] == "http":
        if scope["path"] == "/go":
            GO.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % os.getpid()})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what it gets, and traces how it ended."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    trace("disconnect", event["code"], event["reason"])
    if "slow" in scope["query_string"].decode():
        await asyncio.sleep(0.3)
    trace("finished")


async def offer(scope: Any, receive: Any, send: Any) -> None:
    """Takes the last subprotocol, sets headers, sends its scope."""
    await receive()
    names = scope["subprotocols"]
    headers = [(b"x-own", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "websocket.accept", "subprotocol": names[-1] if names else None, "headers": headers})
    shown = {name: scope[name] for name in ("type", "scheme", "path", "http_version", "subprotocols", "root_path")}
    await send({"type": "websocket.send", "text": json.dumps(shown)})
    await receive()


async def close(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4001, "reason": "genug ✓"})
    trace("disconnect", (await receive())["code"])


async def reject(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})


async def deny(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"www-authenticate", b"Basic")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who?"})


async def fail(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    raise ValueError("broken on purpose")


async def fail_early(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("broken before accept")


async def block(scope: Any, receive: Any, send: Any) -> None:
    """Stops the loop for a while when it gets a message, then answers."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    time.sleep(2.5)  # longer than interval and timeout of the pings together
    await send({"type": "websocket.send", "text": "unblocked"})
    await receive()


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Receives nothing until a request for /go, then all there is."""
    await receive()
    await send({"type": "websocket.accept"})
    await GO.wait()
    count = size = 0
    while (event := await receive())["type"] == "websocket.receive":
        count += 1
        size += len(event.get("bytes") or event["text"])
    trace("took", count, size, event["code"])


async def think(scope: Any, receive: Any, send: Any) -> None:
    """Answers each message after a while."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await asyncio.sleep(0.3)
        await send({**event, "type": "websocket.send"})


GO = asyncio.Event()

PATHS = {
    "/deaf": deaf,
    "/think": think,
    "/echo": echo,
    "/offer": offer,
    "/close": close,
    "/reject": reject,
    "/deny": deny,
    "/fail": fail,
    "/fail-early": fail_early,
    "/block": block,
}
