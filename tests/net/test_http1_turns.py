"""``net/http1`` where tasks start eagerly: a request is read in one turn of the loop, and answered in the next."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.asgi.apps import Receive, Scope, Send, hello, reply
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Wire
from tests.net.transport import MOST_READ

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly on Python 3.12 and later")


@in_loop
async def test_nothing_is_written_within_a_read() -> None:
    """Each write wakes a client that sleeps: all reads first, and then the writes follow each other."""
    wires = [Wire(hello, eager=True) for _ in range(3)]
    for wire in wires:
        wire.send(GET % b"/")
        assert wire.received == b""
    await asyncio.sleep(0)
    for wire in wires:
        assert wire.received.startswith(b"HTTP/1.1 200")


@in_loop
async def test_nothing_is_written_before_all_are_answered() -> None:
    """The writes of one turn follow each other, with no application in between."""
    written: list[list[bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        written.append([wire.received for wire in wires])
        await reply(send)

    first = Wire(app, eager=True)
    wires = [first, *(Wire(app, worker=first) for _ in range(2))]
    for wire in wires:
        wire.send(GET % b"/")
    await asyncio.sleep(0)
    assert written == [[b""] * 3] * 3
    for wire in wires:
        assert [one.status for one in wire.responses()] == [200]


@in_loop
async def test_pipelined_requests_are_answered_in_one_write() -> None:
    wire = Wire(hello, eager=True)
    for _ in range(4):
        wire.send(GET % b"/" * 4)
    await asyncio.sleep(0)
    assert len(await wire.answered(16)) == 16
    assert len(wire.transport.writes) == 1


@in_loop
async def test_a_head_that_was_read_before_its_deadline_is_not_late() -> None:
    """Timers come before turns where a loop was busy."""
    wire = Wire(hello, eager=True, header_timeout=10.0)
    wire.send(b"GET / HTTP/1.1\r\n")
    wire.send(b"host: x\r\n\r\n")
    wire.advance(10.1)
    assert wire.received == b""
    assert [one.status for one in await wire.answered()] == [200]
    assert wire.log.entries == []


@in_loop
async def test_a_request_that_was_read_before_the_keepalive_time_was_over_is_served() -> None:
    wire = Wire(hello, eager=True, keepalive=2.0)
    wire.send(GET % b"/")
    wire.send(GET % b"/")
    wire.advance(2.1)
    assert [one.status for one in await wire.answered(2)] == [200, 200]


@in_loop
async def test_a_deadline_that_passed_over_a_turn_is_set_again() -> None:
    wire = Wire(hello, eager=True, header_timeout=10.0)
    wire.send(b"GET / HTTP/1.1\r\n")
    wire.send(b"host: x\r\n")
    wire.advance(10.1)
    await settle()
    assert not wire.transport.eof_written
    wire.advance(0.3)
    assert [one.status for one in wire.responses()] == [408]


@in_loop
async def test_an_empty_line_does_not_take_the_deadline_away() -> None:
    wire = Wire(hello, eager=True, header_timeout=10.0)
    wire.send(b"\r\n")
    wire.advance(10.1)
    await settle()
    wire.advance(0.3)
    await until(lambda: not wire.reaper.connections, "the close")


@in_loop
async def test_the_end_of_input_right_behind_a_request() -> None:
    wire = Wire(hello, eager=True)
    wire.send(GET % b"/")
    wire.send_eof()
    assert [one.status for one in await wire.answered()] == [200]
    await until(lambda: not wire.reaper.connections, "the close")


@in_loop
async def test_a_client_that_left_is_not_served() -> None:
    called = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["path"])
        await reply(send)

    wire = Wire(app, eager=True)
    wire.send(GET % b"/")
    wire.connection.connection_lost(ConnectionResetError())
    await settle()
    assert called == []
    assert wire.log.entries == []


@in_loop
async def test_drain_between_a_read_and_its_turn() -> None:
    wire = Wire(hello, eager=True)
    wire.send(GET % b"/")
    wire.context.draining = True
    wire.connection.drain()
    (answer,) = await wire.answered()
    assert answer.status == 200
    assert dict(answer.headers)[b"connection"] == b"close"


@in_loop
async def test_a_flood_of_pipelined_requests_is_not_gathered_without_bounds() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send)

    wire = Wire(app, eager=True)
    request = GET % (b"/" + b"x" * 1000)
    wire.send(request * 1000)
    assert not wire.transport.reading, "within the reads of one turn"
    assert wire.transport.delivered < len(request) * 1000
    assert wire.transport.delivered < 65536 + 2 * MOST_READ
    gate.set()
    assert len(await wire.answered(1000)) == 1000


@in_loop
async def test_a_defect_in_a_turn_closes_the_connection() -> None:
    """Of ours, not of the application's."""

    def defect() -> None:
        raise RuntimeError("a defect")

    wire = Wire(hello, eager=True, max_requests=1, on_limit=defect)
    wire.send(GET % b"/")
    await until(lambda: not wire.reaper.connections, "the close")
    assert "Exception on a connection" in wire.log.entries[-1][1]
