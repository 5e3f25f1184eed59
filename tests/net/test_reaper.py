"""``net/reaper``: one timer for all deadlines. Time is an argument of ``sweep``."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from pronghorn.net.reaper import DRAIN_INTERVAL, INTERVAL, Reaper
from tests.asgi.doubles import Timers, in_loop, make_context, settle


class Fake:
    """A connection that notes when its deadline passed."""

    def __init__(self, deadline: float = 0.0) -> None:
        self.deadline = deadline
        self.late: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.deadline = 0.0
        self.late.append(now)


def new_reaper() -> tuple[Reaper, Any]:
    context = make_context(lambda *_: None)
    return Reaper(asyncio.get_running_loop(), context), context


@in_loop
async def test_sweep_tells_those_that_are_late() -> None:
    reaper, _ = new_reaper()
    early, exact, late, never = Fake(5.1), Fake(5.0), Fake(1.0), Fake(0.0)
    for one in (early, exact, late, never):
        reaper.add(one)
    reaper.sweep(5.0)
    assert (early.late, exact.late, late.late, never.late) == ([], [5.0], [5.0], [])
    reaper.sweep(6.0)
    assert (early.late, exact.late) == ([6.0], [5.0])


@in_loop
async def test_sweep_sets_the_clock() -> None:
    reaper, context = new_reaper()
    reaper.sweep(1234.5)
    assert context.clock == 1234.5


@in_loop
async def test_many_that_are_late_leave_turns_to_others() -> None:
    """What the loop has to do besides comes in between: no request waits until a flood has been answered."""
    reaper, _ = new_reaper()
    flood = [Fake(1.0) for _ in range(1000)]
    for one in flood:
        reaper.add(one)
    told = [0]

    def look() -> None:
        told.append(sum(len(one.late) for one in flood))
        if told[-1] < len(flood):
            asyncio.get_running_loop().call_soon(look)

    reaper.sweep(2.0)
    look()
    while told[-1] < len(flood):
        await asyncio.sleep(0)
    assert max(after - before for before, after in itertools.pairwise(told)) <= 10
    assert all(one.late == [2.0] for one in flood)


@in_loop
async def test_one_that_moves_on_before_its_turn_is_not_told() -> None:
    reaper, _ = new_reaper()
    flood = [Fake(1.0) for _ in range(100)]
    for one in flood:
        reaper.add(one)
    reaper.sweep(2.0)
    moved = [one for one in flood if not one.late]
    assert moved
    for one in moved:
        one.deadline = 3.0
    await settle()
    assert not any(one.late for one in moved)
    reaper.sweep(4.0)
    reaper.stop()
    await settle()
    assert any(not one.late for one in moved), "stopped amid a sweep"


@in_loop
async def test_a_connection_that_is_gone_is_not_told() -> None:
    reaper, _ = new_reaper()
    one = Fake(1.0)
    reaper.add(one)
    reaper.discard(one)
    reaper.sweep(2.0)
    assert one.late == []
    reaper.discard(one)


@in_loop
async def test_the_set_may_change_while_it_is_swept() -> None:
    reaper, _ = new_reaper()

    class Leaves(Fake):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            reaper.discard(self)
            reaper.add(Fake(0.5))

    leaving = [Leaves(1.0) for _ in range(10)]
    for one in leaving:
        reaper.add(one)
    reaper.sweep(2.0)
    await settle()
    assert all(one.late == [2.0] for one in leaving)
    assert len(reaper.connections) == 10


@in_loop
async def test_one_that_fails_does_not_keep_the_others_from_being_told() -> None:
    """A defect in one connection, or in the site's logger, must not switch all timeouts of the worker off."""

    class Fails(Fake):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            raise RuntimeError("a defect")

    reaper, context = new_reaper()
    timers = Timers()
    reaper.start()
    connections = [Fails(0.1) for _ in range(3)] + [Fake(0.1) for _ in range(3)]
    for one in connections:
        reaper.add(one)
    try:
        timers.fire()
    except RuntimeError:
        timers.fire()
    assert all(one.late for one in connections)
    assert timers.pending, "and the next sweep comes"
    assert len(context.log.errors) == 3


# -- the timer ------------------------------------------------------------------------------------------------------


@in_loop
async def test_start_and_stop() -> None:
    reaper, context = new_reaper()
    timers = Timers()
    context.clock = 0.0
    reaper.start()
    assert context.clock > 0.0
    assert context.margin == INTERVAL, "no deadline is met early"
    assert timers.delays == [INTERVAL]
    timers.fire()
    assert timers.delays == [INTERVAL]
    reaper.stop()
    reaper.stop()
    assert timers.pending == []


@in_loop
async def test_each_tick_sweeps() -> None:
    reaper, _ = new_reaper()
    timers = Timers()
    reaper.start()
    one = Fake(0.1)
    reaper.add(one)
    timers.fire()
    assert len(one.late) == 1


@in_loop
async def test_hurry_sweeps_at_once_and_more_often() -> None:
    reaper, context = new_reaper()
    timers = Timers()
    reaper.start()
    one = Fake(0.1)
    reaper.add(one)
    reaper.hurry()
    assert len(one.late) == 1
    assert timers.delays == [DRAIN_INTERVAL]
    assert context.margin <= DRAIN_INTERVAL


# -- who watches ----------------------------------------------------------------------------------------------------


@in_loop
async def test_on_change_hears_of_each_that_leaves() -> None:
    reaper, _ = new_reaper()
    counts: list[int] = []
    reaper.on_change = lambda: counts.append(len(reaper.connections))
    first, second = Fake(), Fake()
    reaper.add(first)
    reaper.add(second)
    assert counts == []
    reaper.discard(first)
    reaper.discard(second)
    assert counts == [1, 0]


@pytest.mark.parametrize("count", [0, 1, 3])
@in_loop
async def test_wait_until_empty(count: int) -> None:
    reaper, _ = new_reaper()
    connections = [Fake() for _ in range(count)]
    for one in connections:
        reaper.add(one)
    waiting = asyncio.ensure_future(reaper.wait_until_empty())
    await settle()
    for one in connections:
        assert not waiting.done()
        reaper.discard(one)
        await settle()
    assert waiting.done()


@in_loop
async def test_wait_until_empty_looks_again() -> None:
    """One left and another came, in one turn of the loop."""
    reaper, _ = new_reaper()
    first, second = Fake(), Fake()
    reaper.add(first)
    waiting = asyncio.ensure_future(reaper.wait_until_empty())
    await settle()
    reaper.discard(first)
    reaper.add(second)
    await settle()
    assert not waiting.done()
    reaper.discard(second)
    await settle()
    assert waiting.done()


@in_loop
async def test_a_wait_that_was_cancelled_disturbs_nobody() -> None:
    reaper, _ = new_reaper()
    one = Fake()
    reaper.add(one)
    waiting = asyncio.ensure_future(reaper.wait_until_empty())
    await settle()
    waiting.cancel()
    await settle()
    reaper.discard(one)
    assert reaper.connections == set()


@in_loop
async def test_time_in_which_the_loop_stood_still_is_not_the_peers() -> None:
    """A worker that gets no processor, or is blocked, would else close connections whose peers had no chance."""
    reaper, _ = new_reaper()
    loop = asyncio.get_running_loop()
    reaper.start()
    one, never = Fake(loop.time() - 0.5), Fake()
    reaper.add(one)
    reaper.add(never)
    reaper._due = loop.time() - 1.0
    reaper._tick()
    assert one.late == []
    assert one.deadline >= loop.time() + 0.4
    assert never.deadline == 0.0
    one.deadline = loop.time() - 0.5
    reaper._due = loop.time() - INTERVAL / 2
    reaper._tick()
    assert len(one.late) == 1, "a little late is no excuse"
    reaper.stop()
