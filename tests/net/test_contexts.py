"""No context variable of one request is seen by another: whatever callable serves, on either loop, however it starts.

Over real sockets, for it is the loops that remember in whose context they were told to read, to write or to call.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules
from tests.asgi.apps import Receive, Scope, Send, read_all, reply
from tests.asgi.doubles import HANGS, RecordingLog, make_context, until
from tests.net.support import read_responses
from tests.support.frames import HANDSHAKE, received
from tests.support.loops import fresh_loop

secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="unset")

GET = b"GET /get HTTP/1.1\r\nhost: x\r\n\r\n"
#: More than is held before the application takes it, so that reading pauses, and is resumed from within its call.
POST = b"POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: 300\r\n\r\n" + b"x" * 300
UPGRADE = b"GET /chat HTTP/1.1\r\nhost: x\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in HANDSHAKE)

#: Python 3.10 cannot tell the context of a task that still runs, as that of a WebSocket does whose client leaves.
CHAT_AS_SEEN = "of /chat" if sys.version_info >= (3, 11) else "of the hook"

# -- callables of all shapes ----------------------------------------------------------------------------------------


def mark(scope: Scope) -> str:
    """What the variable was before, and sets it: the application's own code, wherever a shape runs it."""
    before = secret.get()
    secret.set(f"of {scope['path']}")
    return before


async def serve(before: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": before})
        await receive()
    else:
        await read_all(receive)
        await asyncio.sleep(0)
        await reply(send, before.encode())


async def function(scope: Scope, receive: Receive, send: Send) -> None:
    await serve(mark(scope), scope, receive, send)


def plain(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return serve(mark(scope), scope, receive, send)


def future(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return asyncio.ensure_future(serve(mark(scope), scope, receive, send))


class PlainCall:
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return plain(scope, receive, send)

    def method(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return plain(scope, receive, send)


class AsyncCall:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await plain(scope, receive, send)


class Instance:
    """The class is the application: its instances are what is awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.before = mark(scope)
        self.arguments = scope, receive, send

    def __await__(self) -> Any:
        return serve(self.before, *self.arguments).__await__()


class Late:
    """An awaitable that does everything when it is awaited."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __await__(self) -> Any:
        return plain(*self.arguments).__await__()


def decorated(app: Any) -> Any:
    @functools.wraps(app)
    def inner(scope: Scope, receive: Receive, send: Send) -> Any:
        secret.set(mark(scope))
        return app(scope, receive, send)

    return inner


class Pretends(PlainCall):
    """Looks like a coroutine function to whoever asks."""


if hasattr(inspect, "markcoroutinefunction"):
    inspect.markcoroutinefunction(Pretends)

SHAPES: dict[str, Any] = {
    "coroutine function": function,
    "function": plain,
    "function that returns a future": future,
    "object": PlainCall(),
    "method": PlainCall().method,
    "object with an asynchronous call": AsyncCall(),
    "class": Instance,
    "class, late": Late,
    "partial": functools.partial(plain),
    "partial of an object": functools.partial(PlainCall()),
    "partial of a coroutine function": functools.partial(function),
    "decorated": decorated(function),
    "decorated, an object": decorated(AsyncCall()),
    "marked": inspect.markcoroutinefunction(lambda *args: plain(*args))
    if hasattr(inspect, "markcoroutinefunction")
    else plain,
    "marked object": Pretends(),
    "lambda": lambda scope, receive, send: plain(scope, receive, send),
}

# -- a worker on a real loop ----------------------------------------------------------------------------------------


class Worker:
    """Connections of one worker on the running loop, and their clients."""

    def __init__(self, app: Any, **attributes: Any) -> None:
        rules = Rules()
        self.context = make_context(
            app,
            rules=rules,
            trusting_rules=rules,
            high_water=100,
            websockets=WebSocketSettings(ping_interval=0.0, compression=False),
            **attributes,
        )
        self.reaper = Reaper(asyncio.get_running_loop(), self.context)
        self.turn = Turn(self.context)

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    async def connect(self) -> Client:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        await loop.connect_accepted_socket(
            lambda: Connection(self.context, self.reaper, self.turn, Http1), sock=ours
        )
        return Client(*await asyncio.open_connection(sock=theirs))

    async def empty(self) -> None:
        await until(lambda: not self.context.tasks and not self.reaper.connections, "nothing is left")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._received = b""

    async def bodies(self, requests: bytes, methods: list[str]) -> list[bytes]:
        """Send and read as many responses."""
        self.writer.write(requests)
        self._received = b""
        while True:
            answers = read_responses(self._received, *methods)
            if len(answers) == len(methods) and answers[-1].complete:
                return [answer.body for answer in answers]
            self._received += await self.read()

    async def text(self) -> bytes:
        """Upgrade, and return the first message."""
        self.writer.write(UPGRADE)
        data = b""
        while not (frames := received(data.partition(b"\r\n\r\n")[2])):
            data += await self.read()
        return str(frames[0][1]).encode()

    async def read(self) -> bytes:
        data = await self._reader.read(65536)
        assert data, "the server has ended the connection"
        return data

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def on_loop(kind: str, test: Callable[[], Any]) -> None:
    loop = fresh_loop(kind)
    try:
        loop.run_until_complete(asyncio.wait_for(test(), HANGS))
    finally:
        loop.close()


LOOPS = ["asyncio", "uvloop"]


@pytest.mark.parametrize("kind", LOOPS)
def test_no_request_sees_what_another_has_set(kind: str, eager: bool) -> None:
    async def visit(shape: str) -> list[Any]:
        worker = Worker(SHAPES[shape], eager=eager)
        first, second, third = [await worker.connect() for _ in range(3)]
        seen: list[Any] = await first.bodies(GET + POST + GET + POST, ["GET", "POST"] * 2)  # pipelined
        for method, request in (("POST", POST), ("GET", GET), ("POST", POST)):  # kept
            seen += await first.bodies(request, [method])
        seen += await second.bodies(GET, ["GET"])
        seen.append(await third.text())
        seen += await first.bodies(GET, ["GET"])
        for client in (first, second, third):
            await client.leave()
        await worker.empty()
        assert worker.log.errors == [], shape
        return seen

    async def test() -> None:
        assert {shape: set(await visit(shape)) for shape in SHAPES} == {shape: {b"unset"} for shape in SHAPES}
        assert secret.get() == "unset"

    on_loop(kind, test)


@pytest.mark.parametrize("kind", LOOPS)
def test_hooks_run_in_the_context_of_their_request(kind: str, eager: bool) -> None:
    """What ``pre_request`` sets the application sees, and what that sets the observer: of one request, no other."""

    async def test() -> None:
        for shape in SHAPES:
            told: list[tuple[str, str]] = []

            def before(exchange: Any, told: list[tuple[str, str]] = told) -> None:
                told.append(("before", secret.get()))
                secret.set("of the hook")

            def after(exchange: Any, told: list[tuple[str, str]] = told) -> None:
                told.append(("after", secret.get()))
                secret.set("of the observer")

            worker = Worker(SHAPES[shape], eager=eager, pre_request=before, observer=after)
            client, other = await worker.connect(), await worker.connect()
            assert await client.bodies(GET + POST, ["GET", "POST"]) == [b"of the hook"] * 2, shape
            assert await client.bodies(GET, ["GET"]) == [b"of the hook"], shape
            assert await other.text() == b"of the hook", shape
            await client.leave()
            await other.leave()
            await worker.empty()
            assert [value for what, value in told if what == "before"] == ["unset"] * 4, shape
            paths = ["of /get", "of /post", "of /get", CHAT_AS_SEEN]
            assert [value for what, value in told if what == "after"] == paths, shape

    on_loop(kind, test)


@pytest.mark.parametrize("kind", LOOPS)
def test_the_servers_own_lines_are_written_in_the_context_of_their_request(kind: str, eager: bool) -> None:
    """So that a logging filter finds the request's id: whatever went wrong, and whenever."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        mark(scope)
        if "late" in scope["path"]:
            await asyncio.sleep(0)
        if "raise" in scope["path"]:
            raise ValueError("oops")
        if "cancel" in scope["path"]:
            raise asyncio.CancelledError
        if scope["type"] == "websocket":
            await receive()
        if "part" in scope["path"]:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    class Log(RecordingLog):
        def _add(self, level: str, text: str, args: tuple[Any, ...], exc_info: Any) -> None:
            super()._add(level, text, args, exc_info)
            lines.append((text % args, secret.get()))

    lines: list[tuple[str, str]] = []

    async def test() -> None:
        for app in (fails, lambda *arguments: fails(*arguments)):
            del lines[:]
            worker = Worker(app, eager=eager, log=Log())
            paths = [f"/{late}{how}" for late in ("", "late") for how in ("raise", "cancel", "return", "part")]
            requests = [GET.replace(b"/get", path.encode()) for path in paths]
            requests += [UPGRADE.replace(b"/chat", path.encode()) for path in paths if "part" not in path]
            for request in requests:
                client = await worker.connect()
                client.writer.write(request)
                assert await client.read()
                await client.leave()
            await worker.empty()
            assert len(lines) == len(requests), lines
            assert [(line, found) for line, found in lines if repr(found.removeprefix("of ")) not in line] == []

    on_loop(kind, test)
