"""``net/http1``: idle means reading. Whatever made reading pause, it goes on once nothing has to wait any more."""

from __future__ import annotations

import asyncio

import pytest

from tests.asgi.apps import Receive, Scope, Send, body, read_all, reply, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Gate, Wire, post
from tests.support.frames import CLOSE, HANDSHAKE, TEXT, sent

LARGE = b"x" * 300_000
UPGRADE = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"%b: %b\r\n" % field for field in HANDSHAKE) + b"\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """A large response, a small one, or a WebSocket that echoes."""
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["path"] == "/large":
        await reply(send, LARGE)
    elif scope["path"] == "/wait":
        event = await receive()
        while event["type"] != "http.disconnect":
            event = await receive()
    else:
        await reply(send, scope["raw_path"] + await read_all(receive))


def filled(eager: bool, behind: bytes) -> Wire:
    """A connection whose first response fills the buffer, with ``behind`` pipelined behind its request."""
    wire = Wire(app, eager=eager)
    wire.stop_reading()
    wire.send(GET % b"/large" + behind)
    return wire


@in_loop
async def test_a_websocket_behind_a_response_that_filled_the_buffer(eager: bool) -> None:
    wire = filled(eager, UPGRADE)
    await settle()
    assert not wire.connection.writable
    wire.read_all()
    await until(lambda: b"101 Switching Protocols" in wire.received, "the answer to the handshake")
    wire.send(sent(TEXT, b"hello"))
    await until(lambda: wire.received.endswith(b"\x81\x05hello"), "the echo")
    wire.send(sent(CLOSE, b"\x03\xe8"))
    await wire.ended()


@in_loop
async def test_a_client_that_leaves_is_noticed_behind_such_a_response(eager: bool) -> None:
    wire = filled(eager, GET % b"/wait")
    await settle()
    wire.read_all()
    await settle()
    assert wire.transport.is_reading()
    wire.send_eof()
    await until(lambda: not wire.context.tasks, "the application is told")
    await wire.ended()


@in_loop
async def test_a_client_that_leaves_is_noticed_while_the_buffer_is_full(eager: bool) -> None:
    wire = filled(eager, b"")
    await settle()
    assert wire.transport.is_reading()


@pytest.mark.parametrize("path", [b"/", b"/large"])
@in_loop
async def test_all_that_was_sent_before_the_end_is_answered(path: bytes, eager: bool) -> None:
    """The first response fills the buffer, and the peer ends its side before it reads."""
    wire = filled(eager, GET % path + post(b"content", path=path))
    wire.send_eof()
    await settle()
    wire.read_all()
    answers = await wire.answered(3, "GET", "GET", "POST")
    assert [len(one.body) for one in answers] == [len(LARGE), *([len(LARGE)] * 2 if path == b"/large" else [1, 8])]
    await wire.ended()


@in_loop
async def test_the_end_comes_before_the_turn_of_what_was_sent_before(eager: bool) -> None:
    wire = Wire(app, eager=eager)
    wire.stop_reading()
    wire.transport.arrive(GET % b"/large")
    wire.transport.arrive(GET % b"/")
    wire.send_eof()
    await settle()
    wire.read_all()
    assert [one.status for one in await wire.answered(2)] == [200, 200]
    await wire.ended()


@in_loop
async def test_reading_goes_on_when_few_enough_requests_wait(eager: bool) -> None:
    """Or the end of a peer that has much pipelined would not be noticed while one of its requests is answered."""
    gate = Gate()
    wire = Wire(gate, eager=eager)
    request = GET % (b"/" + b"x" * 4000)
    wire.send(request * 18)
    await until(lambda: gate.paths, "the first request")
    assert not wire.transport.is_reading()
    gate.open.set()
    await until(lambda: len(gate.paths) >= 2, "the second request")
    await wire.answered(18)
    assert wire.transport.is_reading()


@in_loop
async def test_content_that_waited_for_the_application(eager: bool) -> None:
    go = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await reply(send, b"%d" % len(await read_all(receive)))

    wire = Wire(slow, eager=eager)
    wire.send(post(b"y" * 500_000))
    await settle()
    assert not wire.transport.is_reading()
    go.set()
    (answer,) = await wire.answered(1, "POST")
    assert answer.body == b"500000"
    assert wire.transport.is_reading()


@in_loop
async def test_content_that_waited_is_read_on_where_the_response_ends_first(eager: bool) -> None:
    go = asyncio.Event()

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await send(start())
        await send(body(b"early"))

    wire = Wire(early, eager=eager, high_water=1000)
    wire.send(post(b"y" * 20_000)[:-10_000])
    await settle()
    assert not wire.transport.is_reading()
    go.set()
    await wire.answered(1, "POST")
    wire.send(b"y" * 10_000 + GET % b"/")
    await wire.answered(2, "POST", "GET")
    assert wire.transport.is_reading()
