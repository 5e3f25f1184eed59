"""``net/http1``: what peers do wrong is answered and logged; what applications do wrong harms no other request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pronghorn.wire.http1_rules import Rules
from tests.asgi.apps import Event, Receive, Send, body, hello, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Gate, Wire, echo, post
from tests.net.transport import CLIENT

Scope = dict[str, Any]

# -- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "garbage": (b"\x00\x01\x02\x03\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two framings": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    "line too long": (b"GET /" + b"x" * 5000, 414),
    "field too long": (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 9000, 431),
    "too many fields": (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 101 + b"\r\n", 431),
    "version": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    "coding": (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n", 501),
    "expectation": (b"POST / HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\ncontent-length: 1\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
@in_loop
async def test_what_is_refused_gets_an_answer_and_a_line_in_the_log(name: str, before: int, eager: bool) -> None:
    data, status = REFUSALS[name]
    wire = Wire(hello, eager=eager)
    wire.send(GET % b"/" * before + data)
    answer = (await wire.answered(1 + before))[-1]
    assert answer.status == status
    assert answer.header(b"connection") == b"close"
    assert answer.header(b"content-type") is not None
    assert answer.body.endswith(b"\n")
    (line,) = wire.log.of("warning", "error")
    assert line.startswith(f"Invalid request from ip={CLIENT[0]}: ")
    assert line.isprintable()
    assert len(line) < 200
    assert wire.transport.eof_written
    wire.send(GET % b"/late" * 10)
    await settle()
    assert len(wire.responses()) == 1 + before
    wire.send_eof()
    await until(lambda: wire.transport.lost)


@in_loop
async def test_head_is_refused_without_content(eager: bool) -> None:
    wire = Wire(hello, eager=eager, max_body_size=1)
    wire.send(b"HEAD / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
    (answer,) = await wire.answered(1, "HEAD")
    assert (answer.status, answer.body) == (413, b"")


@in_loop
async def test_content_over_the_limit_is_refused_before_it_is_read(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, max_body_size=1000)
    wire.send(post(b"", declared=1001))
    (answer,) = await wire.answered()
    assert answer.status == 413
    assert app.paths == []
    assert "1001" in wire.log.of("warning")[0]


@in_loop
async def test_content_at_the_limit_is_not_refused(eager: bool) -> None:
    wire = Wire(echo, eager=eager, max_body_size=1000)
    wire.send(post(b"x" * 1000))
    (answer,) = await wire.answered()
    assert answer.status == 200


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@in_loop
async def test_chunked_content_over_the_limit_is_refused_on_the_way(eager: bool) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())

    wire = Wire(app, eager=eager, max_body_size=1000)
    wire.send(CHUNKED)
    for _ in range(10):
        wire.send(b"65\r\n" + b"x" * 0x65 + b"\r\n")
        await settle(3)
    (answer,) = await wire.answered()
    assert answer.status == 413
    assert sum(len(event.get("body", b"")) for event in events) <= 1000
    await until(lambda: not wire.context.tasks)
    assert len(wire.log.of("warning", "error")) == 1


@in_loop
async def test_the_limit_is_for_one_request(eager: bool) -> None:
    wire = Wire(echo, eager=eager, max_body_size=1000)
    chunked = CHUNKED + b"258\r\n" + b"x" * 600 + b"\r\n0\r\n\r\n"
    for count in range(1, 7):
        wire.send(chunked if count % 2 else post(b"x" * 600))
        assert (await wire.answered(count))[-1].status == 200


@pytest.mark.parametrize("bad", [b"z\r\n", b"3\r\nabcd", b"3\nabc\r\n", b"-1\r\n", b"1" * 20])
@in_loop
async def test_content_that_breaks_the_protocol(bad: bytes, eager: bool) -> None:
    """The application hears that it will get no more; the client why."""
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())
        await reply(send, b"too late")

    wire = Wire(app, eager=eager)
    wire.send(CHUNKED + b"5\r\nhello\r\n")
    await settle()
    wire.send(bad)
    (answer,) = await wire.answered()
    assert answer.status == 400
    await until(lambda: not wire.context.tasks)
    assert events[0]["body"] == b"hello"
    assert wire.transport.eof_written
    assert len(wire.log.of("warning", "error")) == 1


@in_loop
async def test_content_that_breaks_the_protocol_amid_the_response(eager: bool) -> None:
    """Nothing can be said any more: the response is cut off, and the log has the reason."""
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"some", True))
        await gate.wait()

    wire = Wire(app, eager=eager)
    wire.send(CHUNKED)
    await until(lambda: wire.received.endswith(b"some\r\n"))
    wire.send(b"z\r\n")
    (answer,) = await wire.answered()
    assert answer.cut
    assert len(wire.log.of("warning", "error")) == 1
    gate.set()
    await until(lambda: not wire.context.tasks)


@in_loop
async def test_content_that_breaks_the_protocol_after_the_response(eager: bool) -> None:
    wire = Wire(hello, eager=eager)
    wire.send(post(b"", declared=10))
    (answer,) = await wire.answered()
    assert answer.header(b"connection") is None
    wire.send(b"x" * 10 + b"nonsense\r\n\r\n")
    first, second = await wire.answered(2)
    assert (first.status, second.status) == (200, 400)


@in_loop
async def test_limits_of_the_rules(eager: bool) -> None:
    wire = Wire(hello, eager=eager, rules=Rules(limit_request_line=20))
    wire.send(GET % b"/0123456789abcdef")
    (answer,) = await wire.answered()
    assert answer.status == 414


# -- the application's faults ---------------------------------------------------------------------------------------


@in_loop
async def test_too_much_content_is_cut_to_its_length(eager: bool) -> None:
    """No byte of it reaches the next response; the application hears of it."""
    wire = Wire(sends(start(200, (b"content-length", b"3")), body(b"abcdef")), eager=eager)
    wire.send(GET % b"/" * 2)
    answers = await wire.answered(2)
    assert [answer.body for answer in answers] == [b"abc", b"abc"]
    await until(lambda: not wire.context.tasks)
    assert len(wire.log.errors) == 2
    assert "3 bytes longer" in str(wire.log.raised[0])


@pytest.mark.parametrize("events", [[body(b"ab")], [body(b"a", True), body(b"b")]], ids=["one part", "two parts"])
@in_loop
async def test_too_little_content_ends_the_connection(events: list[Event], eager: bool) -> None:
    """The peer must not take what follows for the rest."""
    wire = Wire(sends(start(200, (b"content-length", b"3")), *events), eager=eager)
    wire.send(GET % b"/" * 2)
    (answer,) = await wire.answered()
    assert answer.cut
    await settle()
    assert wire.context.requests == 1
    assert len(wire.log.errors) == 1


@in_loop
async def test_an_application_that_fails_amid_its_response(eager: bool) -> None:
    wire = Wire(sends(start(), body(b"some", True), {}), eager=eager)
    wire.send(GET % b"/" * 2)
    (answer,) = await wire.answered()
    assert answer.cut
    assert answer.body == b"some"
    await settle()
    assert wire.context.requests == 1


@in_loop
async def test_an_application_that_fails_before_its_response_costs_no_connection(eager: bool) -> None:
    wire = Wire(sends({}), eager=eager)
    wire.send(GET % b"/" * 3)
    assert [answer.status for answer in await wire.answered(3)] == [500] * 3
    assert not wire.closed


@in_loop
async def test_an_application_that_goes_on_after_its_response(eager: bool) -> None:
    """The next request does not wait for it, and what it still sends reaches nobody."""
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["raw_path"])
        await gate.wait()
        await send(body(b"stray"))
        assert (await receive())["type"] == "http.disconnect"

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/1" + GET % b"/2")
    assert [answer.body for answer in await wire.answered(2)] == [b"/1", b"/2"]
    assert len(wire.context.tasks) == 2
    gate.set()
    await until(lambda: not wire.context.tasks)
    assert b"stray" not in wire.received
    assert wire.log.entries == []
