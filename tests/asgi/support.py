"""One request to an application, whatever carries it: what the rules of ASGI are tested on.

``OverTheWaist`` drives ``HttpExchange`` from a ``RecordingStream``: no socket, no parser. ``OverHttp1`` sends bytes
through a connection and reads what comes back with h11. A rule that holds for both is written once, and a further
protocol passes the same tests by being added to ``CARRIERS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.scope import Endpoint, endpoint_for
from pronghorn.asgi.stream import RecordingStream
from pronghorn.wire.request import Request
from tests.asgi.apps import App, Receive, Send, reply
from tests.asgi.doubles import RecordingLog, make_context, until
from tests.net.support import Answer, Wire
from tests.net.transport import CLIENT, SERVER

Headers = list[tuple[bytes, bytes]]


def make_request(
    method: str = "GET",
    target: bytes = b"/",
    headers: Sequence[tuple[bytes, bytes]] = ((b"host", b"x"),),
    *,
    body: bytes | None = None,
    expects: bool = False,
    http_version: str = "1.1",
) -> Request:
    """A request head; ``body``: what is to follow, None for nothing, and then unknown in length if it is empty."""
    request = Request()
    request.method = method
    request.target = target
    request.raw_path, _, request.query_string = target.partition(b"?")
    request.path = unquote(request.raw_path.decode("latin-1"))
    request.http_version = http_version
    request.is_1_0 = http_version == "1.0"
    request.headers = [*headers]
    request.keep_alive = True
    request.has_body = body is not None
    request.chunked = body == b""
    request.content_length = len(body) if body else -1
    request.expect_continue = expects
    request.accepts_trailers = (b"te", b"trailers") in request.headers
    return request


def make_endpoint(context: Any) -> Endpoint:
    return endpoint_for(context, CLIENT, SERVER, "http")


class Conversation:
    """A request and what has come back. ``body`` of the request may be streamed: ``data``, then ``end``."""

    #: What is left out of ``headers``: the protocol's own fields, and the server's defaults.
    OWN_FIELDS = frozenset((b"date", b"server", b"connection", b"transfer-encoding"))

    @property
    def log(self) -> RecordingLog:
        raise NotImplementedError

    @property
    def context(self) -> Any:
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        """A part of the request's content arrives."""
        raise NotImplementedError

    def end(self) -> None:
        """The request's content is over."""
        raise NotImplementedError

    def leave(self) -> None:
        """The client is gone."""
        raise NotImplementedError

    def answer(self) -> Answer:
        """What has come back so far."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether the application has not returned."""
        return bool(self.context.tasks)

    @property
    def status(self) -> int:
        return self.answer().status

    @property
    def headers(self) -> Headers:
        """The application's fields."""
        return [(name, value) for name, value in self.answer().headers if name not in self.OWN_FIELDS]

    @property
    def body(self) -> bytes:
        return self.answer().body

    async def finish(self) -> Answer:
        """Wait until the application has returned, and return what came back."""
        await until(lambda: not self.running, "the application returns")
        await asyncio.sleep(0)
        return self.answer()


class OverTheWaist(Conversation):
    """The exchange alone."""

    def __init__(
        self,
        app: App,
        method: str = "GET",
        target: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = ((b"host", b"x"),),
        *,
        body: bytes | None = None,
        streams: bool = False,
        eager: bool = False,
        **attributes: Any,
    ) -> None:
        self._context = make_context(app, eager=eager, **attributes)
        self.stream = RecordingStream()
        content = b"" if streams else body
        request = make_request(method, target, headers, body=content or (b"" if streams else None))
        if body and not streams:
            request.content_length = len(body)
        self.exchange = HttpExchange(self._context, self.stream, request, make_endpoint(self._context))
        self.exchange.start()
        if body and not streams:
            self.data(body)
            self.end()

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self._context.log
        return log

    @property
    def context(self) -> Any:
        return self._context

    def data(self, data: bytes) -> None:
        self.exchange.on_data(data)

    def end(self) -> None:
        self.exchange.on_end([])

    def leave(self) -> None:
        self.exchange.on_disconnect(True)

    def answer(self) -> Answer:
        answer = Answer()
        for name, *values in self.stream.calls:
            if name == "informational":
                answer.interim.append((values[0], values[1]))  # type: ignore[arg-type]
            elif name == "head":
                response: Any = values[0]
                answer.status = response.status
                answer.headers = list(response.headers)
                if response.content_length >= 0:
                    answer.headers.append((b"content-length", b"%d" % response.content_length))
            elif name == "trailers":
                answer.trailers = values[0]  # type: ignore[assignment]
            elif name == "abort":
                answer.cut = True
        answer.body = self.stream.content
        answer.complete = self.stream.complete
        return answer


class OverHttp1(Conversation):
    """The exchange behind a connection that speaks HTTP/1."""

    def __init__(
        self,
        app: App,
        method: str = "GET",
        target: bytes = b"/",
        headers: Sequence[tuple[bytes, bytes]] = ((b"host", b"x"),),
        *,
        body: bytes | None = None,
        streams: bool = False,
        eager: bool = False,
        **attributes: Any,
    ) -> None:
        self.wire = Wire(app, eager=eager, **attributes)
        self._method = method
        self._streams = streams
        lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
        lines += [b"%b: %b" % field for field in headers]
        if any(name == b"te" for name, _ in headers):
            lines.append(b"connection: te")
        if streams:
            lines.append(b"transfer-encoding: chunked")
        elif body:
            lines.append(b"content-length: %d" % len(body))
        self.wire.send(b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if streams else body or b""))
        self.wire.take_turn()

    @property
    def log(self) -> RecordingLog:
        return self.wire.log

    @property
    def context(self) -> Any:
        return self.wire.context

    def data(self, data: bytes) -> None:
        self.wire.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.wire.send(b"0\r\n\r\n")

    def leave(self) -> None:
        self.wire.connection.connection_lost(ConnectionResetError())

    def answer(self) -> Answer:
        answers = self.wire.responses(self._method)
        return answers[0] if answers else Answer()


#: What rules that are kept below the waist are tested over.
PROTOCOLS: dict[str, type[Conversation]] = {"http1": OverHttp1}
CARRIERS: dict[str, type[Conversation]] = {"waist": OverTheWaist, **PROTOCOLS}


async def scope_of(talk: Callable[..., Conversation], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The scope that an application gets for a request; ``talk`` is the fixture."""
    scopes = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send)

    answer = await talk(app, *args, **kwargs).finish()
    assert answer.status == 200
    (scope,) = scopes
    return scope
