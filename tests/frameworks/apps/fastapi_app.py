"""FastAPI with validation, a dependency that is closed, sub-applications of ASGI and WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from a2wsgi import WSGIMiddleware
from fastapi import Depends, FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, StreamingResponse
from flask import Flask
from flask import request as flask_request
from pydantic import BaseModel

from tests.e2e.apps.trace import trace


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    trace("started")
    yield
    trace("stopped")


app = FastAPI(lifespan=lifespan)
sub = FastAPI()
flask = Flask("sub")


class Item(BaseModel):
    name: str
    price: float


async def database() -> AsyncIterator[str]:
    yield "connection"
    trace("connection closed")


@app.get("/")
async def home() -> dict[str, str]:
    return {"framework": "fastapi"}


@app.get("/query", response_class=PlainTextResponse)
async def query(name: str) -> str:
    return name


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers["content-type"])


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request) -> str:
    return str(sum([len(part) async for part in request.stream()]))


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(numbers(), media_type="text/plain")


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("broken on purpose")


@app.post("/items", status_code=201)
def items(item: Item, connection: str = Depends(database)) -> Item:
    """A plain function: it runs in a thread."""
    return item


@app.post("/form")
async def form(name: str = Form(), file: UploadFile | None = None) -> dict[str, object]:
    return {"name": name, "size": len(await file.read()) if file else None}


@sub.get("/where")
async def where(request: Request) -> dict[str, str]:
    return {"root_path": request.scope["root_path"], "url": str(request.url)}


@flask.route("/where", methods=["GET", "POST"])
def flask_where() -> dict[str, object]:
    return {"root_path": flask_request.script_root, "size": len(flask_request.get_data())}


app.mount("/sub", sub)
app.mount("/flask", WSGIMiddleware(flask))
