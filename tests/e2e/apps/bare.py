"""A bare ASGI application: one behaviour per path, no framework between the tests and the server.

The first path segment names the function; the query holds its parameters. A test that has to stop the
application in the middle of something uses a gate: the application traces that it arrived, then waits until
the test makes a file.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.e2e.apps.trace import trace

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GATE_DIRECTORY = Path(os.environ.get("TRACE_FILE", "trace")).parent


class Disconnected(Exception):
    """The client left inside its request body: nobody is there to answer."""


class Exchange:
    """One request with what the paths below need of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.query = {key: values[-1] for key, values in parse_qs(scope["query_string"].decode()).items()}

    async def body(self) -> bytes:
        parts, more = [], True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def start(self, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def respond(self, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await self.start(status, (b"content-length", b"%d" % len(body)), *headers)
        await self.write(body, more=False)

    async def gate(self) -> None:
        """Trace the arrival at the gate, then wait until the file of its name is there."""
        name = self.query.get("gate", "gate")
        trace("at", name)
        while not (GATE_DIRECTORY / name).exists():
            await asyncio.sleep(0.02)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        name = scope["path"].split("/")[1].replace("-", "_") or "root"
        try:
            await PATHS.get(name, not_found)(Exchange(scope, receive, send))
        except Disconnected:
            trace("disconnected")
    else:
        raise NotImplementedError(scope["type"])


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            trace("lifespan.startup")
            atexit.register(trace, "atexit")
            await send({"type": "lifespan.startup.complete"})
        else:
            trace("lifespan.shutdown")
            await asyncio.sleep(float(os.environ.get("SHUTDOWN_SECONDS", "0")))
            trace("lifespan.shutdown.complete")
            await send({"type": "lifespan.shutdown.complete"})
            return


# -- whole answers ---------------------------------------------------------------------------------


async def root(exchange: Exchange) -> None:
    await exchange.respond(b"Hello, world!", 200, (b"content-type", b"text/plain"))


async def not_found(exchange: Exchange) -> None:
    await exchange.respond(b"no such path", 404)


async def pid(exchange: Exchange) -> None:
    await exchange.respond(b"%d" % os.getpid())


async def scope(exchange: Exchange) -> None:
    """The scope as JSON: bytes as Latin-1 text, everything else as it is, and the names of all keys."""
    shown = {key: value for key, value in exchange.scope.items() if key not in ("state", "extensions")}
    document = {
        **shown,
        "keys": sorted(exchange.scope),
        "extensions": sorted(exchange.scope.get("extensions") or {}),
        "headers_are_bytes": all(type(part) is bytes for pair in exchange.scope["headers"] for part in pair),
    }
    await exchange.respond(
        json.dumps(
            document,
            default=lambda value: value.decode("latin-1") if isinstance(value, bytes) else list(value),
        ).encode()
    )


async def echo(exchange: Exchange) -> None:
    """The whole request body, after its end."""
    await exchange.respond(await exchange.body())


async def status(exchange: Exchange) -> None:
    """The status ``code``, with a body also where the application must not send one."""
    code = int(exchange.query["code"])
    headers = [(b"x-status", b"%d" % code)]
    if "length" in exchange.query:
        headers.append((b"content-length", exchange.query["length"].encode()))
    await exchange.start(code, *headers)
    await exchange.write(b"a body" if "body" in exchange.query else b"", more=False)


async def fields(exchange: Exchange) -> None:
    """Repeated fields and odd values."""
    await exchange.respond(
        b"ok",
        200,
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-latin", b"\xe9t\xe9"),
        (b"x-empty", b""),
        (b"x-app", b"from the app"),
    )


async def own_coding(exchange: Exchange) -> None:
    """A Transfer-Encoding, which is not the application's to send, beside a Content-Length."""
    await exchange.respond(b"ok", 200, (b"transfer-encoding", b"chunked"))


async def unread(exchange: Exchange) -> None:
    """Answers without a look at the request body."""
    await exchange.respond(b"not read")


async def big(exchange: Exchange) -> None:
    """``size`` bytes in one message."""
    await exchange.respond(b"x" * int(exchange.query["size"]))


# -- streams ---------------------------------------------------------------------------------------


async def stream(exchange: Exchange) -> None:
    """``count`` numbered lines without a Content-Length."""
    await exchange.start(200, (b"content-type", b"text/plain"))
    for number in range(int(exchange.query.get("count", "3"))):
        await exchange.write(b"line %d\n" % number)
    await exchange.write(b"", more=False)


async def duplex(exchange: Exchange) -> None:
    """Each piece of the request body as soon as it is there."""
    await exchange.start()
    more = True
    while more:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        if message.get("body"):
            await exchange.write(message["body"])
    await exchange.write(b"", more=False)


async def two_parts(exchange: Exchange) -> None:
    """The first part, a gate, the second part."""
    await exchange.start()
    await exchange.write(b"first ")
    await exchange.gate()
    await exchange.write(b"second", more=False)


async def flood(exchange: Exchange) -> None:
    """64 MiB of body, more than any socket buffer holds; traces what stopped it."""
    name = exchange.query["name"]
    await exchange.start()
    try:
        for _ in range(1024):
            await exchange.write(b"x" * 65536)
    except OSError:
        trace(f"{name}: send raised OSError")
        raise
    trace(f"{name}: sent everything")
    await exchange.write(b"", more=False)


# -- time ------------------------------------------------------------------------------------------


async def slow(exchange: Exchange) -> None:
    await asyncio.sleep(float(exchange.query.get("seconds", "1")))
    await exchange.respond(b"%d" % os.getpid())


async def gate(exchange: Exchange) -> None:
    await exchange.gate()
    await exchange.respond(b"%d" % os.getpid())


async def hold(exchange: Exchange) -> None:
    """Never answers by itself; traces a cancellation."""
    trace("at hold")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        trace("cancelled")
        raise


async def block(exchange: Exchange) -> None:
    """Blocks the event loop, which no application should do."""
    trace("blocking")
    time.sleep(float(exchange.query.get("seconds", "60")))
    await exchange.respond(b"unblocked")


async def wait_disconnect(exchange: Exchange) -> None:
    trace("waiting for disconnect")
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    again = await exchange.receive()
    trace("got", again["type"])


# -- applications that fail ------------------------------------------------------------------------


async def fail(exchange: Exchange) -> None:
    raise ValueError("failed before the head")


async def fail_after_head(exchange: Exchange) -> None:
    await exchange.start()
    raise ValueError("failed after the head")


async def fail_after_part(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.write(b"a part")
    raise ValueError("failed after a part")


async def no_response(exchange: Exchange) -> None:
    await exchange.receive()


async def head_only(exchange: Exchange) -> None:
    await exchange.start()


async def unfinished(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.write(b"a part")


async def too_short(exchange: Exchange) -> None:
    await exchange.start(200, (b"content-length", b"100"))
    await exchange.write(b"only this", more=False)


async def too_long(exchange: Exchange) -> None:
    await exchange.start(200, (b"content-length", b"4"))
    await exchange.write(b"12345678", more=False)


PATHS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        root,
        pid,
        scope,
        echo,
        status,
        fields,
        own_coding,
        unread,
        big,
        stream,
        duplex,
        two_parts,
        flood,
        slow,
        gate,
        hold,
        block,
        wait_disconnect,
        fail,
        fail_after_head,
        fail_after_part,
        no_response,
        head_only,
        unfinished,
        too_short,
        too_long,
    )
}
