"""What the endurance tests serve: content that is streamed both ways, events, long polls, files."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

BLOCK = bytes(65536)
SIZE = int(os.environ.get("SIZE", 1 << 30))
FILE = os.environ.get("FILE", __file__)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await ROUTES[scope["path"]](receive, send)


async def answer(send: Any, text: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def download(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % SIZE)]})
    for _ in range(SIZE // len(BLOCK)):
        await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
    await send({"type": "http.response.body"})


async def upload(receive: Any, send: Any) -> None:
    size = 0
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event["body"])
        more = event["more_body"]
    await answer(send, str(size))


async def events(receive: Any, send: Any) -> None:
    kind = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    number = 0
    while True:
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        number += 1
        await asyncio.sleep(0.1)


async def poll(receive: Any, send: Any) -> None:
    await asyncio.sleep(20)
    await answer(send, "news")


async def file(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": FILE})


async def state(receive: Any, send: Any) -> None:
    """Tasks beside this one, open descriptors, objects that the garbage collector knows."""
    gc.collect()
    await answer(send, f"{len(asyncio.all_tasks()) - 1} {len(os.listdir('/dev/fd'))} {len(gc.get_objects())}")


ROUTES = {
    "/download": download,
    "/upload": upload,
    "/events": events,
    "/poll": poll,
    "/file": file,
    "/state": state,
}
