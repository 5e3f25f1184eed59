"""``net/http1``: deadlines. Time is an argument: ``wire.advance`` sweeps once at a later one."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.asgi.apps import Event, Receive, Scope, Send, body, hello, read_all, reply, sends, start
from tests.asgi.doubles import Timers, in_loop, settle, until
from tests.net.support import GET, Gate, Wire, echo, post

HEADER, BODY, KEEPALIVE, WRITE = 10.0, 30.0, 5.0, 60.0
TIMES = {"header_timeout": HEADER, "body_timeout": BODY, "keepalive": KEEPALIVE, "write_timeout": WRITE}

CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def statuses(wire: Wire) -> list[int]:
    return [answer.status for answer in wire.responses()]


# -- heads ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_silent_new_connection_is_closed() -> None:
    wire = Wire(hello, **TIMES)
    wire.advance(HEADER - 0.01)
    assert not wire.closed
    wire.advance(0.02)
    assert wire.closed
    await until(lambda: wire.transport.lost)
    assert wire.received == b""
    assert wire.log.entries == []


@in_loop
async def test_a_head_that_does_not_come_to_an_end_is_refused() -> None:
    """However steadily it drips, the time counts from the connection's beginning."""
    wire = Wire(hello, **TIMES)
    for byte in b"GET / HT":
        wire.send(bytes([byte]))
        wire.advance(1.1)
    assert wire.received == b""
    wire.advance(HEADER - 8.8)
    wire.send(b"T")
    wire.advance(0.1)
    assert statuses(wire) == [408]
    (line,) = wire.log.of("warning")
    assert "head" in line
    assert wire.transport.eof_written


@in_loop
async def test_the_next_head_has_its_time_from_its_first_byte(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.advance(HEADER - 1)
    wire.send(GET % b"/")
    await wire.answered()
    wire.advance(KEEPALIVE - 1)
    wire.send(b"GET ")
    wire.take_turn()
    for _ in range(3):
        wire.advance(HEADER / 4)
        wire.send(b"/")
        wire.take_turn()
    assert statuses(wire) == [200]
    wire.advance(HEADER / 4 + 0.1)
    assert statuses(wire) == [200, 408]


@in_loop
async def test_a_head_in_time_is_served(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(b"GET / HTTP/1.1\r\n")
    wire.advance(HEADER - 0.1)
    wire.send(b"host: x\r\n\r\n")
    await wire.answered()
    wire.advance(HEADER)
    assert statuses(wire) == [200]


@in_loop
async def test_no_time_for_heads() -> None:
    wire = Wire(hello, **(TIMES | {"header_timeout": 0.0}))
    wire.advance(1e6)
    wire.send(b"GET ")
    wire.advance(1e6)
    assert not wire.closed
    assert wire.received == b""


# -- keep-alive -----------------------------------------------------------------------------------------------------


@in_loop
async def test_an_idle_connection_is_closed_without_a_word(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    for _ in range(3):
        wire.send(GET % b"/")
        await settle()
        wire.advance(KEEPALIVE - 0.1)
        assert not wire.closed
    wire.advance(0.2)
    assert wire.closed
    assert statuses(wire) == [200] * 3
    assert wire.log.entries == []


@in_loop
async def test_a_request_that_came_in_time_is_served_although_it_was_read_late(eager: bool) -> None:
    """The loop was busy, and the sweep came before the read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(hello, eager=eager, extra={"socket": ours}, **TIMES)
        wire.send(GET % b"/")
        await wire.answered()
        theirs.send(GET % b"/")
        wire.advance(KEEPALIVE + 0.1)
        assert not wire.closed
        wire.send(ours.recv(1000))
        await wire.answered(2)
        wire.advance(KEEPALIVE + 0.1)
        assert wire.closed


@in_loop
async def test_empty_lines_do_not_keep_a_connection_alive_for_ever(eager: bool) -> None:
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await wire.answered()
    for _ in range(20):
        if not wire.closed and not wire.transport.eof_written:
            wire.send(b"\r\n")
            wire.take_turn()
            wire.advance(KEEPALIVE - 0.1)
    assert wire.closed or wire.transport.eof_written


@in_loop
async def test_the_application_has_all_the_time_it_wants(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, **TIMES)
    wire.send(GET % b"/")
    await settle()
    for _ in range(10):
        wire.advance(1e5)
    assert not wire.closed
    app.open.set()
    await wire.answered()


# -- content --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [post(b"", declared=1000), CHUNKED], ids=["length", "chunked"])
@in_loop
async def test_content_that_does_not_come(head: bytes, eager: bool) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())

    wire = Wire(app, eager=eager, **TIMES)
    wire.send(head)
    await settle()
    for part in (b"1\r\nx\r\n", b"1\r\ny\r\n"):
        wire.advance(BODY - 0.1)
        wire.send(part)
        await settle()
    wire.advance(BODY - 0.1)
    assert wire.received == b""
    wire.advance(0.2)
    assert statuses(wire) == [408]
    await until(lambda: not wire.context.tasks)
    assert events[-1] == {"type": "http.disconnect"}
    (line,) = wire.log.of("warning", "error")
    assert "content" in line


@in_loop
async def test_content_that_does_not_come_amid_the_response(eager: bool) -> None:
    wire = Wire(_streams_and_reads, eager=eager, **TIMES)
    wire.send(CHUNKED)
    await settle()
    wire.advance(BODY + 0.1)
    (answer,) = await wire.answered()
    assert answer.cut
    await until(lambda: not wire.context.tasks)


async def _streams_and_reads(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"some", True))
    while (await receive())["type"] != "http.disconnect":
        pass


@in_loop
async def test_it_is_not_the_peers_fault_when_the_application_does_not_read(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send, b"%d" % len(await read_all(receive)))

    wire = Wire(app, eager=eager, high_water=10, **TIMES)
    wire.send(post(b"x" * 1000, declared=2000))
    await settle()
    assert not wire.transport.reading
    wire.advance(BODY * 10)
    assert wire.received == b""
    gate.set()
    await settle()
    wire.advance(BODY - 0.1)
    wire.send(b"x" * 1000)
    (answer,) = await wire.answered()
    assert answer.body == b"2000"


@in_loop
async def test_it_is_not_the_peers_fault_when_it_waits_for_100_continue(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send, await read_all(receive))

    wire = Wire(app, eager=eager, **TIMES)
    wire.send(post(b"", b"expect: 100-continue", declared=3))
    await settle()
    wire.advance(BODY * 2)
    assert wire.received == b""
    gate.set()
    await until(lambda: wire.received)
    wire.advance(BODY - 0.1)
    wire.send(b"abc")
    (answer,) = await wire.answered()
    assert (answer.status, answer.body) == (200, b"abc")


@in_loop
async def test_once_it_was_asked_for_it_must_come(eager: bool) -> None:
    wire = Wire(echo, eager=eager, **TIMES)
    wire.send(post(b"", b"expect: 100-continue", declared=3))
    await until(lambda: wire.received)
    wire.advance(BODY + 0.1)
    await settle()
    assert statuses(wire) == [408]


@in_loop
async def test_content_that_nobody_reads_must_come_all_the_same(eager: bool) -> None:
    """The response is out; the connection waits for the rest of the request, but not for ever."""
    wire = Wire(hello, eager=eager, **TIMES)
    wire.send(post(b"", declared=1000))
    await wire.answered()
    wire.advance(BODY + 0.1)
    await settle()
    assert wire.closed or wire.transport.eof_written
    assert statuses(wire)[0] == 200


# -- responses ------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_peer_that_reads_nothing_is_cut_off(eager: bool) -> None:
    caught: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 10_000, True))
        except OSError as error:
            caught.append(type(error))
            raise

    wire = Wire(app, eager=eager, **TIMES)
    wire.stop_reading()
    wire.send(GET % b"/")
    await until(lambda: not wire.connection.writable)
    wire.advance(WRITE - 0.1)
    assert not wire.closed
    wire.advance(0.2)
    assert "abort" in wire.transport.calls
    await until(lambda: not wire.context.tasks)
    assert len(caught) == 1
    assert wire.log.of("warning", "error") == []
    assert len(wire.log.of("info")) == 1


@in_loop
async def test_a_peer_that_reads_slowly_is_served(eager: bool) -> None:
    """Any progress renews its time."""
    size = 1_000_000
    wire = Wire(sends(start(), body(b"x" * size)), eager=eager, **TIMES)
    wire.stop_reading()
    wire.send(GET % b"/")
    await until(lambda: not wire.connection.writable)
    for _ in range(20):
        wire.transport.take(1000)
        wire.advance(WRITE + 0.1)
        assert not wire.closed
    wire.advance(WRITE + 0.1)
    assert wire.closed, "no progress since the last look"


@in_loop
async def test_a_peer_that_caught_up_has_its_usual_time(eager: bool) -> None:
    wire = Wire(sends(start(), body(b"x" * 1_000_000)), eager=eager, **TIMES)
    wire.stop_reading()
    wire.send(GET % b"/")
    await until(lambda: not wire.connection.writable)
    wire.advance(WRITE - 0.1)
    wire.read_all()
    await settle()
    wire.advance(KEEPALIVE - 0.1)
    assert not wire.closed
    wire.advance(0.2)
    assert wire.closed


@in_loop
async def test_the_rest_of_a_last_response_has_time_too(eager: bool) -> None:
    """It is closed, and what is left to send is sent, or not in time."""
    wire = Wire(sends(start(), body(b"x" * 50_000)), eager=eager, **TIMES)
    wire.stop_reading()
    wire.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    await until(lambda: wire.closed)
    assert not wire.transport.lost
    wire.advance(WRITE - 0.1)
    assert "abort" not in wire.transport.calls
    wire.advance(0.2)
    assert "abort" in wire.transport.calls


# -- the whole request ----------------------------------------------------------------------------------------------

REQUEST = 20.0


@in_loop
async def test_a_whole_request_that_takes_too_long_is_a_504(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager, request_timeout=REQUEST, **TIMES)
    wire.send(GET % b"/slow" + GET % b"/next")
    await settle()
    wire.advance(REQUEST - 0.1)
    assert wire.received == b""
    wire.advance(0.2)
    (answer,) = await wire.answered()
    assert answer.status == 504
    assert answer.header(b"connection") == b"close"
    await until(lambda: not wire.context.tasks)
    assert app.paths == ["/slow"]
    (line,) = wire.log.of("warning", "error")
    assert "/slow" in line


@in_loop
async def test_amid_the_response_it_is_cut_off(eager: bool) -> None:
    wire = Wire(_streams_and_reads, eager=eager, request_timeout=REQUEST, **TIMES)
    wire.send(GET % b"/")
    await settle()
    wire.advance(REQUEST + 0.1)
    (answer,) = await wire.answered()
    assert answer.cut
    await until(lambda: not wire.context.tasks)


@in_loop
async def test_each_request_has_its_own_time(eager: bool) -> None:
    wire = Wire(hello, eager=eager, request_timeout=REQUEST, **TIMES)
    for count in range(1, 5):
        wire.send(GET % b"/")
        await wire.answered(count)
        wire.advance(KEEPALIVE - 0.1)
    assert wire.log.entries == []
    assert not wire.closed


@in_loop
async def test_the_content_counts_towards_the_whole(eager: bool) -> None:
    wire = Wire(echo, eager=eager, request_timeout=REQUEST, **TIMES)
    wire.send(post(b"", declared=1000))
    for _ in range(3):
        wire.send(b"x")
        await settle()
        wire.advance(REQUEST / 4)
    assert wire.received == b""
    wire.advance(REQUEST / 4 + 0.1)
    await settle()
    assert statuses(wire) == [504]


@in_loop
async def test_content_that_never_comes_after_the_response_ends_with_the_whole(eager: bool) -> None:
    """The response is out, the rest of the request is not: some deadline must still stand."""
    wire = Wire(hello, eager=eager, request_timeout=REQUEST, **TIMES)
    wire.send(post(b"", declared=1000))
    await wire.answered()
    wire.advance(REQUEST + 0.1)
    await settle()
    wire.advance(BODY + 0.1)
    await settle()
    wire.advance(BODY + 0.1)
    await settle()
    assert wire.closed
    assert statuses(wire)[0] == 200


@in_loop
async def test_the_whole_ends_also_while_the_peer_reads_slowly(eager: bool) -> None:
    """Else a peer that takes a byte a minute holds the application for as long as it likes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            await send(body(b"x" * 10_000, True))

    wire = Wire(app, eager=eager, request_timeout=REQUEST, **TIMES)
    wire.stop_reading()
    wire.send(GET % b"/")
    await until(lambda: not wire.connection.writable)
    for _ in range(10):
        wire.advance(WRITE / 2)
        wire.transport.take(100)
        await settle(3)
    assert not wire.context.tasks


# -- no timers ------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_request_sets_no_timer_of_the_loop(eager: bool) -> None:
    wire = Wire(echo, eager=eager, request_timeout=REQUEST, **TIMES)
    timers = Timers()
    for count in range(1, 4):
        wire.send(post(b"abc"))
        await wire.answered(count)
    assert timers.pending == []


# -- room for others ------------------------------------------------------------------------------------------------


@in_loop
async def test_what_is_idle_can_be_given_up_and_nothing_else(eager: bool) -> None:
    never = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await never.wait()
        await reply(send, b"x")

    idle = Wire(app, eager=eager, **TIMES)
    idle.send(GET % b"/")
    await idle.answered()
    others = []
    pipelined = GET % b"/slow" + GET % b"/"
    for data in (b"", b"GET / HT", GET % b"/slow", GET % b"/" + b"G", post(b"", declared=9), pipelined):
        others.append(Wire(app, worker=idle))
        if data:
            others[-1].send(data)
    late = Wire(app, worker=idle)
    late.send(GET % b"/")
    await late.answered()
    await settle()
    late.send(GET % b"/")  # has come, and waits for its turn
    assert idle.reaper.give_up_idle(10) == 1
    assert idle.closed
    await late.answered(2)
    assert not any(one.closed for one in [*others, late])


@in_loop
async def test_what_is_idle_longest_is_given_up_first(eager: bool) -> None:
    first = Wire(hello, eager=eager, **TIMES)
    wires = [first, Wire(hello, worker=first), Wire(hello, worker=first)]
    for wire in (wires[1], wires[2], wires[0]):
        wire.send(GET % b"/")
        await wire.answered()
        first.advance(1)
    assert first.reaper.give_up_idle(1) == 1
    assert [wire.closed for wire in wires] == [False, True, False]
    assert first.reaper.give_up_idle(1) == 1
    assert [wire.closed for wire in wires] == [False, True, True]
