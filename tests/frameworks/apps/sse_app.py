"""sse-starlette: events that end, events that end with their client, pings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.e2e.apps.trace import trace


async def home(request: Request) -> JSONResponse:
    return JSONResponse({"framework": "sse-starlette"})


async def events(request: Request) -> EventSourceResponse:
    async def numbers() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield {"event": "number", "id": str(number), "data": str(number)}

    return EventSourceResponse(numbers())


async def endless(request: Request) -> EventSourceResponse:
    async def ticks() -> AsyncIterator[str]:
        try:
            while True:
                yield "tick"
                await asyncio.sleep(0.02)
        finally:
            trace("ticks ended")

    return EventSourceResponse(ticks(), ping=1)


app = Starlette(routes=[Route("/", home), Route("/events", events), Route("/endless", endless)])
