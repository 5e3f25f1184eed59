"""BlackSheep: its own reading and writing of ASGI messages, in Cython."""

from collections.abc import AsyncIterator

from blacksheep import Application, Content, Request, Response, StreamedContent, get, json, post, text

from tests.e2e.apps.trace import trace

app = Application()


@app.on_start
async def started(application: Application) -> None:
    trace("started")


@app.on_stop
async def stopped(application: Application) -> None:
    trace("stopped")


@get("/")
async def home() -> Response:
    return json({"framework": "blacksheep"})


@get("/query")
async def query(name: str) -> Response:
    return text(name)


@post("/echo")
async def echo(request: Request) -> Response:
    return Response(200, content=Content(request.content_type() or b"text/plain", await request.read() or b""))


@post("/upload")
async def upload(request: Request) -> Response:
    return text(str(sum([len(part) async for part in request.stream()])))


@get("/stream")
async def stream() -> Response:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    return Response(200, content=StreamedContent(b"text/plain", numbers))


@get("/broken")
async def broken() -> Response:
    raise RuntimeError("broken on purpose")
