"""``net/turn``: what connections do at the end of a round of reads. Protocols on it: ``test_http1_turns.py``."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

import pytest

from pronghorn.net.turn import BLOCKED, MOST_HELD, WARY, Turn, TurnTaker
from tests.asgi.doubles import RecordingLog, in_loop, make_context, settle


class Taker(TurnTaker):
    """Notes its turns in ``taken`` and their ends in ``ended``; does ``then`` in each, and ``at_end`` at its end."""

    def __init__(
        self,
        name: str,
        taken: list[str],
        then: Callable[[], object] = lambda: None,
        *,
        ended: list[str] | None = None,
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.taken = taken
        self.then = then
        self.ended: list[str] = [] if ended is None else ended
        self.at_end = at_end
        self.aborted = False

    def take_turn(self) -> None:
        self.taken.append(self.name)
        self.then()

    def end_turn(self) -> None:
        self.ended.append(self.name)
        self.at_end()

    def abort(self) -> None:
        self.aborted = True


def new_turn() -> tuple[Turn, RecordingLog]:
    context = make_context(lambda *_: None)
    return Turn(context), context.log


def fail(error: BaseException) -> None:
    raise error


@in_loop
async def test_all_take_theirs_in_one_turn_in_the_order_of_asking() -> None:
    turn, _ = new_turn()
    taken: list[str] = []
    for name in "abc":
        turn.add(Taker(name, taken))
    assert taken == [], "not within the read"
    await asyncio.sleep(0)
    assert taken == ["a", "b", "c"]
    await settle()
    assert taken == ["a", "b", "c"], "once"


@in_loop
async def test_turns_end_when_all_have_taken_theirs() -> None:
    """At their ends connections write: the writes follow each other."""
    turn, _ = new_turn()
    happened: list[str] = []
    for name in "abc":
        turn.add(Taker(name, happened, ended=happened))
    await asyncio.sleep(0)
    assert happened == ["a", "b", "c"] * 2


@in_loop
async def test_no_end_waits_longer_than_for_the_application_that_runs() -> None:
    """An answer is not held back by many slow applications, but by one."""
    now = [0.0]

    def pass_time(seconds: float) -> Callable[[], None]:
        return lambda: now.__setitem__(0, now[0] + seconds)

    turn = Turn(make_context(lambda *_: None), lambda: now[0])
    happened: list[str] = []
    for name, seconds in (("a", 0.8), ("b", 0.8), ("c", 5.0), ("d", 0.1), ("e", 0.1)):
        turn.add(Taker(name, happened, pass_time(seconds * MOST_HELD), ended=happened))
    await asyncio.sleep(0)
    assert happened == ["a", "b", "a", "b", "c", "c", "d", "e", "d", "e"]


@in_loop
async def test_after_an_application_that_blocked_no_end_waits_for_another() -> None:
    """It may block again, for seconds: the answers that are there would wait, or be lost with the worker."""
    now = [0.0]
    turn = Turn(make_context(lambda *_: None), lambda: now[0])
    happened: list[str] = []

    async def take(*seconds: float) -> list[str]:
        happened.clear()
        for name, one in zip("abc", seconds, strict=False):
            turn.add(Taker(name, happened, lambda one=one: now.__setitem__(0, now[0] + one), ended=happened))
        await asyncio.sleep(0)
        return happened

    assert await take(0, 0) == ["a", "b", "a", "b"]
    assert await take(0, 2 * BLOCKED, 0) == ["a", "b", "a", "b"], "who is left takes a turn of the loop to itself"
    await asyncio.sleep(0)
    assert happened == ["a", "b", "a", "b", "c", "c"]
    assert await take(0, 0, 0) == ["a", "a", "b", "b", "c", "c"]
    assert await take(0) == ["a", "a"]
    now[0] += WARY - 1
    assert await take(0, 0) == ["a", "a", "b", "b"]
    now[0] += 1
    assert await take(0, 0) == ["a", "b", "a", "b"]
    assert await take(0, 2 * BLOCKED) == ["a", "b", "a", "b"], "the last of a turn tells as well"
    assert await take(0, 0) == ["a", "a", "b", "b"]


@in_loop
async def test_a_defect_at_an_end_closes_one_connection_only() -> None:
    turn, log = new_turn()
    ended: list[str] = []
    bad = Taker("bad", [], ended=ended, at_end=lambda: fail(RuntimeError("a defect")))
    good = Taker("good", [], ended=ended)
    turn.add(bad)
    turn.add(good)
    await asyncio.sleep(0)
    assert ended == ["bad", "good"]
    assert (bad.aborted, good.aborted) == (True, False)
    assert len(log.entries) == 1


@in_loop
async def test_who_asks_within_a_turn_takes_the_next() -> None:
    """So nobody can keep the others from the loop."""
    turn, _ = new_turn()
    taken: list[str] = []
    again = Taker("again", taken)
    turn.add(Taker("first", taken, lambda: turn.add(again)))
    turn.add(Taker("second", taken))
    await asyncio.sleep(0)
    assert taken == ["first", "second"]
    await asyncio.sleep(0)
    assert taken == ["first", "second", "again"]


@in_loop
async def test_a_defect_closes_one_connection_and_takes_no_turn_from_the_others() -> None:
    turn, log = new_turn()
    taken: list[str] = []
    bad = Taker("bad", taken, lambda: fail(RuntimeError("a defect")))
    good = Taker("good", taken)
    turn.add(bad)
    turn.add(good)
    await asyncio.sleep(0)
    assert taken == ["bad", "good"]
    assert (bad.aborted, good.aborted) == (True, False)
    assert len(log.entries) == 1
    assert isinstance(log.entries[0][2], RuntimeError)


@pytest.mark.parametrize("order", [SystemExit, KeyboardInterrupt])
@in_loop
async def test_an_order_to_exit_leaves_the_others_a_turn(order: type[BaseException]) -> None:
    turn, log = new_turn()
    taken: list[str] = []
    ended: list[str] = []
    turn.add(Taker("first", taken, ended=ended))
    turn.add(Taker("leaves", taken, lambda: fail(order()), ended=ended))
    turn.add(Taker("stays", taken, ended=ended))
    with pytest.raises(order):
        turn.run()
    assert taken == ended == ["first", "leaves"]
    await settle()
    assert taken == ended == ["first", "leaves", "stays"]
    assert log.entries == []


@in_loop
async def test_turns_are_taken_in_the_context_of_the_worker() -> None:
    """Not in that of an application whose ``receive()`` made room for more."""
    turn, _ = new_turn()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="the worker's")
    seen: list[str] = []
    taker = Taker("a", [], lambda: seen.append(variable.get()))
    variable.set("an application's")
    turn.add(taker)
    await asyncio.sleep(0)
    assert seen == ["the worker's"]
