"""``net/http1_cycle``: what is counted of one request is its own; of one that has ended, nothing more is written."""

from __future__ import annotations

from typing import Any

from tests.asgi.apps import Receive, Scope, Send, reply
from tests.asgi.doubles import in_loop, until
from tests.net.support import GET, Wire
from tests.support.frames import CLOSE, HANDSHAKE, TEXT, sent

UPGRADE = b"GET /ws HTTP/1.1\r\nhost: x\r\n" + b"".join(b"%b: %b\r\n" % field for field in HANDSHAKE) + b"\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()
    else:
        await reply(send, b"x" * int(scope["path"][1:]))


@in_loop
async def test_what_is_sent_is_counted_for_each_request(eager: bool) -> None:
    """Upgraded bytes count from the first frame: neither the responses before nor the 101 are content."""
    ended: list[Any] = []
    wire = Wire(app, eager=eager, observer=lambda one: ended.append((one.status, one.stream.sent)))
    wire.send(GET % b"/7" + GET % b"/0" + GET % b"/100000")
    await wire.answered(3)
    wire.send(UPGRADE)
    await until(lambda: b"101 Switching" in wire.received, "the handshake")
    wire.send(sent(TEXT, b"hello") + sent(CLOSE, b"\x03\xe8"))
    await wire.ended()
    await until(lambda: len(ended) == 4, "all are observed")
    echo, close = 2 + len(b"hello"), 2 + 2
    assert ended == [(200, 7), (200, 0), (200, 100_000), (101, echo + close)]


@in_loop
async def test_the_stream_of_a_request_that_ended_writes_nothing(eager: bool) -> None:
    exchanges: list[Any] = []
    counts: list[int] = []

    def observe(exchange: Any) -> None:
        exchanges.append(exchange)
        counts.append(exchange.stream.sent)

    wire = Wire(app, eager=eager, observer=observe)
    wire.send(GET % b"/3")
    await wire.answered(1)
    wire.send(UPGRADE)
    await until(lambda: b"101 Switching" in wire.received, "the next request is under way")
    before = wire.received
    old = exchanges[0].stream
    old.send_data(b"too late", True)
    old.consumed(1000)
    old.abort()
    assert wire.received == before
    assert not wire.closed
    assert counts[0] == 3
    wire.send(sent(TEXT, b"hello") + sent(CLOSE, b"\x03\xe8"))
    await wire.ended()
