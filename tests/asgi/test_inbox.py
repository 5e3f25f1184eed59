"""``Inbox``: what waits for the application, and how the application waits."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import Any

import pytest

from tests.asgi.chat import Hands, OverTheWaist, Recorder
from tests.asgi.doubles import in_loop, settle, until
from tests.support.frames import BINARY, TEXT, sent, sent_close


async def opened(**options: Any) -> tuple[OverTheWaist, Hands]:
    app = Hands()
    talk = OverTheWaist(app, options=options)
    return talk, await app.accepted()


@in_loop
async def test_receive_is_a_coroutine_in_all_respects() -> None:
    talk, app = await opened()
    coming = app.receive()
    assert asyncio.iscoroutine(coming)
    assert inspect.isawaitable(coming)
    task = asyncio.create_task(coming)
    talk.send_text("a")
    assert (await task)["text"] == "a"
    with pytest.raises(RuntimeError, match="already awaited"):
        await coming
    talk.send_text("b")
    assert [event["text"] for event in await asyncio.gather(app.receive())] == ["b"]
    app.returns()
    await talk.finish()


@in_loop
async def test_a_receive_that_is_never_awaited_takes_nothing() -> None:
    talk, app = await opened()
    talk.send_text("a")
    app.receive().close()
    assert (await app.receive())["text"] == "a"
    app.returns()
    await talk.finish()


@in_loop
async def test_a_cancelled_receive_takes_nothing() -> None:
    talk, app = await opened()
    task = asyncio.create_task(app.receive())
    await settle(2)
    talk.send_text("a")
    task.cancel()  # in the turn in which it was woken
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await app.receive())["text"] == "a"
    app.returns()
    await talk.finish()


@in_loop
async def test_each_of_several_receives_gets_an_event_of_its_own() -> None:
    talk, app = await opened()
    tasks = [asyncio.create_task(app.receive()) for _ in range(3)]
    await settle(2)
    for text in "abc":
        talk.send_text(text)
        await settle(3)
    assert sorted([(await task)["text"] for task in tasks]) == ["a", "b", "c"]
    app.returns()
    await talk.finish()


@in_loop
async def test_several_receives_are_all_told_of_the_end() -> None:
    talk, app = await opened()
    tasks = [asyncio.create_task(app.receive()) for _ in range(3)]
    await settle(2)
    talk.send(sent_close(4000))
    assert [(await task)["code"] for task in tasks] == [4000] * 3
    app.returns()
    await talk.finish()


@in_loop
async def test_receives_that_time_out_leave_nothing_behind() -> None:
    """A loop of ``wait_for(receive(), 1)`` is how an application sends something every second."""
    talk, app = await opened()

    def futures() -> int:
        gc.collect()
        return sum(isinstance(one, asyncio.Future) for one in gc.get_objects())

    before = futures()
    for _ in range(50):
        task = asyncio.create_task(app.receive())
        await settle(2)
        task.cancel()
        await settle(2)
    del task
    assert futures() < before + 10
    talk.send_text("a")
    assert (await app.receive())["text"] == "a"
    app.returns()
    await talk.finish()


@in_loop
async def test_an_application_that_spins_on_the_end_lets_the_loop_run() -> None:
    spins = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal spins
        await send({"type": "websocket.accept"})
        while True:
            await receive()
            spins += 1

    talk = OverTheWaist(app)
    await talk.opened()
    talk.send(sent_close())
    await until(lambda: spins > 1000, "it goes on being told")
    (task,) = talk.context.tasks
    task.cancel()
    await talk.finish()


# -- bounds ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_messages_beyond_the_queue_stay_with_the_client() -> None:
    talk, app = await opened(max_queue=3)
    texts = [f"{number}" for number in range(10)]
    talk.send(*(sent(TEXT, text.encode()) for text in texts))
    assert ("consumed", 70) not in talk.stream.calls
    assert sum(call[0] == "consumed" for call in talk.stream.calls) == 0
    got = []
    for _ in texts:
        assert sum(call[0] == "consumed" for call in talk.stream.calls) == 0 or len(got) >= 9
        got.append((await app.receive())["text"])
    assert got == texts
    assert ("consumed", 70) in talk.stream.calls
    app.returns()
    await talk.finish()


@in_loop
async def test_bytes_in_the_queue_are_bounded_too() -> None:
    talk, app = await opened()
    talk.context.high_water = 1000
    for _ in range(5):
        talk.send(sent(BINARY, bytes(600)))
    consumed = [call[1] for call in talk.stream.calls if call[0] == "consumed"]
    assert len(consumed) == 1  # of the first; the second fills the queue
    for _ in range(5):
        assert len((await app.receive())["bytes"]) == 600
    consumed = [call[1] for call in talk.stream.calls if call[0] == "consumed"]
    assert sum(consumed) == 5 * 608
    app.returns()
    await talk.finish()


@in_loop
async def test_the_end_comes_after_all_messages_that_came_before_it() -> None:
    """Also those that were beyond the queue, and although the connection is lost meanwhile."""
    for how in ("close", "end", "lose"):
        app = Recorder()
        talk = OverTheWaist(app, options={"max_queue": 2})
        await talk.opened()
        talk.send(*(sent(TEXT, b"%d" % number) for number in range(9)), *[sent_close(4000)] * (how == "close"))
        if how != "close":
            getattr(talk, how)()
        await talk.finish()
        assert app.messages == [f"{number}" for number in range(9)]
        assert app.disconnect["code"] == (4000 if how == "close" else 1006)
