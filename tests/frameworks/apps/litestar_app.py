"""Litestar: typed handlers, streaming, a file, lifespan hooks."""

from collections.abc import AsyncIterator

from litestar import Litestar, Request, Response, get, post
from litestar.logging import LoggingConfig
from litestar.response import File, ServerSentEvent, Stream

from tests.e2e.apps.trace import trace


async def started(app: Litestar) -> None:
    trace("started")


async def stopped(app: Litestar) -> None:
    trace("stopped")


@get("/")
async def home() -> dict[str, str]:
    return {"framework": "litestar"}


@get("/query", media_type="text/plain")
async def query(name: str) -> str:
    return name


@post("/echo", status_code=200)
async def echo(request: Request) -> Response[bytes]:
    return Response(await request.body(), media_type=request.headers["content-type"])


@post("/upload", status_code=200, media_type="text/plain")
async def upload(request: Request) -> str:
    return str(sum([len(part) async for part in request.stream()]))


@get("/stream")
async def stream() -> Stream:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return Stream(numbers(), media_type="text/plain")


@get("/broken")
async def broken() -> None:
    raise RuntimeError("broken on purpose")


@get("/events")
async def events() -> ServerSentEvent:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    return ServerSentEvent(numbers())


@get("/file")
async def file() -> File:
    return File(path=__file__, media_type="text/plain")


app = Litestar(
    [home, query, echo, upload, stream, broken, events, file],
    logging_config=LoggingConfig(log_exceptions="always"),
    on_startup=[started],
    on_shutdown=[stopped],
)
