"""``asgi/receive``: an event is taken by whoever gets it, and by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pronghorn.asgi.receive import receive
from tests.asgi.doubles import in_loop, settle


class Fake:
    """A source with ``events``, and ``last`` behind them."""

    def __init__(self, *events: str, last: str | None = None) -> None:
        self.events = [*events]
        self.last = last
        self.patience = 1
        self.waiters: list[asyncio.Future[None]] = []
        self.forgotten: list[asyncio.Future[None]] = []

    def put(self, event: str) -> None:
        self.events.append(event)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def take(self) -> str | None:
        return self.events.pop(0) if self.events else None

    def last_event(self) -> str | None:
        return self.last

    def ends_at_once(self) -> bool:
        self.patience -= 1
        return self.patience >= 0

    def wait(self) -> asyncio.Future[None]:
        self.waiters.append(asyncio.get_running_loop().create_future())
        return self.waiters[-1]

    def forget(self, waiter: asyncio.Future[None]) -> None:
        self.forgotten.append(waiter)


def receive_from(source: Fake) -> Any:
    return receive(source)  # type: ignore[arg-type]


@in_loop
async def test_an_event_that_is_there_needs_no_turn_of_the_loop() -> None:
    with pytest.raises(StopIteration) as stopped:
        receive_from(Fake("event")).send(None)
    assert stopped.value.value == "event"


def test_a_receive_that_is_thrown_away_takes_nothing() -> None:
    source = Fake("event")
    receive_from(source).close()
    with pytest.raises(KeyError):
        receive_from(source).throw(KeyError())
    assert source.events == ["event"]


@in_loop
async def test_a_receive_cancelled_before_its_first_step_takes_nothing() -> None:
    source = Fake("event")
    task = asyncio.create_task(receive_from(source))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.events == ["event"]


@in_loop
async def test_a_receive_cancelled_in_the_turn_of_its_event_takes_nothing() -> None:
    source = Fake()
    task = asyncio.create_task(receive_from(source))
    await settle()
    source.put("event")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.events == ["event"]
    assert source.forgotten == source.waiters


@in_loop
async def test_a_receive_waits_on_where_another_took_its_event() -> None:
    source = Fake()
    tasks = [asyncio.create_task(receive_from(source)) for _ in range(2)]
    await settle()
    source.put("first")
    await settle()
    assert [task.done() for task in tasks] == [True, False]
    source.put("second")
    assert [await task for task in tasks] == ["first", "second"]


@in_loop
async def test_events_come_before_the_end() -> None:
    source = Fake("event", last="end")
    assert [await receive_from(source) for _ in range(2)] == ["event", "end"]


@in_loop
async def test_the_end_is_told_at_once_and_then_with_a_turn_of_the_loop() -> None:
    source = Fake(last="end")
    source.patience = 3
    for _ in range(3):
        with pytest.raises(StopIteration):
            receive_from(source).send(None)
    one = receive_from(source)
    assert one.send(None) is None, "what asyncio.sleep(0) waits for"
    with pytest.raises(StopIteration) as stopped:
        one.send(None)
    assert stopped.value.value == "end"
