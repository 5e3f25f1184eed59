"""Falcon: resources, streaming both ways, server-sent events, process hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import falcon.asgi

from tests.e2e.apps.trace import trace


class Hooks:
    async def process_startup(self, scope: Any, event: Any) -> None:
        trace("started")

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        trace("stopped")


class Home:
    async def on_get(self, request: Any, response: Any) -> None:
        response.media = {"framework": "falcon"}


class Query:
    async def on_get(self, request: Any, response: Any) -> None:
        response.text = request.get_param("name")


class Echo:
    async def on_post(self, request: Any, response: Any) -> None:
        response.content_type = request.content_type
        response.data = await request.stream.read()


class Upload:
    async def on_post(self, request: Any, response: Any) -> None:
        response.text = str(sum([len(part) async for part in request.stream]))


class Stream:
    async def on_get(self, request: Any, response: Any) -> None:
        async def numbers() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d\n" % number

        response.content_type = "text/plain"
        response.stream = numbers()


class Events:
    async def on_get(self, request: Any, response: Any) -> None:
        async def numbers() -> AsyncIterator[falcon.asgi.SSEvent]:
            for number in range(3):
                yield falcon.asgi.SSEvent(text=str(number))

        response.sse = numbers()


class Broken:
    async def on_get(self, request: Any, response: Any) -> None:
        raise RuntimeError("broken on purpose")


app = falcon.asgi.App(middleware=[Hooks()])
for where, resource in {
    "/": Home(),
    "/query": Query(),
    "/echo": Echo(),
    "/upload": Upload(),
    "/stream": Stream(),
    "/events": Events(),
    "/broken": Broken(),
}.items():
    app.add_route(where, resource)
