"""Quart: streaming both ways, a session, server start-up and shutdown functions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from quart import Quart, Response, jsonify, request, send_file, session

from tests.e2e.apps.trace import trace

app = Quart(__name__)
app.secret_key = "for tests only"


@app.before_serving
async def started() -> None:
    trace("started")


@app.after_serving
async def stopped() -> None:
    trace("stopped")


@app.get("/")
async def home() -> Response:
    return jsonify(framework="quart")


@app.get("/query")
async def query() -> str:
    return request.args["name"]


@app.post("/echo")
async def echo() -> Response:
    return Response(await request.get_data(), content_type=request.content_type)


@app.post("/upload")
async def upload() -> str:
    return str(sum([len(part) async for part in request.body]))


@app.get("/stream")
async def stream() -> Response:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return Response(numbers(), content_type="text/plain")


@app.get("/broken")
async def broken() -> str:
    raise RuntimeError("broken on purpose")


@app.get("/session")
async def visits() -> Response:
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(session["visits"])


@app.get("/file")
async def file() -> Response:
    return await send_file(__file__)
