"""``crowding``: room is made of what is idle; else the log says that there is none, and when it is over."""

from __future__ import annotations

import asyncio
from typing import Any

from pronghorn.crowding import CALM, OTHERS, Crowding
from tests.asgi.doubles import RecordingLog, in_loop

START = 1000.0


class House:
    """A worker of ten connections whose figures the test makes up."""

    def __init__(self) -> None:
        self.load = 10
        self.waiting = 0
        self.idle = 0
        self.others = False
        self.asked: list[int] = []
        self.log = RecordingLog()
        self.crowding = Crowding(
            asyncio.get_running_loop(),
            self.log,
            10,
            load=lambda: self.load,
            waiting=lambda: self.waiting,
            give_up=self.give_up,
            others_have_room=lambda: self.others,
        )

    def give_up(self, most: int) -> int:
        self.asked.append(most)
        given = min(most, self.idle)
        self.idle -= given
        return given

    def look(self, after: float) -> bool:
        return self.crowding.look(START + after)


@in_loop
async def test_nobody_waits() -> None:
    house = House()
    assert house.look(0)
    house.load = 9
    assert not house.look(1)
    assert (house.asked, house.log.entries) == ([], [])


@in_loop
async def test_idle_connections_are_given_up_a_few_at_a_time_and_nothing_is_said() -> None:
    house = House()
    house.waiting, house.idle = 100, 3
    for number in range(3):
        assert house.look(number)
    assert house.asked == [1, 1, 1]
    assert house.log.entries == []


@in_loop
async def test_an_episode_is_two_lines() -> None:
    house = House()
    house.waiting = 17
    for number in range(100):
        assert house.look(number)
    assert house.log.of("warning") == [
        "Worker is full: 10 connections open (worker_connections=10), none of them idle, and at least 17 waiting; "
        "raise worker_connections, or the number of workers"
    ]
    house.idle = 5
    house.look(100)
    house.waiting = 0
    house.load = 8
    assert house.look(100.1)
    assert house.log.of("info") == []
    assert not house.look(100 + CALM)
    assert house.log.of("info") == [
        "Worker is no longer full, after 100.0 s; idle connections that were given up meanwhile: 1"
    ]
    house.waiting, house.load, house.idle = 1, 10, 0
    house.look(200)
    assert len(house.log.of("warning")) == 2


@in_loop
async def test_full_and_not_full_in_turns_is_one_episode() -> None:
    house = House()
    for number in range(50):
        house.waiting, house.load = (1, 10) if number % 2 else (0, 9)
        house.look(number * CALM / 4)
    assert len(house.log.entries) == 1


@in_loop
async def test_other_workers_come_first_but_not_for_ever() -> None:
    house = House()
    house.others, house.waiting, house.idle = True, 1, 1
    house.look(0)
    house.look(OTHERS - 0.1)
    assert house.asked == []
    house.look(OTHERS)
    assert house.asked == [1]
    house.waiting = 0
    house.look(OTHERS + 1)
    house.waiting = 1
    house.look(OTHERS + 2)
    assert house.asked == [1], "the time counts anew"


@in_loop
async def test_it_looks_while_it_is_full_and_until_it_is_stopped() -> None:
    house = House()
    house.waiting = house.idle = 1
    house.crowding.watch()
    house.crowding.watch()
    while not house.asked:
        await asyncio.sleep(0.01)
    house.crowding.stop()
    house.waiting = house.idle = 5
    before: Any = list(house.asked)
    await asyncio.sleep(0.2)
    assert house.asked == before
