"""``Round``: who waits gets its turn, in order, and nobody more than there is in a round."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from pronghorn.asgi.round import FOR_LARGE, FOR_OTHERS, PER_ROUND, Round
from pronghorn.asgi.stream import Exchange
from pronghorn.wire.request import Request
from tests.asgi.doubles import in_loop, settle


class Worker(Exchange):
    """Spends ``small`` of the budget in a turn among others, and ``large`` on its own."""

    def __init__(self, round: Round, name: str, done: list[str], small: int = 0, large: int = 0) -> None:
        super().__init__(Request())
        self.error: Exception | None = None
        self._round = round
        self._name = name
        self._done = done
        self._small = small
        self._large = large

    def on_round(self) -> None:
        if self.error is not None:
            raise self.error
        self._round.left -= self._small
        self._done.append(self._name)

    def go_on(self, budget: int) -> bool:
        assert budget > 0
        spent = min(budget, self._large)
        self._large -= spent
        self._round.left -= spent
        self._done.append(f"{self._name}:{spent}")
        return self._large == 0


def make_round() -> Round:
    return Round(asyncio.get_running_loop(), contextvars.copy_context())


@in_loop
async def test_nothing_happens_unless_somebody_waits() -> None:
    round = make_round()
    round.left = -5
    await settle()
    assert round.left == -5


@in_loop
async def test_in_order_and_no_more_than_the_round_has() -> None:
    round, done = make_round(), []
    for name in "abcdef":
        round.wait(Worker(round, name, done, small=PER_ROUND // 5))
    assert done == []
    await settle(1)
    assert done == ["a", "b", "c"]
    assert round.left < FOR_LARGE
    await settle(1)
    assert done == ["a", "b", "c", "d", "e", "f"]


@in_loop
async def test_large_work_is_done_one_after_the_other_and_leaves_something_to_others() -> None:
    round, done = make_round(), []
    at_once = PER_ROUND - FOR_OTHERS
    round.wait_alone(Worker(round, "a", done, large=2 * at_once + 1))
    round.wait_alone(Worker(round, "b", done, large=1))
    for _ in range(3):
        round.wait(Worker(round, "small", done))
        await settle(1)
        assert round.left >= FOR_OTHERS
    assert [one for one in done if one != "small"] == [f"a:{at_once}", f"a:{at_once}", "a:1", "b:1"]
    assert done.count("small") == 3


@in_loop
async def test_who_waits_again_does_so_for_the_next_round() -> None:
    round, done = make_round(), []

    class Again(Worker):
        def on_round(self) -> None:
            super().on_round()
            round.wait(self)

    round.wait(Again(round, "again", done))
    round.wait(Worker(round, "once", done))
    for turn in range(1, 4):
        await settle(1)
        assert done == ["again", "once", *["again"] * (turn - 1)]


def test_a_defect_in_one_takes_no_turn_from_the_others() -> None:
    async def scenario() -> None:
        heard = []
        asyncio.get_running_loop().set_exception_handler(lambda _, details: heard.append(details["exception"]))
        round, done = make_round(), []
        bad = Worker(round, "bad", done)
        bad.error = KeyError("a defect")
        for worker in (bad, Worker(round, "good", done)):
            round.wait(worker)
        await settle()
        assert done == ["good"]
        assert heard == [bad.error]

    asyncio.run(scenario())


@in_loop
async def test_its_callbacks_run_in_the_context_of_nobody() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody's")
    round, done = make_round(), []

    class Looks(Worker):
        def on_round(self) -> None:
            done.append(variable.get())

    variable.set("the application's")
    round.wait(Looks(round, "", done))
    await settle()
    assert done == ["nobody's"]


def test_the_shares_fit_into_a_round() -> None:
    assert 0 < FOR_OTHERS < FOR_LARGE < PER_ROUND
    with pytest.raises(NotImplementedError):
        Exchange(Request()).on_round()
