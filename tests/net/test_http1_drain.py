"""``net/http1``: what a server that stops does with each connection, and what is cut when the time for that is over."""

from __future__ import annotations

import asyncio

import pytest

from tests.asgi.apps import Receive, Scope, Send, body, hello, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Gate, Wire, echo, post

TIMES = {"header_timeout": 10.0, "body_timeout": 30.0, "keepalive": 5.0, "write_timeout": 60.0}


async def _streams_and_reads(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"some", True))
    while (await receive())["type"] != "http.disconnect":
        pass


# -- drain ----------------------------------------------------------------------------------------------------------

LINGER = 0.4


def drain(wire: Wire) -> None:
    """As the server does it."""
    wire.context.draining = True
    for connection in list(wire.reaper.connections):
        connection.drain()


@pytest.mark.parametrize("served", [0, 1])
@in_loop
async def test_an_idle_connection_lingers_a_moment_and_is_closed(served: int, eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(GET % b"/" * served) if served else None
    await settle()
    drain(wire)
    assert not wire.closed
    wire.advance(LINGER)
    assert wire.closed
    await until(lambda: not wire.reaper.connections)
    assert wire.log.entries == []


@in_loop
async def test_a_request_that_was_on_its_way_is_served(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await wire.answered()
    drain(wire)
    wire.advance(0.1)
    wire.send(GET % b"/")
    last = (await wire.answered(2))[-1]
    assert last.status == 200
    assert last.header(b"connection") == b"close"
    await wire.ended()


@in_loop
async def test_a_head_under_way_may_be_finished(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(b"GET / HTTP/1.1\r\n")
    drain(wire)
    wire.advance(LINGER)
    wire.send(b"host: x\r\n\r\n")
    (answer,) = await wire.answered()
    assert (answer.status, answer.header(b"connection")) == (200, b"close")


@in_loop
async def test_a_response_under_way_is_finished_and_says_close(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    drain(wire)
    wire.advance(100.0)
    assert not wire.closed
    app.open.set()
    (answer,) = await wire.answered()
    assert answer.header(b"connection") == b"close"
    await wire.ended()


@in_loop
async def test_a_stream_whose_head_is_out_is_finished(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", True))
        await gate.wait()
        await send(body(b"b"))

    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    drain(wire)
    gate.set()
    (answer,) = await wire.answered()
    assert answer.body == b"ab"
    wire.advance(LINGER)
    await until(lambda: wire.transport.lost)


@in_loop
async def test_content_under_way_is_read_to_its_end(eager: bool) -> None:
    wire = Wire(echo, eager=eager, **TIMES)
    wire.send(post(b"abc", declared=6))
    await settle()
    drain(wire)
    wire.advance(LINGER)
    wire.send(b"def")
    (answer,) = await wire.answered()
    assert answer.body == b"/ abcdef"
    assert answer.header(b"connection") == b"close"


@in_loop
async def test_pipelined_requests_that_are_here_get_no_reset(eager: bool) -> None:
    """The first says close; a client sends the others again elsewhere, having read that."""
    app = Gate()
    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/1" + GET % b"/2")
    await settle()
    drain(wire)
    app.open.set()
    (answer,) = await wire.answered()
    assert answer.header(b"connection") == b"close"
    assert "abort" not in wire.transport.calls
    assert wire.transport.eof_written, "lingers: bytes are unread"


@in_loop
async def test_a_connection_made_while_draining_is_served_once(eager: bool) -> None:
    """It was waiting in the backlog."""
    wire = Wire(hello, eager=eager, draining=True, **TIMES)
    wire.send(GET % b"/")
    (answer,) = await wire.answered()
    assert answer.header(b"connection") == b"close"
    await wire.ended()


@in_loop
async def test_a_silent_connection_made_while_draining_is_closed_soon() -> None:
    wire = Wire(hello, draining=True, **TIMES)
    assert not wire.closed
    wire.advance(LINGER)
    assert wire.closed


@in_loop
async def test_drain_twice_is_drain_once(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    drain(wire)
    drain(wire)
    app.open.set()
    assert len(await wire.answered()) == 1


# -- terminate ------------------------------------------------------------------------------------------------------


@in_loop
async def test_terminate_ends_an_idle_connection() -> None:
    wire = Wire(hello, **TIMES)
    wire.connection.terminate()
    await until(lambda: not wire.reaper.connections)


@in_loop
async def test_terminate_cancels_what_is_under_way_and_says_so(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    drain(wire)
    wire.connection.terminate()
    (answer,) = await wire.answered()
    assert (answer.status, answer.header(b"connection")) == (503, b"close")
    await until(lambda: not wire.context.tasks)
    await wire.ended()
    assert len(wire.log.of("warning")) == 1


@in_loop
async def test_terminate_cuts_a_stream_off(eager: bool) -> None:
    wire = Wire(_streams_and_reads, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    wire.connection.terminate()
    (answer,) = await wire.answered()
    assert answer.cut
    await until(lambda: not wire.context.tasks)
    await wire.ended()


@in_loop
async def test_terminate_a_connection_that_is_closing() -> None:
    wire = Wire(sends(start(), body(b"x" * 50_000)), **TIMES)
    wire.stop_reading()
    wire.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    await until(lambda: wire.closed)
    wire.connection.terminate()
    await until(lambda: not wire.reaper.connections)


@in_loop
async def test_an_idle_connection_lingers_for_longer_where_nobody_waits() -> None:
    """Others serve on, and a client that is late itself is still served here."""
    wire = Wire(hello, **TIMES)
    drain(wire)
    wire.context.unhurried = True
    for _ in range(3):
        wire.advance(LINGER)
        assert not wire.closed
    wire.context.unhurried = False
    wire.advance(LINGER)
    assert wire.closed
