"""``net/http1``: keep-alive, pipelining and half-close."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from pronghorn.net.http1 import MOST_REQUESTS
from tests.asgi.apps import Event, Receive, Send, body, hello, read_all, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Gate, Wire, echo, post
from tests.net.transport import HIGH_WATER, MOST_READ

Scope = dict[str, Any]

#: What the protocol holds of pipelined requests before it stops reading, apart from the reads that brought it there.
MOST_PIPELINED = 65536


# -- keep-alive -----------------------------------------------------------------------------------------------------


@in_loop
async def test_requests_one_after_the_other(eager: bool) -> None:
    wire = Wire(echo, eager=eager)
    for number in range(1, 4):
        wire.send(post(b"content %d" % number))
        answers = await wire.answered(number)
        assert answers[-1].body == b"/ content %d" % number
    assert not wire.closed
    assert wire.context.requests == 3
    assert wire.log.entries == []


PERSISTENCE = [
    (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", True),
    (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", True),
    (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", False),
    (b"GET / HTTP/1.1\r\nhost: x\r\nConnection: foo, CLOSE\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\nconnection: close\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    (b"GET / HTTP/1.0\r\nconnection: keep-alive, close\r\n\r\n", False),
]


@pytest.mark.parametrize(("request_bytes", "stays"), PERSISTENCE)
@in_loop
async def test_persistence_is_the_requests_choice(request_bytes: bytes, stays: bool, eager: bool) -> None:
    """RFC 9112 section 9.3; and what happens is what was announced."""
    wire = Wire(hello, eager=eager)
    wire.send(request_bytes)
    (answer,) = await wire.answered()
    await settle()
    assert wire.closed is not stays
    if not stays:
        assert answer.header(b"connection") == b"close"
    elif b"HTTP/1.0" in request_bytes:
        assert answer.header(b"connection") == b"keep-alive"
    else:
        assert answer.header(b"connection") is None


@in_loop
async def test_keepalive_0_closes_each_connection(eager: bool) -> None:
    wire = Wire(hello, eager=eager, keepalive=0.0)
    wire.send(GET % b"/" * 3)
    (answer,) = await wire.answered()
    assert answer.header(b"connection") == b"close"
    await settle()
    assert wire.context.requests == 1


@in_loop
async def test_the_application_may_close(eager: bool) -> None:
    wire = Wire(sends(start(200, (b"Connection", b"close")), body(b"x")), eager=eager)
    wire.send(GET % b"/" * 2)
    (answer,) = await wire.answered()
    assert [value for name, value in answer.headers if name == b"connection"] == [b"close"]
    await settle()
    assert wire.context.requests == 1


@in_loop
async def test_a_response_without_length_to_http_1_0_ends_with_the_connection(eager: bool) -> None:
    wire = Wire(sends(start(), body(b"a", True), body(b"b")), eager=eager)
    wire.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    (answer,) = await wire.answered()
    assert answer.body == b"ab"
    assert answer.header(b"connection") == b"close"
    assert answer.header(b"transfer-encoding") is None
    await wire.ended()


@in_loop
async def test_small_responses_are_one_write(eager: bool) -> None:
    wire = Wire(hello, eager=eager)
    for _ in range(3):
        wire.send(GET % b"/")
        await settle()
    assert len(wire.transport.writes) == 3


# -- pipelining -----------------------------------------------------------------------------------------------------


@in_loop
async def test_pipelined_requests_of_one_turn_are_answered_in_one_write() -> None:
    """Where applications answer at once; else each response leaves when it is there."""
    wire = Wire(hello, eager=True)
    wire.send(GET % b"/" * MOST_REQUESTS)
    await wire.answered(MOST_REQUESTS)
    if wire.context.eager:
        assert len(wire.transport.writes) == 1


@in_loop
async def test_responses_come_in_the_order_of_the_requests(eager: bool) -> None:
    """Whatever each takes: the next request waits for the response before it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(len(scope["path"]) % 5):
            await asyncio.sleep(0)
        await reply(send, scope["raw_path"])

    paths = [b"/" + b"x" * number for number in range(20, 0, -1)]
    wire = Wire(app, eager=eager)
    wire.send(b"".join(GET % path for path in paths))
    assert [answer.body for answer in await wire.answered(20)] == paths


@in_loop
async def test_many_thousand_pipelined_requests() -> None:
    """No recursion, responses in order, and few writes where the applications answer at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["raw_path"][1:])

    count = 20_000
    wire = Wire(app, eager=True)
    wire.send(b"".join(GET % (b"/%06d" % number) for number in range(count)))
    end = b"%06d" % (count - 1)
    await until(lambda: wire.transport.received.endswith(end) or wire.closed, turns=20 * count)
    bodies = re.findall(rb"\r\n\r\n(\d{6})", wire.transport.received)
    assert bodies == [b"%06d" % number for number in range(count)]
    assert wire.context.requests == count
    assert not wire.closed
    if wire.context.eager:
        assert len(wire.transport.writes) < count / 10
        assert max(map(len, wire.transport.writes)) < 4 * HIGH_WATER


@in_loop
async def test_pipelined_requests_wait_outside_while_one_is_answered(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager)
    requests = GET % b"/x" * 100_000
    wire.send(requests)
    await settle()
    assert len(app.paths) == 1
    assert not wire.transport.reading
    assert wire.transport.delivered <= MOST_PIPELINED + 2 * MOST_READ
    app.open.set()
    await until(lambda: len(app.paths) > 1000)
    wire.lose()
    await until(lambda: not wire.context.tasks)


@in_loop
async def test_pipelined_requests_wait_outside_while_the_peer_reads_nothing(eager: bool) -> None:
    """Responses held are bounded, and nothing is lost when the peer reads at last."""
    count = 20_000
    wire = Wire(sends(start(), body(b"x" * 100)), eager=eager)
    wire.stop_reading()
    wire.send(GET % b"/x" * count)
    await until(lambda: wire.transport.get_write_buffer_size() > HIGH_WATER)
    await settle()
    assert not wire.transport.reading
    held = wire.transport.get_write_buffer_size()
    assert HIGH_WATER < held < 4 * HIGH_WATER
    assert wire.transport.delivered <= MOST_PIPELINED + 2 * MOST_READ
    assert wire.context.requests < count
    wire.read_all()
    await until(lambda: wire.context.requests == count and not wire.context.tasks, turns=20 * count)
    assert wire.transport.received.count(b"x" * 100) == count


@in_loop
async def test_bytes_of_the_next_request_may_come_while_one_is_answered(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager)
    wire.send(GET % b"/1" + b"GET /2 HT")
    await settle()
    wire.send(b"TP/1.1\r\nhost: x\r\n\r\n")
    await settle()
    assert app.paths == ["/1"]
    app.open.set()
    assert [answer.body for answer in await wire.answered(2)] == [b"/1", b"/2"]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@in_loop
async def test_however_the_bytes_are_cut(size: int, eager: bool) -> None:
    wire = Wire(echo, eager=eager)
    data = (post(b"abc", path=b"/1") + GET % b"/2" + post(b"defgh", path=b"/3")) * 2
    for at in range(0, len(data), size):
        wire.send(data[at : at + size])
        await asyncio.sleep(0)
    bodies = [answer.body for answer in await wire.answered(6)]
    assert bodies == [b"/1 abc", b"/2 ", b"/3 defgh"] * 2


# -- half-close -----------------------------------------------------------------------------------------------------


@in_loop
async def test_end_of_input_after_the_request(eager: bool) -> None:
    """The client has said all it has to say; the response is still its."""
    app = Gate()
    wire = Wire(app, eager=eager)
    wire.send(GET % b"/x")
    wire.send_eof()
    await settle()
    assert not wire.closed
    app.open.set()
    (answer,) = await wire.answered()
    assert answer.body == b"/x"
    await until(lambda: wire.transport.lost)
    assert wire.log.entries == []


@in_loop
async def test_end_of_input_after_pipelined_requests(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager)
    wire.send(b"".join(GET % path for path in (b"/1", b"/2", b"/3")))
    wire.send_eof()
    await settle()
    app.open.set()
    assert [answer.body for answer in await wire.answered(3)] == [b"/1", b"/2", b"/3"]
    await until(lambda: wire.transport.lost)


@in_loop
async def test_end_of_input_that_comes_with_the_last_response(eager: bool) -> None:
    wire = Wire(hello, eager=eager)
    wire.send(GET % b"/")
    await wire.answered()
    wire.send_eof()
    await until(lambda: wire.transport.lost)
    assert wire.log.entries == []


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nhost:", b"\r\n"])
@in_loop
async def test_end_of_input_without_a_whole_request(sent: bytes, eager: bool) -> None:
    wire = Wire(hello, eager=eager)
    if sent:
        wire.send(sent)
    wire.send_eof()
    await until(lambda: wire.transport.lost)
    assert wire.received == b""
    assert wire.log.of("warning", "error") == []


@pytest.mark.parametrize("head", [post(b"", declared=10), post(b"abc", declared=10)])
@in_loop
async def test_end_of_input_amid_content(head: bytes, eager: bool) -> None:
    """The application hears of it, and may answer all the same."""
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())
        await reply(send, b"incomplete", 400)

    wire = Wire(app, eager=eager)
    wire.send(head)
    await settle()
    wire.send_eof()
    (answer,) = await wire.answered()
    assert (answer.status, answer.body) == (400, b"incomplete")
    assert all(event["more_body"] for event in events[:-1])
    await until(lambda: wire.transport.lost)


@in_loop
async def test_the_application_hears_of_the_end_of_input_while_it_works(eager: bool) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(await receive())
        events.append(await receive())
        await reply(send)

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/")
    await settle()
    assert len(events) == 1
    wire.send_eof()
    await wire.answered()
    assert events[1] == {"type": "http.disconnect"}


@in_loop
async def test_end_of_input_while_the_application_is_behind(eager: bool) -> None:
    """Content that is here is delivered, though reading had stopped when the end came."""
    gate = asyncio.Event()
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        bodies.append(await read_all(receive))
        await reply(send)

    wire = Wire(app, eager=eager, high_water=10)
    wire.send(post(b"x" * 100_000))
    wire.send_eof()
    await settle()
    gate.set()
    await wire.answered()
    assert bodies == [b"x" * 100_000]
    await until(lambda: wire.transport.lost)
