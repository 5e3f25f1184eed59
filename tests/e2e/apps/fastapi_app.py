"""A FastAPI application: dependencies with cleanup, validation, background tasks, handlers in threads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from tests.e2e.apps.trace import trace

app = FastAPI()
current: ContextVar[str] = ContextVar("current", default="nobody")


class Item(BaseModel):
    name: str
    price: float


async def session() -> AsyncIterator[str]:
    """A dependency that has to be closed after the response."""
    trace("session opened")
    try:
        yield "session"
    finally:
        trace("session closed")


@app.get("/")
async def root() -> dict[str, Any]:
    return {"pid": os.getpid()}


@app.get("/threaded/{number}")
def threaded(number: int) -> dict[str, int]:
    return {"square": number * number}


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    return item


@app.get("/session")
async def with_session(opened: Annotated[str, Depends(session)]) -> str:
    return opened


@app.get("/session-stream")
async def stream_with_session(opened: Annotated[str, Depends(session)]) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{opened} {number}\n"

    return StreamingResponse(body(), media_type="text/plain")


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "short and stout")


@app.get("/later")
async def later(tasks: BackgroundTasks) -> str:
    tasks.add_task(trace, "task ran")
    return "soon"


@app.get("/context/{name}")
async def context(name: str) -> list[str]:
    """A context variable set for one request must not be seen by another."""
    before = current.get()
    current.set(name)
    return [before, current.get()]


@app.get("/url")
async def url(request: Request) -> str:
    return str(request.url)
