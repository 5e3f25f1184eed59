"""What is done to the servers while clients keep them busy. Each scenario says which losses are allowed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from client import Load, Tally
from fronts import Front
from server import Server

_WAIT = 40.0


@dataclass(frozen=True)
class Size:
    """How long and how often: ``FULL`` is what is reported, ``SHORT`` what a test can afford."""

    seconds: float
    times: int
    kept: int
    fresh: int


FULL = Size(60.0, 10, 64, 8)
SHORT = Size(6.0, 2, 16, 3)


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    settings: dict[str, object]
    disturb: Callable[[Server, Load, Size], Awaitable[None]]
    workers: int = 2
    #: Losses that nobody can prevent: a killed process takes its requests with it.
    forgives: bool = False
    #: The clients go on to the end, or stop at the announced end of their connections.
    ends: bool = False


async def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_WAIT:.0f} s: {what}")
        await asyncio.sleep(0.1)


async def _recycle(server: Server, load: Load, size: Size) -> None:
    await asyncio.sleep(size.seconds)


async def _hups(server: Server, load: Load, size: Size) -> None:
    for _ in range(size.times):
        before = set(server.children())
        server.signal(signal.SIGHUP)
        await _wait(lambda before=before: _renewed(server, before), "new workers only")
        await asyncio.sleep(size.seconds / size.times / 2)


def _renewed(server: Server, before: set[int]) -> bool:
    return before.isdisjoint(server.children()) and len(server.serving()) >= server.workers


async def _more_and_fewer(server: Server, load: Load, size: Size) -> None:
    for _ in range(size.times):
        for number, count in ((signal.SIGTTIN, server.workers + 1), (signal.SIGTTOU, server.workers)):
            server.signal(number)
            await _wait(lambda count=count: len(server.serving()) == len(server.children()) == count, "workers")
            await asyncio.sleep(size.seconds / size.times / 4)


async def _kill(server: Server, load: Load, size: Size) -> None:
    for _ in range(size.times):
        server.kill(random.choice(server.serving()))
        await asyncio.sleep(0.2)
        await _wait(lambda: len(server.serving()) == server.workers, "workers")
        await asyncio.sleep(size.seconds / size.times / 4)


async def _upgrade(server: Server, load: Load, size: Size) -> None:
    """USR2, then TERM to the old master when the new one serves."""
    for _ in range(max(size.times // 3, 1)):
        old = server.master
        os.kill(old, signal.SIGUSR2)
        await _wait(lambda old=old: len(server.serving_of(server.successor_of(old))) == server.workers, "upgrade")
        new = server.successor_of(old)
        os.kill(old, signal.SIGTERM)
        await _wait(lambda old=old: not server.is_running(old), "the end of the old master")
        await _wait(lambda new=new: server.master == new, "the new master's pid file")
        await asyncio.sleep(size.seconds / size.times)


async def _stop(server: Server, load: Load, size: Size) -> None:
    await asyncio.sleep(min(size.seconds / 4, 5.0))
    load.leave()
    server.signal(signal.SIGTERM)
    server.wait_exit_code = await asyncio.get_running_loop().run_in_executor(None, server.wait_exit)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "max-requests",
            "max_requests 300 ± 100: workers end all the time",
            {"max_requests": 300, "max_requests_jitter": 100},
            _recycle,
        ),
        Scenario(
            "all-recycle",
            "max_requests 300 for each of 3 workers, which begin together, and 0.5 s of start-up",
            {"max_requests": 300, "raw_env": ["BOOT_SECONDS=0.5"]},
            _recycle,
            workers=3,
        ),
        Scenario("hup", "HUP, time and again", {}, _hups),
        Scenario("slow-hup", "HUP; the new workers take a second to start", {"raw_env": ["BOOT_SECONDS=1"]}, _hups),
        Scenario("ttin-ttou", "one worker more, one worker fewer", {}, _more_and_fewer),
        Scenario("kill", "kill -9 of a worker, time and again", {}, _kill, forgives=True),
        Scenario("usr2", "upgrade of the master, old one ended by TERM", {}, _upgrade),
        Scenario("term", "TERM; clients stop at the announced end", {}, _stop, ends=True),
    )
}


async def run(scenario: Scenario, worker_class: str, size: Size, front: Front | None) -> dict[str, object]:
    """One scenario from start to end; a row of the report."""
    with Server(worker_class, scenario.workers, **scenario.settings) as server:
        address = server.address if front is None else front.start(server.address)
        try:
            load = Load(address, size.kept, size.fresh)
            began = time.monotonic()
            note = ""
            try:
                await scenario.disturb(server, load, size)
            except TimeoutError as error:
                note = str(error)
            tally: Tally = await (load.ended() if scenario.ends and not note else load.stop())
            seconds = time.monotonic() - began
        finally:
            if front is not None:
                front.stop()
        row = {"scenario": scenario.name, "worker": worker_class, "front": front.name if front else "–",
               "seconds": round(seconds, 1), **tally.as_dict(), "note": note}  # fmt: skip
        killed = {"", *map(str, server.killed)}
        elsewhere = sum(count for pid, count in tally.lost_on.items() if pid not in killed)
        if front is None and server.killed:
            row["note"] = f"{elsewhere} of them on workers that were not killed"
        if front is not None and (failures := front.failures()) is not None:
            row["note"] = f"{failures} failures of workers in its log"
        forgiven = scenario.forgives and (front is not None or not elsewhere)
        row["passed"] = not note and (forgiven or not tally.lost) and not tally.refused
        return row
