"""A Starlette application with the parts of the framework that lean most on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.e2e.apps.trace import trace

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    trace("started")
    yield {"pool": ["shared by all requests"]}
    trace("stopped")


class Timing(BaseHTTPMiddleware):
    """The middleware base that wraps receive and send in streams and tasks of its own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-middleware"] = "passed"
        return response


async def home(request: Request) -> Response:
    return PlainTextResponse(f"{request.client.host} {request.state.pool[0]}")


async def echo(request: Request) -> Response:
    body = await request.body()
    return Response(body, media_type=request.headers.get("content-type"))


async def pieces(request: Request) -> Response:
    """Number of bytes, read in pieces."""
    try:
        return JSONResponse(sum([len(piece) async for piece in request.stream()]))
    except ClientDisconnect:
        trace("client disconnected")
        raise


async def stream(request: Request) -> Response:
    async def numbers() -> AsyncIterator[str]:
        for number in range(int(request.query_params.get("count", "3"))):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/plain")


async def endless(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        try:
            trace("endless began")
            while True:
                yield b"again\n"
                await asyncio.sleep(0.01)
        finally:
            trace("endless ended")

    return StreamingResponse(body())


async def background(request: Request) -> Response:
    async def later() -> None:
        await asyncio.sleep(0.05)
        trace("background task ran")

    return PlainTextResponse("accepted", background=BackgroundTask(later))


async def blocking(request: Request) -> Response:
    """``run_in_threadpool`` through anyio, as for every plain ``def`` endpoint."""
    from starlette.concurrency import run_in_threadpool

    return JSONResponse(await run_in_threadpool(sum, range(1000)))


async def file(request: Request) -> Response:
    return FileResponse(HERE / "starlette_app.py")


async def broken(request: Request) -> Response:
    raise RuntimeError("broken endpoint")


async def disconnected(request: Request) -> Response:
    trace("polling")
    while not await request.is_disconnected():
        await asyncio.sleep(0.01)
    trace("saw the disconnect")
    return PlainTextResponse("too late")


async def redirect(request: Request) -> Response:
    return RedirectResponse("/elsewhere")


async def cookies(request: Request) -> Response:
    response = JSONResponse(dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


class Endpoint(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse(request.url.path)


routes = [
    Route("/", home),
    Route("/echo", echo, methods=["POST"]),
    Route("/pieces", pieces, methods=["POST"]),
    Route("/stream", stream),
    Route("/endless", endless),
    Route("/background", background),
    Route("/blocking", blocking),
    Route("/file", file),
    Route("/broken", broken),
    Route("/disconnected", disconnected),
    Route("/redirect", redirect),
    Route("/cookies", cookies),
    Route("/endpoint", Endpoint),
    Mount("/static", StaticFiles(directory=HERE)),
]
plain = Starlette(routes=routes, lifespan=lifespan)
wrapped = Starlette(
    routes=[*routes, Mount("/sub", Starlette(routes=routes))],
    lifespan=lifespan,
    middleware=[Middleware(Timing), Middleware(GZipMiddleware, minimum_size=500)],
)
