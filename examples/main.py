"""A small FastAPI application with one route for each thing that a server has to do well.

Start it in this directory::

    gunicorn main:app

``gunicorn.conf.py`` beside it is found by itself and names the worker class. ``README.md`` has a curl line
per route.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, UploadFile
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Run once in each worker, around everything it serves.

    What is yielded here is in ``request.state`` of every request: the place for connection pools and
    clients, which have to be made after the fork and on the worker's own event loop.
    """
    yield {"message": "Hello from Pronghorn", "started": time.monotonic()}


app = FastAPI(title="Pronghorn example", lifespan=lifespan)


@app.get("/")
async def root(request: Request) -> dict[str, Any]:
    """A message, and which worker answered."""
    return {"message": request.state.message, "pid": os.getpid()}


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """For load balancers: cheap, and answered only while the event loop turns."""
    return {"status": "ok", "pid": os.getpid(), "uptime": round(time.monotonic() - request.state.started, 3)}


@app.get("/slow")
async def slow(seconds: Annotated[float, Query(ge=0, le=60)] = 5.0) -> dict[str, Any]:
    """Wait as for a slow database: the worker serves thousands of others meanwhile."""
    await asyncio.sleep(seconds)
    return {"waited": seconds, "pid": os.getpid()}


@app.get("/blocking")
def blocking(seconds: Annotated[float, Query(ge=0, le=10)] = 0.5) -> dict[str, Any]:
    """Call something that blocks its thread.

    A plain ``def``: the framework runs it in a thread of its own, so the event loop stays free. The same
    ``time.sleep`` in an ``async def`` would stop every other request of this worker for as long.
    """
    time.sleep(seconds)
    return {"blocked": seconds, "pid": os.getpid()}


@app.post("/upload")
async def upload(request: Request) -> dict[str, Any]:
    """Size and SHA-256 of the request body, of any size: a piece at a time, never all of it in memory."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest(), "pid": os.getpid()}


@app.post("/upload/form")
async def upload_form(file: UploadFile) -> dict[str, Any]:
    """The same for a file of an HTML form (multipart/form-data); a large one goes to a temporary file."""
    digest, size = hashlib.sha256(), 0
    while piece := await file.read(65536):
        digest.update(piece)
        size += len(piece)
    return {"filename": file.filename, "size": size, "sha256": digest.hexdigest(), "pid": os.getpid()}


@app.get("/stream")
async def stream(
    lines: Annotated[int, Query(ge=1, le=100_000)] = 10, delay: Annotated[float, Query(ge=0, le=1)] = 0.1
) -> StreamingResponse:
    """Text of unknown length, each line sent when it is ready (chunked transfer coding)."""

    async def body() -> AsyncIterator[str]:
        for number in range(1, lines + 1):
            yield f"line {number} of {lines}\n"
            await asyncio.sleep(delay)

    return StreamingResponse(body(), media_type="text/plain")


@app.get("/events")
async def events(
    count: Annotated[int, Query(ge=1, le=1000)] = 10, delay: Annotated[float, Query(ge=0, le=10)] = 1.0
) -> StreamingResponse:
    """Server-sent events, as ``new EventSource("/events")`` in a browser reads them."""

    async def body() -> AsyncIterator[str]:
        for number in range(1, count + 1):
            data = json.dumps({"number": number, "of": count, "pid": os.getpid()})
            yield f"id: {number}\nevent: tick\ndata: {data}\n\n"
            if number < count:
                await asyncio.sleep(delay)

    # no-store: an event is of use once. X-Accel-Buffering: nginx passes each event on at once.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
