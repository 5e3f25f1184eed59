"""What applications do with asyncio and anyio inside a request works as under any server, however they are started."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.asgi.apps import Receive, Send, body, read_all, reply, start
from tests.asgi.doubles import in_loop, settle, until
from tests.asgi.support import Answer, Conversation
from tests.net.support import Wire

Talk = Callable[..., Conversation]
Scope = dict[str, Any]

needs_3_11 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup came with Python 3.11"
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"


async def ended(conversation: Conversation) -> Answer:
    """The answer of an application that waits for time or a thread, which turns of the loop alone do not bring."""
    while conversation.running:
        await asyncio.sleep(0.001)
    return await conversation.finish()


async def answers(wire: Wire, count: int) -> list[bytes]:
    await until(lambda: len(wire.responses()) == count)
    return [answer.body for answer in wire.responses()]


# -- context variables ----------------------------------------------------------------------------------------------


async def sets_variable(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what the variable was before, and leaves it set."""
    before = variable.get()
    variable.set(scope["path"])
    if "wait" in scope["path"]:
        await asyncio.sleep(0)
    assert variable.get() == scope["path"]
    await reply(send, before.encode())
    assert variable.get() == scope["path"]


@pytest.mark.parametrize(
    "paths", [[b"/1", b"/2", b"/3"], [b"/wait1", b"/2", b"/wait3", b"/4"]], ids=["quick", "waiting"]
)
@in_loop
async def test_context_variables_of_pipelined_requests(eager: bool, paths: list[bytes]) -> None:
    wire = Wire(sets_variable, eager=eager)
    wire.send(b"".join(GET % path for path in paths))
    assert await answers(wire, len(paths)) == [b"unset"] * len(paths)
    assert variable.get() == "unset"


@in_loop
async def test_context_variables_of_requests_one_after_the_other(eager: bool) -> None:
    wire = Wire(sets_variable, eager=eager)
    for count in range(1, 4):
        wire.send(GET % b"/wait")
        assert await answers(wire, count) == [b"unset"] * count
    assert variable.get() == "unset"


@in_loop
async def test_context_variables_where_the_request_waited_for_a_slow_application(eager: bool) -> None:
    """The next request is begun when the application before it has read or answered, which is no reason to inherit."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = variable.get()
        variable.set("of the one before")
        await read_all(receive)
        await asyncio.sleep(0)
        await reply(send, before.encode())

    wire = Wire(app, eager=eager, high_water=10)
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n" + b"x" * 40
    wire.send(request + request + GET % b"/")
    assert await answers(wire, 3) == [b"unset"] * 3


@in_loop
async def test_context_variables_reach_the_applications_own_tasks(talk: Talk) -> None:
    seen: list[str] = []

    async def child() -> None:
        seen.append(variable.get())
        variable.set("the child's")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        token = variable.set("the request's")
        await asyncio.create_task(child())
        assert variable.get() == "the request's"
        variable.reset(token)
        await reply(send)

    assert (await talk(app).finish()).status == 200
    assert seen == ["the request's"]


# -- tasks ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_current_task(talk: Talk) -> None:
    tasks: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.current_task())
        assert asyncio.get_running_loop() is not None
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        await reply(send)

    outside = asyncio.current_task()
    await talk(app).finish()
    assert asyncio.current_task() is outside
    first, second = tasks
    assert isinstance(first, asyncio.Task)
    assert first is second
    assert first is not outside


@in_loop
async def test_an_application_may_cancel_a_task_of_its_own(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.create_task(receive())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener
        await reply(send)

    conversation = talk(app)
    assert (await conversation.finish()).status == 200
    assert conversation.log.entries == []


@in_loop
async def test_receive_and_send_in_tasks_of_their_own(talk: Talk) -> None:
    """As middleware does that listens for the disconnect while it streams."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def stream() -> None:
            await send(start())
            for _ in range(5):
                await send(body(b"x", True))
                await asyncio.sleep(0)
            await send(body())

        events = []

        async def listen() -> None:
            while not events or events[-1]["type"] != "http.disconnect":
                events.append(await receive())

        await asyncio.gather(stream(), listen())
        assert [event["type"] for event in events] == ["http.request", "http.disconnect"]

    conversation = talk(app)
    answer = await conversation.finish()
    assert (answer.body, answer.complete) == (b"xxxxx", True)
    assert conversation.log.entries == []


@in_loop
async def test_receive_under_wait_for(talk: Talk) -> None:
    """Long polling: each attempt that times out loses nothing."""
    attempts = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal attempts
        parts = []
        while True:
            try:
                event = await asyncio.wait_for(receive(), 0.001)
            except asyncio.TimeoutError:
                attempts += 1
                continue
            parts.append(event["body"])
            if not event["more_body"]:
                break
        await reply(send, b"".join(parts))

    conversation = talk(app, "POST", streams=True)
    while attempts < 3:
        await asyncio.sleep(0.001)
    conversation.data(b"some ")
    before = attempts
    while attempts < before + 2:
        await asyncio.sleep(0.001)
    conversation.data(b"content")
    conversation.end()
    assert (await ended(conversation)).body == b"some content"


@needs_3_11
@in_loop
async def test_task_group(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[bytes] = []

        async def part(number: int) -> None:
            await asyncio.sleep(0)
            parts.append(b"%d" % number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(part(number))
        await reply(send, b"".join(sorted(parts)))

    assert (await talk(app).finish()).body == b"012"


@needs_3_11
@pytest.mark.parametrize("steps", [0, 1])
@in_loop
async def test_task_group_that_fails(talk: Talk, steps: int) -> None:
    class Oops(Exception):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def fails() -> None:
            for _ in range(steps):
                await asyncio.sleep(0)
            raise Oops

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(100))
                group.create_task(fails())
        except Exception as group_error:
            (error,) = group_error.exceptions  # type: ignore[attr-defined]
            assert type(error) is Oops
            await reply(send, b"caught")

    conversation = talk(app)
    assert (await conversation.finish()).body == b"caught"
    assert conversation.log.entries == []


@needs_3_11
@pytest.mark.parametrize("seconds", [0, 0.001])
@in_loop
async def test_asyncio_timeout(talk: Talk, seconds: float) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(100)
        except TimeoutError:
            await reply(send, b"timeout")
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    conversation = talk(app)
    assert (await ended(conversation)).body == b"timeout"
    assert conversation.log.entries == []


@in_loop
async def test_anyio_task_group_and_cancel_scope(talk: Talk) -> None:
    """As Starlette streams: whichever of response and disconnect is first cancels the other."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(listen)
            await send(start())
            for _ in range(3):
                await send(body(b"x", True))
                await anyio.sleep(0)
            await send(body(b"."))
            group.cancel_scope.cancel()

    conversation = talk(app)
    answer = await conversation.finish()
    assert (answer.body, answer.complete) == (b"xxx.", True)
    assert conversation.log.entries == []


@in_loop
async def test_anyio_cancel_scope_ends_with_the_client(talk: Talk) -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(listen)
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("stream")

    conversation = talk(app)
    await settle()
    assert ended == []
    conversation.leave()
    await conversation.finish()
    assert ended == ["stream"]
    assert conversation.log.entries == []


@in_loop
async def test_anyio_fail_after_and_shield(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await anyio.sleep_forever()
        with anyio.move_on_after(0) as moved:
            await anyio.sleep_forever()
        assert moved.cancelled_caught
        with anyio.CancelScope() as outer:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await reply(send, b"shielded")
        assert outer.cancel_called

    conversation = talk(app)
    assert (await ended(conversation)).body == b"shielded"
    assert conversation.log.entries == []


@in_loop
async def test_a_thread_of_anyios(talk: Talk) -> None:
    """Synchronous views run in threads; coming back from one must find the request's task."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        variable.set("the request's")
        seen = await anyio.to_thread.run_sync(variable.get)
        back = await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(read_all, receive))
        await reply(send, seen.encode() + back)

    conversation = talk(app, "POST", body=b" and content")
    assert (await ended(conversation)).body == b"the request's and content"


@in_loop
async def test_an_async_generator_is_closed(talk: Talk) -> None:
    closed: list[str] = []

    async def parts() -> Any:
        try:
            while True:
                yield b"x"
        finally:
            closed.append("generator")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        generator = parts()
        try:
            async for part in generator:
                await send(body(part, True))
                await asyncio.sleep(0)
        finally:
            await generator.aclose()

    conversation = talk(app)
    await settle()
    conversation.leave()
    await conversation.finish()
    assert closed == ["generator"]
    assert conversation.log.entries == []


# -- eager start ----------------------------------------------------------------------------------------------------


@in_loop
async def test_an_application_that_does_not_wait_answers_within_the_turn_of_its_request(eager: bool) -> None:
    wire = Wire(sets_variable, eager=eager)
    wire.send(GET % b"/quick")
    assert wire.received == b"", "not within the read"
    wire.take_turn()
    assert bool(wire.received) is eager
    assert await answers(wire, 1) == [b"unset"]


@in_loop
async def test_an_application_that_waits_does_not_hold_the_turn_up(eager: bool) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await reply(send, b"late")

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/")
    wire.take_turn()
    assert wire.received == b""
    assert len(wire.context.tasks) == 1
    gate.set()
    assert await answers(wire, 1) == [b"late"]
    await until(lambda: not wire.context.tasks)


@in_loop
async def test_receives_that_are_given_up_leave_nothing_behind(eager: bool) -> None:
    """``is_disconnected()`` of frameworks asks and gives up, as often as an endless stream sends."""
    left = []

    def waiting() -> int:
        return sum(isinstance(one, asyncio.Future) for one in gc.get_objects())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for count in range(101):
            asking = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            del asking
            if count in (0, 100):
                left.append(waiting())
        await reply(send)

    wire = Wire(app, eager=eager)
    wire.send(GET % b"/")
    await answers(wire, 1)
    assert left[1] < left[0] + 50
