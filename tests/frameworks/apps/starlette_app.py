"""Starlette with sessions, GZip, BaseHTTPMiddleware, background tasks and static files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTasks
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.e2e.apps.trace import trace


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    trace("started")
    yield {"greeting": "starlette"}
    trace("stopped")


class Header(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-middleware"] = "passed"
        return response


async def home(request: Request) -> Response:
    return JSONResponse({"framework": request.state.greeting})


async def query(request: Request) -> Response:
    return PlainTextResponse(request.query_params["name"])


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers["content-type"])


async def upload(request: Request) -> Response:
    return PlainTextResponse(str(sum([len(part) async for part in request.stream()])))


async def stream(request: Request) -> Response:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/plain")


async def broken(request: Request) -> Response:
    raise RuntimeError("broken on purpose")


async def session(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session["visits"])


async def background(request: Request) -> Response:
    tasks = BackgroundTasks()
    tasks.add_task(trace, "first task")
    tasks.add_task(asyncio.sleep, 0.01)
    tasks.add_task(trace, "second task")
    return PlainTextResponse("accepted", background=tasks)


async def text(request: Request) -> Response:
    return PlainTextResponse("compressible " * 1000)


async def file(request: Request) -> Response:
    return FileResponse(__file__)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/query", query),
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/broken", broken),
        Route("/session", session),
        Route("/background", background),
        Route("/text", text),
        Route("/file", file),
        Mount("/static", StaticFiles(directory=Path(__file__).parent)),
    ],
    middleware=[
        Middleware(SessionMiddleware, secret_key="for tests only"),
        Middleware(GZipMiddleware, minimum_size=500),
        Middleware(Header),
    ],
    lifespan=lifespan,
)
