"""``net/http1``: the connection is lost at each point of an exchange; and what a finished exchange leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.asgi.apps import Receive, Scope, Send, body, hello, read_all, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import GET, Gate, Wire, echo, post

CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def waits_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads until the disconnect."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends until the client is gone."""
    await send(start())
    while True:
        await send(body(b"x" * 10_000, True))
        await asyncio.sleep(0)


async def streams_after_half(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await asyncio.get_running_loop().create_future()


async def never_returns(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.get_running_loop().create_future()


async def answers_and_goes_on(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send)
    assert (await receive())["type"] == "http.disconnect"
    for _ in range(5):
        await asyncio.sleep(0)


def _send(*data: bytes) -> Callable[[Wire], None]:
    def step(wire: Wire) -> None:
        for one in data:
            wire.send(one)

    return step


def _send_to_deaf(*data: bytes) -> Callable[[Wire], None]:
    def step(wire: Wire) -> None:
        wire.stop_reading()
        _send(*data)(wire)

    return step


def _half_close(*data: bytes) -> Callable[[Wire], None]:
    def step(wire: Wire) -> None:
        _send(*data)(wire)
        wire.send_eof()

    return step


#: Where the exchange stands when the connection is lost: the application, and what the peer did before.
POINTS: dict[str, tuple[Any, Callable[[Wire], None]]] = {
    "before anything": (hello, _send()),
    "amid the request line": (hello, _send(b"GET / HT")),
    "amid the fields": (hello, _send(b"GET / HTTP/1.1\r\nhost: x\r\n")),
    "idle": (hello, _send(GET % b"/")),
    "amid the next request line": (hello, _send(GET % b"/" + b"GET")),
    "application waits for content": (waits_for_the_end, _send(post(b"abc", declared=10))),
    "application waits for a chunk": (waits_for_the_end, _send(CHUNKED + b"5\r\nab")),
    "application waits for the disconnect": (waits_for_the_end, _send(GET % b"/")),
    "application waits for something else": (never_returns, _send(GET % b"/")),
    "application does not read": (never_returns, _send(post(b"x" * 500_000, declared=1_000_000))),
    "head is held": (streams_after_half, _send(GET % b"/")),
    "streaming": (streams, _send(GET % b"/")),
    "streaming to a deaf peer": (streams, _send_to_deaf(GET % b"/")),
    "a large response to a deaf peer": (sends(start(), body(b"x" * 1_000_000)), _send_to_deaf(GET % b"/" * 3)),
    "pipelined": (never_returns, _send(GET % b"/" * 10)),
    "application goes on after its response": (answers_and_goes_on, _send(GET % b"/")),
    "rest of the content is dropped": (hello, _send(post(b"x", declared=1000))),
    "half closed, working": (never_returns, _half_close(GET % b"/")),
    "half closed amid content": (never_returns, _half_close(post(b"abc", declared=10))),
    "waiting for 100-continue": (waits_for_the_end, _send(post(b"", b"expect: 100-continue", declared=10))),
    "refused, lingering": (hello, _send(b"nonsense\r\n\r\n")),
    "closing": (hello, _send_to_deaf(b"GET / HTTP/1.0\r\n\r\n")),
}


@in_loop
async def test_an_application_that_never_waits_learns_that_a_write_has_failed(eager: bool) -> None:
    """It streams as fast as it can, and the loop, which has the news, gets no turn unless ``send`` gives it one."""
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        while sent < 20_000:
            sent += 1
            if sent == 5:
                wire.transport.write_error = BrokenPipeError()
            await send(body(b"x" * 100, True))

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/")
    await until(lambda: not wire.context.tasks)
    assert sent < 2000, "what one write gathers"
    assert wire.log.errors == []


@pytest.mark.parametrize("why", ["bad chunk", "too much"])
@in_loop
async def test_an_application_that_never_waits_learns_that_we_have_ended_the_response(why: str, eager: bool) -> None:
    """The peer broke the protocol while the response was under way: whoever streams on, to nobody, is told."""
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        while sent < 20_000:
            sent += 1
            await send(body(b"x" * 10_000, True))

    wire = Wire(app, eager=eager, max_body_size=1000)
    wire.stop_reading()
    wire.send(CHUNKED)
    await until(lambda: not wire.connection.writable)
    wire.send(b"nonsense\r\n" if why == "bad chunk" else b"7d0\r\n" + b"x" * 2000)
    await until(lambda: not wire.context.tasks)
    assert sent < 100
    assert wire.log.errors == []


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "reset"])
@pytest.mark.parametrize("point", POINTS)
@in_loop
async def test_lost(point: str, error: Exception | None, eager: bool) -> None:
    """Nothing is left running, nothing is left open, and no disconnect is an error."""
    app, before = POINTS[point]
    wire = Wire(app, eager=eager, disconnect_grace_period=0.0)
    before(wire)
    await settle()
    wire.lose(error)
    await until(lambda: not wire.context.tasks, "the application has ended")
    await until(lambda: not wire.reaper.connections)
    assert wire.log.errors == []
    writes = len(wire.transport.writes)
    wire.advance(1000.0)
    wire.connection.drain()
    wire.connection.terminate()
    await settle()
    assert len(wire.transport.writes) == writes, "written to a connection that is no more"


@pytest.mark.parametrize("point", POINTS)
@in_loop
async def test_drained_and_terminated(point: str, eager: bool) -> None:
    """From each point the server gets rid of the connection."""
    app, before = POINTS[point]
    wire = Wire(app, eager=eager, disconnect_grace_period=0.0)
    before(wire)
    await settle()
    wire.context.draining = True
    wire.connection.drain()
    await settle()
    wire.connection.terminate()
    await settle()
    wire.connection.abort()
    await until(lambda: not wire.reaper.connections)
    await until(lambda: not wire.context.tasks)
    assert wire.log.errors == []


# -- what is left behind --------------------------------------------------------------------------------------------


@pytest.fixture
def collector() -> Iterator[Callable[[], int]]:
    """Counts the objects that only the garbage collector can free."""
    gc.collect()
    gc.disable()
    gc.freeze()  # what there is already need not be looked at again and again
    try:
        yield gc.collect
    finally:
        gc.unfreeze()
        gc.enable()


async def posts(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, await read_all(receive))


async def streams_parts(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    for _ in range(3):
        await send(body(b"part", True))
        await asyncio.sleep(0)
    await send(body())


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    listener = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await reply(send)
    await listener


KINDS: dict[str, tuple[Any, bytes]] = {
    "get": (hello, GET % b"/a?b=c"),
    "post": (posts, post(b"x" * 1000)),
    "chunked": (posts, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"),
    "unread content": (hello, post(b"x" * 1000)),
    "100-continue": (echo, post(b"abc", b"expect: 100-continue")),
    "stream": (streams_parts, GET % b"/"),
    "listener": (listens, GET % b"/"),
    "early hint": (sends({"type": "http.response.early_hint", "links": [b"</a>"]}, start(), body()), GET % b"/"),
    "trailers": (sends(start(trailers=True), body(), {"type": "http.response.trailers"}), GET % b"/"),
    "refused": (hello, b"nonsense\r\n\r\n"),
}


async def left_behind(once: Callable[[], Awaitable[None]], collector: Callable[[], int]) -> int:
    """Objects that ten times ``once`` leave to the garbage collector; the first time may leave what is kept."""
    await once()
    await settle()
    collector()
    for _ in range(10):
        await once()
    await settle()
    return collector()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "refused"])
@in_loop
async def test_a_request_leaves_no_cycle(kind: str, eager: bool, collector: Callable[[], int]) -> None:
    """The garbage collector has nothing to do, however many requests a connection brings."""
    app, request = KINDS[kind]
    wire = Wire(app, eager=eager)
    wire.send(request)
    await until(lambda: wire.received and not wire.context.tasks)
    await settle(5)
    collector()
    for _ in range(50):
        wire.send(request)
        await settle(8)
        await until(lambda: not wire.context.tasks)
    assert wire.context.requests == 51
    assert collector() == 0


@pytest.mark.parametrize("kind", KINDS)
@in_loop
async def test_a_connection_leaves_no_cycle(kind: str, eager: bool, collector: Callable[[], int]) -> None:
    """Without keep-alive each request is a connection."""
    app, request = KINDS[kind]
    first = Wire(app, eager=eager)

    async def once() -> None:
        wire = Wire(app, eager=eager, templates=first.context.templates, rules=first.context.rules)
        wire.send(request)
        await until(lambda: wire.received and not wire.context.tasks)
        wire.lose()
        await until(lambda: not wire.reaper.connections)
        wire.transport.protocol = None

    assert await left_behind(once, collector) == 0


@in_loop
async def test_a_client_that_leaves_leaves_no_cycle(eager: bool, collector: Callable[[], int]) -> None:
    async def once() -> None:
        wire = Wire(waits_for_the_end, eager=eager)
        wire.send(post(b"abc", declared=10))
        await settle(5)
        wire.lose()
        await until(lambda: not wire.reaper.connections and not wire.context.tasks)
        wire.transport.protocol = None

    assert await left_behind(once, collector) == 0


@in_loop
async def test_an_idle_connection_holds_nothing_of_its_last_request(eager: bool) -> None:
    """Content, scope and application of a request are freed with it, not with the next."""

    class Marker:
        alive = 0

        def __init__(self) -> None:
            Marker.alive += 1

        def __del__(self) -> None:
            Marker.alive -= 1

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["marker"] = Marker()
        await reply(send, await read_all(receive))

    wire = Wire(app, eager=eager)
    for _ in range(3):
        wire.send(post(b"abc"))
        await settle()
        assert not wire.context.tasks
        assert Marker.alive == 0


@in_loop
async def test_finished_tasks_are_forgotten(eager: bool) -> None:
    app = Gate()
    wire = Wire(app, eager=eager)
    wire.send(GET % b"/" * 5)
    await settle()
    assert len(wire.context.tasks) == 1
    app.open.set()
    await wire.answered(5)
    await until(lambda: not wire.context.tasks)
