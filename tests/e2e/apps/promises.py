"""The application of the promises' tests: HTTP, a WebSocket that greets, a lifespan that can be told to be slow."""

from __future__ import annotations

import asyncio
import os

from tests.e2e.apps import bare
from tests.e2e.apps.trace import trace


async def app(scope: bare.Scope, receive: bare.Receive, send: bare.Send) -> None:
    if scope["type"] == "websocket":
        await _websocket(receive, send)
    elif scope["type"] == "lifespan" and "STARTUP_SECONDS" in os.environ:
        await receive()
        trace("starting")
        await asyncio.sleep(float(os.environ["STARTUP_SECONDS"]))
        trace("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await bare.app(scope, receive, send)


async def _websocket(receive: bare.Receive, send: bare.Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            trace("websocket", message["code"])
            return
        await send({"type": "websocket.send", "text": message["text"]})
