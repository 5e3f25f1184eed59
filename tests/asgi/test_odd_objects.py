"""Events made of objects that say one thing and do another, or that send while they are read.

What reaches the wire is what was checked, in its order, and as one answer to one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pronghorn.asgi.errors import EventError
from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.chat import OverHttp1
from tests.asgi.doubles import in_loop, settle
from tests.net.support import GET, Wire

EVIL = b"x\r\nevil: 1"


class Liar(int):
    """Says it is anything but the number that it is."""

    def __index__(self) -> int:
        return -5

    __int__ = __trunc__ = __index__

    def __str__(self) -> str:
        return EVIL.decode()

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return EVIL.decode()

    def __mod__(self, other: Any) -> Any:
        return EVIL

    def __eq__(self, other: object) -> bool:
        return True

    def __ge__(self, other: Any) -> bool:
        return True

    __gt__ = __le__ = __lt__ = __ge__
    __hash__ = int.__hash__

    def to_bytes(self, *arguments: Any, **keywords: Any) -> bytes:
        return EVIL


class Bytes(bytes):
    """Good when it is looked at, evil when it is used."""

    def __bytes__(self) -> bytes:
        return EVIL

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[int]:
        return iter(EVIL)

    def __getitem__(self, index: Any) -> Any:
        return EVIL[index]

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(EVIL)

    def __add__(self, other: Any) -> bytes:
        return EVIL

    def lower(self) -> bytes:
        return EVIL

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


class Buffer(bytearray):
    def __bytes__(self) -> bytes:
        return EVIL

    def __len__(self) -> int:
        return 1 << 40


class Str(str):
    def encode(self, *arguments: Any) -> bytes:
        return EVIL

    def __eq__(self, other: object) -> bool:
        return True

    def __str__(self) -> str:
        return EVIL.decode()

    def __len__(self) -> int:
        return 1 << 40

    __hash__ = str.__hash__


class Dict(dict[Any, Any]):
    def get(self, key: Any, default: Any = None) -> Any:
        return EVIL

    def __getitem__(self, key: Any) -> Any:
        return EVIL


class Pretends:
    """No bytes, whatever it calls its class."""

    __class__ = bytes  # type: ignore[assignment]


def headers(*fields: tuple[Any, Any]) -> list[Any]:
    return [(b"x-one", b"1"), *fields]


@in_loop
async def test_values_of_subclasses_are_taken_as_what_they_are(eager: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = headers((Bytes(b"x-two"), Bytes(b"2")), [Bytes(b"X-Three"), b"3"])
        fields.append((Bytes(b"Content-Length"), Bytes(b"3")))
        await send(Dict(start(Liar(201), *fields)))
        await send({"type": Str("http.response.body"), "body": Bytes(b"abc")})

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/")
    (answer,) = await wire.answered()
    assert b"evil" not in wire.received
    assert (answer.status, answer.body) == (201, b"abc")
    assert [answer.header(name) for name in (b"x-one", b"x-two", b"x-three")] == [b"1", b"2", b"3"]


BODIES = [
    (Buffer(b"abc"), b"abc"),
    (memoryview(b"a.b.c")[::2], b"abc"),
    (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
]


@in_loop
async def test_content_in_any_buffer_is_what_it_holds_when_it_is_sent() -> None:
    for data, content in BODIES:

        async def app(scope: Scope, receive: Receive, send: Send, data: Any = data) -> None:
            await send(start())
            await send(body(data, True))
            if isinstance(data, bytearray):
                data[:] = b"!" * 3
            await send(body())

        wire = Wire(app)
        wire.send(GET % b"/")
        (answer,) = await wire.answered()
        assert answer.body == content


@in_loop
async def test_a_status_is_what_it_is_and_not_what_it_says() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for status in (Liar(99), Liar(1000), Liar(-5), Liar(10**30), True, "200", 200.0, None):
            with pytest.raises(EventError):
                await send(start(status))  # type: ignore[arg-type]
        await send(start(204))
        await send(body())

    wire = Wire(app)
    wire.send(GET % b"/")
    (answer,) = await wire.answered()
    assert answer.status == 204


@in_loop
async def test_what_pretends_to_be_bytes_is_none() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for pair in ((Pretends(), b"1"), (b"x", Pretends()), (Str("x"), b"1")):
            with pytest.raises(EventError):
                await send(start(200, pair))
        await send(start())
        with pytest.raises(EventError):
            await send(body(Pretends()))  # type: ignore[arg-type]
        await send(body(b"ok"))

    wire = Wire(app)
    wire.send(GET % b"/")
    (answer,) = await wire.answered()
    assert answer.body == b"ok"


# -- sending while an event is read ---------------------------------------------------------------------------------


class Sends:
    """Sends ``events`` when it is asked for anything that an event's value may be asked for."""

    def __init__(self, send: Any, events: list[Any], like: Any = ()) -> None:
        self._send, self._events, self._like = send, events, like

    def _do(self) -> None:
        events, self._events = self._events, []
        for event in events:
            self._send(event)

    def __iter__(self) -> Iterator[Any]:
        self._do()
        return iter(self._like)

    def __bool__(self) -> bool:
        self._do()
        return bool(self._like)

    def __fspath__(self) -> str:
        self._do()
        return str(self._like)

    def fileno(self) -> int:
        self._do()
        return int(self._like)


def whole(*fields: Any) -> list[Any]:
    return [start(200, *fields), body(b"inner")]


TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-t", b"1")]}
#: What is sent before, and the event that sends as it is read.
SENDING: dict[str, Callable[[Any, Path], tuple[list[Any], Any]]] = {
    "headers": lambda send, _: ([], {**start(), "headers": Sends(send, whole())}),
    "headers that send their own start": lambda send, _: ([], {**start(), "headers": Sends(send, [start(201)])}),
    "trailers flag": lambda send, _: ([], {**start(), "trailers": Sends(send, whole())}),
    "more_body": lambda send, _: ([start()], {**body(b"outer"), "more_body": Sends(send, [body(b"inner")])}),
    "more_body, one of several": lambda send, _: (
        [start(), body(b"a", True)],
        {**body(b"outer"), "more_body": Sends(send, [body(b"inner")], [1])},
    ),
    "trailers": lambda send, _: (
        [start(trailers=True), body(b"x")],
        {**TRAILERS, "headers": Sends(send, [TRAILERS])},
    ),
    "more_trailers": lambda send, _: (
        [start(trailers=True), body(b"x")],
        {**TRAILERS, "more_trailers": Sends(send, [TRAILERS])},
    ),
    "links": lambda send, _: ([], {"type": "http.response.early_hint", "links": Sends(send, whole(), [b"</a>"])}),
    "path": lambda send, file: (
        [start()],
        {"type": "http.response.pathsend", "path": Sends(send, [body(b"inner")], file)},
    ),
    "file": lambda send, file: (
        [start()],
        {"type": "http.response.zerocopysend", "file": Sends(send, [body(b"inner")], file.open("rb").fileno())},
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", SENDING)
@in_loop
async def test_an_event_that_sends_while_it_is_read_is_one_answer_to_its_own_request(
    name: str, eager: bool, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"file")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/odd":
            await send(start(202))
            await send(body(b"next"))
            return
        before, event = SENDING[name](send, file)
        for one in before:
            await send(one)
        try:
            await send(event)
        except EventError:
            pass
        await asyncio.sleep(0)

    wire = Wire(app, eager=eager)
    wire.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: te\r\nte: trailers\r\n\r\n") % b"/odd" + GET % b"/next")
    await settle()
    answers = wire.responses("GET", "GET")
    if answers[0].cut or len(answers) == 1:  # it was left unfinished: the connection ended with it
        assert wire.closed or wire.transport.eof_written
        return
    assert [answer.status for answer in answers][1:] == [202]
    assert answers[1].body == b"next"
    assert answers[0].status in (200, 201, 500)


# -- WebSocket ------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_websocket_takes_values_as_what_they_are() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        accept: Any = {"type": "websocket.accept", "subprotocol": Str("chat")}
        accept["headers"] = [(Bytes(b"x-a"), Bytes(b"1"))]
        with pytest.raises(EventError):
            await send({**accept, "subprotocol": Str("no such")})
        await send(Dict(accept))
        await send({"type": Str("websocket.send"), "text": Str("text")})
        await send({"type": "websocket.send", "bytes": Bytes(b"data")})
        await send({"type": "websocket.send", "bytes": Buffer(b"data")})
        await send({"type": "websocket.close", "code": Liar(3000), "reason": Str("why")})

    talk = OverHttp1(app, headers=[(b"sec-websocket-protocol", b"chat")])
    await talk.opened()
    await talk.finish()
    assert b"evil" not in talk.wire.received
    assert (b"sec-websocket-protocol", b"chat") in talk.answer().headers
    assert talk.frames() == [("text", "text"), ("binary", b"data"), ("binary", b"data"), ("close", 3000, "why")]


@in_loop
async def test_a_websocket_event_that_sends_while_it_is_read() -> None:
    accept = {"type": "websocket.accept"}
    deny = [{"type": "websocket.http.response.start", "status": 401}, {"type": "websocket.http.response.body"}]
    for outer, inner, status in (
        (accept, [accept], 101),
        (accept, [{"type": "websocket.close"}], 403),
        (accept, deny, 401),
        ({"type": "websocket.http.response.start", "status": 402}, [accept], 101),
        ({"type": "websocket.http.response.start", "status": 402}, deny, 401),
    ):

        async def app(scope: Scope, receive: Receive, send: Send, outer: Any = outer, inner: Any = inner) -> None:
            await receive()
            with pytest.raises((EventError, OSError)):
                await send({**outer, "headers": Sends(send, inner)})

        talk = OverHttp1(app)
        await talk.finish()
        assert talk.wire.received.count(b"HTTP/1.1 ") == 1
        assert talk.answer().status == status
        talk.wire.lose()


