"""What loops do to a connection that a kinder transport would not, and what the connection makes of it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from tests.asgi.apps import Receive, Scope, Send, body, hello, reply, start
from tests.asgi.doubles import in_loop, misuses, settle, until
from tests.net.support import GET, Wire, post
from tests.net.transport import HIGH_WATER

variable: ContextVar[str] = ContextVar("variable", default="unset")


@in_loop
async def test_large_parts_wait_for_the_peer_whatever_writelines_does(eager: bool) -> None:
    sent = [0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while sent[0] < 64:
            sent[0] += 1
            await send(body(b"x" * (HIGH_WATER + 1), True))
        await send(body())

    wire = Wire(app, eager=eager)
    wire.transport.old_writelines = True
    wire.stop_reading()
    wire.send(GET % b"/")
    await settle(100)
    held = sent[0]
    wire.read_all()
    assert len((await wire.answered())[0].body) == 64 * (HIGH_WATER + 1)
    assert held <= 2


@in_loop
async def test_large_parts_are_not_written_to_a_lost_connection(eager: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(3):
            await send(body(b"x" * (HIGH_WATER + 1), True))
            wire.transport.lose(ConnectionResetError())

    wire = Wire(app, eager=eager)
    wire.transport.old_writelines = True
    wire.send(GET % b"/")
    await until(lambda: not wire.reaper.connections and not wire.context.tasks, "the end")
    assert not [one for one in misuses if "writelines" in one], misuses.clear()


@in_loop
async def test_a_reset_is_noticed_behind_what_was_sent_before(eager: bool) -> None:
    wire = Wire(hello, eager=eager)
    wire.transport.arrive(b"GET / HTTP/1.1\r\n")
    wire.reset()
    assert wire.closed, "at once"
    assert wire.reaper.connections, "said in the next turn"
    await until(lambda: not wire.reaper.connections, "the end")
    assert wire.log.errors == []


@in_loop
async def test_a_reset_while_reading_is_paused_is_noticed_by_the_next_write(eager: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        for _ in range(3):
            await reply(send)

    gate = asyncio.Event()
    wire = Wire(app, eager=eager, high_water=10)
    wire.send(post(b"x" * 1000, declared=5000))
    await settle()
    assert not wire.transport.reading
    wire.reset()
    await settle()
    assert not wire.closed
    gate.set()
    await until(lambda: not wire.reaper.connections and not wire.context.tasks, "the end")
    assert wire.log.errors == []


@in_loop
async def test_the_end_is_read_again_by_who_resumes_reading(eager: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            await asyncio.sleep(0)
        await reply(send)

    wire = Wire(app, eager=eager, high_water=10)
    wire.send(post(b"x" * 1000))
    wire.send_eof()
    assert [one.status for one in await wire.answered()] == [200]
    await until(lambda: not wire.reaper.connections, "the end")


@in_loop
async def test_what_is_read_after_an_application_resumed_reading_is_not_in_its_context(eager: bool) -> None:
    """asyncio's loop runs a callback in the context of who asked for it."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await reply(send)

    wire = Wire(app, eager=eager, high_water=10)
    for number in range(3):
        wire.send(post(b"x" * 1000, path=b"/%d" % number, declared=1001))
        await settle()
        wire.send(b"x")
        await wire.answered(number + 1, *["POST"] * 3)
    assert seen == ["unset"] * 3
