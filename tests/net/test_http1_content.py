"""``net/http1``: content that is not read, content that comes too fast, responses that are read too slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.asgi.apps import Receive, Send, body, hello, read_all, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Wire, echo, post
from tests.net.transport import HIGH_WATER, MOST_READ

Scope = dict[str, Any]

# -- content that came with the head --------------------------------------------------------------------------------

CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize("request_bytes", [post(b"abc"), CHUNKED + b"0\r\n\r\n"], ids=["length", "chunked"])
@in_loop
async def test_it_is_there_at_once_and_whole(eager: bool, request_bytes: bytes) -> None:
    events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(await receive())
        await reply(send)

    wire = Wire(app, eager=eager)
    wire.send(request_bytes)
    wire.take_turn()
    if eager:
        assert events, "the application had to wait for a turn of the loop"
    await wire.answered()
    assert events == [{"type": "http.request", "body": b"abc", "more_body": False}]


@in_loop
async def test_of_content_that_is_broken_the_application_hears_nothing(eager: bool) -> None:
    wire = Wire(sends(start(200), body(b"hello")), eager=eager)
    wire.send(CHUNKED + b"nonsense\r\n")
    (answer,) = await wire.answered()
    assert answer.status == 400


# -- content nobody reads -------------------------------------------------------------------------------------------


@in_loop
async def test_reading_stops_while_the_application_does_not(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send, b"%d" % len(await read_all(receive)))

    size = 5_000_000
    wire = Wire(app, eager=eager)
    wire.send(post(b"", declared=size))
    for _ in range(size // 50_000):
        wire.send(b"x" * 50_000)
        await asyncio.sleep(0)
    await settle()
    assert not wire.transport.reading
    assert wire.transport.delivered < wire.context.high_water + 2 * MOST_READ
    gate.set()
    (answer,) = await wire.answered()
    assert answer.body == b"%d" % size
    assert wire.transport.reading
    assert not wire.closed


@in_loop
async def test_reading_goes_at_the_pace_of_the_application(eager: bool) -> None:
    """Never more than the mark and one read are held, as long as it lasts."""
    most = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most
        taken = 0
        while True:
            event = await receive()
            taken += len(event["body"])
            most = max(most, wire.transport.delivered - taken)
            if not event["more_body"]:
                break
            for _ in range(3):
                await asyncio.sleep(0)
        await reply(send)

    wire = Wire(app, eager=eager)
    wire.send(post(b"x" * 3_000_000))
    await wire.answered()
    assert most <= wire.context.high_water + 2 * MOST_READ


UNREAD = [
    (post(b"", declared=1000), b"x" * 1000, True),
    (post(b"", declared=65536), b"x" * 65536, True),
    (post(b"", declared=65537), b"x" * 65537, False),
    (post(b"", declared=10_000_000), b"x" * 1000, False),
    (post(b"", b"expect: 100-continue", declared=10), b"", False),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", False),
]


@pytest.mark.parametrize(
    ("head", "rest", "stays"),
    UNREAD,
    ids=["little", "the most", "too much", "far too much", "never asked for", "unknown"],
)
@in_loop
async def test_unread_content(head: bytes, rest: bytes, stays: bool, eager: bool) -> None:
    """Little is read and dropped, and the connection goes on; else it is announced that it does not."""
    wire = Wire(hello, eager=eager)
    wire.send(head)
    (answer,) = await wire.answered()
    assert answer.body == b"hello"
    assert answer.header(b"connection") == (None if stays else b"close")
    if not stays:
        assert wire.transport.eof_written
        if rest:
            wire.send(rest)
            await settle()
        assert not wire.closed, "what the peer is still sending is read and dropped"
        wire.send_eof()
        await until(lambda: wire.transport.lost)
        return
    wire.send(rest + GET % b"/next")
    assert len(await wire.answered(2)) == 2
    assert not wire.closed


@in_loop
async def test_what_is_little_is_judged_for_each_request(eager: bool) -> None:
    """Content that was read before does not count, neither as read nor as left."""
    wire = Wire(echo, eager=eager)
    wire.send(post(b"x" * 60_000))
    await wire.answered(1)
    wire.context.app = hello
    wire.send(post(b"", declared=100_000))
    (_, answer) = await wire.answered(2)
    assert answer.header(b"connection") == b"close"


@in_loop
async def test_unread_content_after_a_streamed_response(eager: bool) -> None:
    """Its head could not announce it: nobody knew. The connection ends all the same."""
    wire = Wire(sends(start(), body(b"a", True), body(b"b")), eager=eager)
    wire.send(post(b"", declared=10_000_000))
    (answer,) = await wire.answered()
    assert answer.body == b"ab"
    assert wire.transport.eof_written
    wire.send(b"x" * 100_000)
    wire.send_eof()
    await until(lambda: wire.transport.lost)


@in_loop
async def test_dropped_content_is_not_held(eager: bool) -> None:
    """A response before the content does not make the server collect what nobody will read."""
    wire = Wire(hello, eager=eager, high_water=10)
    wire.send(post(b"", declared=60_000))
    await wire.answered()
    for _ in range(60):
        wire.send(b"x" * 1000)
        await asyncio.sleep(0)
        assert wire.transport.reading
    wire.send(GET % b"/")
    await wire.answered(2)


@in_loop
async def test_content_that_stalled_is_dropped_when_the_response_is_there(eager: bool) -> None:
    """Reading had stopped for an application that answers without reading: it goes on."""
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await gate.wait()
        await reply(send, scope["raw_path"])

    wire = Wire(app, eager=eager, high_water=10)
    wire.send(post(b"x" * 100, declared=1000))
    await settle()
    wire.send(b"x" * 100)
    await settle()
    gate.set()
    await wire.answered()
    wire.send(b"x" * 800 + GET % b"/next")
    assert [answer.body for answer in await wire.answered(2)] == [b"/", b"/next"]


# -- Expect ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_expect_100_continue(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send, await read_all(receive))

    wire = Wire(app, eager=eager)
    wire.send(post(b"", b"expect: 100-continue", declared=3))
    await settle()
    assert wire.received == b""
    gate.set()
    await until(lambda: wire.received)
    assert wire.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"abc")
    (answer,) = await wire.answered()
    assert answer.interim == [(100, [])]
    assert answer.body == b"abc"
    assert not wire.closed


# -- slow peers -----------------------------------------------------------------------------------------------------


@in_loop
async def test_send_waits_for_a_slow_peer(eager: bool) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(100):
            await send(body(b"x" * 10_000, True))
            sent += 1
        await send(body())

    wire = Wire(app, eager=eager)
    wire.stop_reading()
    wire.send(GET % b"/")
    await settle()
    assert sent == HIGH_WATER // 10_000
    assert wire.transport.get_write_buffer_size() < HIGH_WATER + 20_000
    wire.transport.take(1)
    await settle()
    assert sent == HIGH_WATER // 10_000, "still above the low mark"
    wire.transport.take(60_000)
    await until(lambda: sent > HIGH_WATER // 10_000)
    wire.read_all()
    (answer,) = await wire.answered()
    assert len(answer.body) == 1_000_000


@in_loop
async def test_the_last_part_does_not_wait_for_ever(eager: bool) -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x" * 1_000_000))
        ended.append(scope["path"])

    wire = Wire(app, eager=eager)
    wire.stop_reading()
    wire.send(GET % b"/1" + GET % b"/2")
    await settle()
    assert ended == ["/1"], "and the next waits for the peer"
    assert not wire.context.tasks
    wire.read_all()
    await wire.answered(2)
    assert ended == ["/1", "/2"]


@in_loop
async def test_a_large_response_is_not_copied_together(eager: bool) -> None:
    wire = Wire(sends(start(), body(b"x" * 3_000_000)), eager=eager)
    wire.send(GET % b"/")
    (answer,) = await wire.answered()
    assert len(answer.body) == 3_000_000
