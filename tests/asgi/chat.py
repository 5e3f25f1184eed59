"""One WebSocket between an application and a client in the test's hand, whatever carries it.

``OverTheWaist`` drives ``WebSocketExchange`` from a ``RecordingStream``; ``OverHttp1`` sends bytes over a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.asgi.stream import RecordingStream
from pronghorn.asgi.websocket import WebSocketExchange
from pronghorn.wire.errors import ProtocolError
from tests.asgi.apps import App, Event, Receive, Scope, Send
from tests.asgi.doubles import RecordingLog, make_context, settle, until
from tests.asgi.support import Headers, make_endpoint, make_request
from tests.net.support import Answer, Wire, read_responses
from tests.support.frames import HANDSHAKE, TEXT, received, sent, sent_close

ACCEPT: Event = {"type": "websocket.accept"}


def settings(**options: Any) -> WebSocketSettings:
    """Settings without pings or compression, where a test asks for none."""
    return WebSocketSettings(**{"ping_interval": 0.0, "compression": False, **options})


class Chat:
    """``options``: of ``WebSocketSettings``, by name; ``attributes``: of the context."""

    observed: list[tuple[int, int]]

    def observe(self, exchange: WebSocketExchange) -> None:
        self.observed.append((exchange.status, exchange.close_code))

    @property
    def context(self) -> Any:
        raise NotImplementedError

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    @property
    def running(self) -> bool:
        """Whether the application has not returned."""
        return bool(self.context.tasks)

    def send(self, *frames: bytes) -> None:
        """The client sends frames, in one piece."""
        raise NotImplementedError

    def send_text(self, text: str) -> None:
        self.send(sent(TEXT, text.encode()))

    def end(self) -> None:
        """The client ends its side."""
        raise NotImplementedError

    def lose(self) -> None:
        """The connection is no more."""
        raise NotImplementedError

    def answer(self) -> Answer:
        """What the handshake was answered with; status 0: not yet."""
        raise NotImplementedError

    def frames(self) -> list[tuple[Any, ...]]:
        """The frames that the client has got."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether the server has ended its side."""
        raise NotImplementedError

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """The client closes in order, and the application returns."""
        self.send(sent_close(code, reason))
        await until(lambda: self.ended, "the server ends the connection")
        await self.finish()

    async def finish(self) -> None:
        """Wait until the application has returned."""
        await until(lambda: not self.running, "the application returns")
        await settle(3)

    async def opened(self) -> None:
        await until(lambda: self.answer().status, "the handshake is answered")
        assert self.answer().status == 101


class OverTheWaist(Chat):
    def __init__(
        self,
        app: App,
        target: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        handshake: Sequence[tuple[bytes, bytes]] = HANDSHAKE,
        options: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> None:
        self.observed = []
        attributes = {"websockets": settings(**options or {}), "observer": self.observe, **attributes}
        self._context = make_context(app, **attributes)
        self.stream = RecordingStream()
        request = make_request("GET", target, [(b"host", b"x"), *handshake, *headers])
        self.exchange = WebSocketExchange(self._context, self.stream, request, make_endpoint(self._context))
        try:
            self.exchange.start()
        except ProtocolError as error:
            self.exchange.on_fault(error)

    @property
    def context(self) -> Any:
        return self._context

    def send(self, *frames: bytes) -> None:
        self.exchange.on_data(b"".join(frames))

    def end(self) -> None:
        self.exchange.on_disconnect(False)

    def lose(self) -> None:
        self.exchange.on_disconnect(True)

    def answer(self) -> Answer:
        answer = Answer()
        for name, *values in self.stream.calls:
            if name == "tunnel":
                answer.status = 101
                answer.headers = list(values[0])  # type: ignore[call-overload]
            elif name == "head":
                response: Any = values[0]
                answer.status = response.status
                answer.headers = list(response.headers)
                answer.body = self.stream.content
            elif name == "abort":
                answer.cut = True
        answer.complete = self.stream.complete
        return answer

    def frames(self) -> list[tuple[Any, ...]]:
        return received(self.stream.content)

    @property
    def ended(self) -> bool:
        return self.stream.complete or ("abort",) in self.stream.calls


class OverHttp1(Chat):
    def __init__(
        self,
        app: App,
        target: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        handshake: Sequence[tuple[bytes, bytes]] = HANDSHAKE,
        options: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> None:
        self.observed = []
        self.wire = Wire(app, websockets=settings(**options or {}), observer=self.observe, **attributes)
        lines = [b"GET %b HTTP/1.1" % target, b"host: x"]
        lines += [b"%b: %b" % field for field in (*handshake, *headers)]
        self.wire.send(b"\r\n".join(lines) + b"\r\n\r\n")

    @property
    def context(self) -> Any:
        return self.wire.context

    def send(self, *frames: bytes) -> None:
        self.wire.send(b"".join(frames))

    def end(self) -> None:
        self.wire.send_eof()

    def lose(self) -> None:
        self.wire.lose(ConnectionResetError())

    def answer(self) -> Answer:
        head, end, rest = self.wire.received.partition(b"\r\n\r\n")
        if not end:
            return Answer()
        if head.startswith(b"HTTP/1.1 101 "):
            answer = Answer()
            answer.status = 101
            lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            answer.headers = [(name, value) for name, value in lines]
            return answer
        return read_responses(head + end + rest, ended=self.wire.closed)[0]

    def frames(self) -> list[tuple[Any, ...]]:
        return received(self.wire.received.partition(b"\r\n\r\n")[2])

    @property
    def ended(self) -> bool:
        return self.wire.closed or self.wire.transport.eof_written


CARRIERS: dict[str, type[Chat]] = {"waist": OverTheWaist, "http1": OverHttp1}


def fields(answer: Answer) -> Headers:
    """The headers of an answer without the server's own, in lower case."""
    own = (b"date", b"server", b"content-length", b"transfer-encoding")
    return [(name.lower(), value) for name, value in answer.headers if name.lower() not in own]


class Recorder:
    """An application that accepts, keeps what it receives, and returns when it is over."""

    def __init__(self, accept: Event | None = None) -> None:
        self.events: list[Event] = []
        self.scopes: list[Scope] = []
        self._accept = ACCEPT if accept is None else accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.events.append(await receive())
        await send(self._accept)
        while self.events[-1]["type"] != "websocket.disconnect":
            self.events.append(await receive())

    @property
    def messages(self) -> list[Any]:
        """What the messages held."""
        return [
            event["text"] if event.get("text") is not None else event["bytes"]
            for event in self.events
            if event["type"] == "websocket.receive"
        ]

    @property
    def disconnect(self) -> Event:
        """The last event, which is to be the disconnect."""
        assert self.events[-1]["type"] == "websocket.disconnect"
        return self.events[-1]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back what it gets."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Hands:
    """An application that does nothing: the test receives and sends in its place, and says how it ends."""

    def __init__(self) -> None:
        self.receive: Any = None
        self.send: Any = None
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.receive, self.send = receive, send
        await self.outcome

    async def connected(self) -> Hands:
        """Wait until the application was called, and take its first event."""
        await until(lambda: self.receive, "the application is called")
        assert await self.receive() == {"type": "websocket.connect"}
        return self

    async def accepted(self) -> Hands:
        """As ``connected``, and accept."""
        await self.connected()
        await self.send(ACCEPT)
        return self

    async def text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    def returns(self) -> None:
        self.outcome.set_result(None)
