"""Applications that a script may ask for by path: well-behaved ones and others, over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.asgi.apps import Receive, Scope, Send, body, reply, start

#: Over the transport's high-water mark, and over what a connection joins into one write.
LARGE = 200_000
PART = 70_000
PARTS = 12
GREETING = b"hello, again!"


class Oops(Exception):
    """What an application raises that has a mistake."""


class Left(Exception):
    """What frameworks raise when the client leaves while they read."""


@dataclass
class Gates:
    """Where applications wait for the script to let them go on."""

    waiting: deque[asyncio.Event] = field(default_factory=deque)
    is_open: bool = False

    async def wait(self) -> None:
        if not self.is_open:
            event = asyncio.Event()
            self.waiting.append(event)
            await event.wait()

    def let_one_go(self) -> None:
        if self.waiting:
            self.waiting.popleft().set()

    def open(self) -> None:
        self.is_open = True
        while self.waiting:
            self.let_one_go()


async def content(receive: Receive) -> bytes:
    """The request's content; raises Left where it is not all there."""
    parts = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Left
        parts.append(event["body"])
        if not event["more_body"]:
            return b"".join(parts)


class Application:
    """Serves ``/<behaviour>/<number>``; ``calls``: the paths it was called for, in order, ``clients``: by whom."""

    def __init__(self) -> None:
        self.gates = Gates()
        self.calls: list[str] = []
        self.clients: set[tuple[str, int] | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(scope["path"])
        self.clients.add(scope["client"])
        behave: Behave = getattr(self, scope["path"].split("/")[1])
        await behave(scope["raw_path"], receive, send)

    # -- HTTP -------------------------------------------------------------------------------------------------------

    async def echo(self, path: bytes, receive: Receive, send: Send) -> None:
        await reply(send, path + await content(receive))

    async def slowly(self, path: bytes, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.echo(path, receive, send)

    async def gated(self, path: bytes, receive: Receive, send: Send) -> None:
        await self.gates.wait()
        await self.echo(path, receive, send)

    async def quick(self, path: bytes, receive: Receive, send: Send) -> None:
        """Answers without a look at the content."""
        await reply(send, path)

    async def parts(self, path: bytes, receive: Receive, send: Send) -> None:
        """Echoes while it reads, and takes the disconnect for an end."""
        await send(start())
        await send(body(path, True))
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            await send(body(event["body"], event["more_body"]))
            if not event["more_body"]:
                return

    async def leaves(self, path: bytes, receive: Receive, send: Send) -> None:
        """Returns without a word when its client has left."""
        try:
            whole = await content(receive)
        except Left:
            return
        await reply(send, path + whole)

    async def large(self, path: bytes, receive: Receive, send: Send) -> None:
        await reply(send, path + b"x" * LARGE)

    async def stream(self, path: bytes, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(path, True))
        for _ in range(PARTS):
            await send(body(b"x" * PART, True))
        await send(body())

    async def hints(self, path: bytes, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await asyncio.sleep(0)
        await reply(send, path)

    async def listens(self, path: bytes, receive: Receive, send: Send) -> None:
        """As frameworks do that watch for the disconnect while they answer."""
        whole = await content(receive)
        listener = asyncio.ensure_future(receive())
        try:
            await self.gates.wait()
            await reply(send, path + whole)
        except asyncio.CancelledError:
            listener.cancel()
            raise
        finally:
            await asyncio.wait([listener])

    async def endless(self, path: bytes, receive: Receive, send: Send) -> None:
        """Sends until its client has left."""
        await content(receive)
        listener = asyncio.ensure_future(receive())
        await send(start())
        while not listener.done():
            await send(body(b"x" * 1000, True))
            await asyncio.sleep(0)

    async def fails(self, path: bytes, receive: Receive, send: Send) -> None:
        raise Oops

    async def breaks(self, path: bytes, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(path, True))
        await self.gates.wait()
        raise Oops

    async def silent(self, path: bytes, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)

    async def stops(self, path: bytes, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(path, True))

    async def goes_on(self, path: bytes, receive: Receive, send: Send) -> None:
        """Does not hear that its response has ended."""
        await reply(send, path)
        for _ in range(4):
            await receive()
            await send(body(b"stray"))

    # -- WebSocket --------------------------------------------------------------------------------------------------

    async def ws_echo(self, path: bytes, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    async def ws_late(self, path: bytes, receive: Receive, send: Send) -> None:
        await self.gates.wait()
        await self.ws_echo(path, receive, send)

    async def ws_greets(self, path: bytes, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": GREETING})
        await send({"type": "websocket.close"})

    async def ws_pushes(self, path: bytes, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(PARTS):
            await send({"type": "websocket.send", "bytes": b"x" * PART})

    async def ws_deaf(self, path: bytes, receive: Receive, send: Send) -> None:
        """Receives nothing until the script lets it go on."""
        await receive()
        await send({"type": "websocket.accept"})
        await self.gates.wait()
        while (await receive())["type"] == "websocket.receive":
            pass

    async def ws_refuses(self, path: bytes, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async def ws_fails(self, path: bytes, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise Oops

    async def ws_silent(self, path: bytes, receive: Receive, send: Send) -> None:
        await receive()


Behave = Callable[[bytes, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Promise:
    """What a client may expect of a behaviour where nothing comes between: ``status``, and what the content holds.

    ``reads``: whether the request's content is taken, ``echoes``: and sent back. ``more``: bytes behind the path.
    ``whole``: whether the response has an end. ``opens``: whether it is a WebSocket that echoes.
    """

    status: int = 200
    reads: bool = True
    echoes: bool = True
    more: bytes = b""
    whole: bool = True
    opens: bool = False


PROMISES: dict[str, Promise] = {
    "echo": Promise(),
    "slowly": Promise(),
    "gated": Promise(),
    "parts": Promise(),
    "leaves": Promise(),
    "listens": Promise(),
    "quick": Promise(reads=False, echoes=False),
    "large": Promise(reads=False, echoes=False, more=b"x" * LARGE),
    "stream": Promise(reads=False, echoes=False, more=b"x" * (PART * PARTS)),
    "hints": Promise(reads=False, echoes=False),
    "goes_on": Promise(reads=False, echoes=False),
    "endless": Promise(echoes=False, whole=False),
    "fails": Promise(500, reads=False, echoes=False),
    "silent": Promise(500, reads=False, echoes=False),
    "breaks": Promise(reads=False, echoes=False, whole=False),
    "stops": Promise(reads=False, echoes=False, whole=False),
}
#: Of what is no request.
REFUSED = Promise(400, reads=False, echoes=False)
WEBSOCKETS: dict[str, Promise] = {
    "ws_echo": Promise(101, opens=True),
    "ws_late": Promise(101, opens=True),
    "ws_greets": Promise(101),
    "ws_pushes": Promise(101),
    "ws_deaf": Promise(101),
    "ws_refuses": Promise(403),
    "ws_fails": Promise(101),
    "ws_silent": Promise(500),
}
