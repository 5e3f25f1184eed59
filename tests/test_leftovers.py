"""Ends of what an application leaves behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pronghorn.leftovers import end_tasks
from tests.support.wait import wait_until

LONG = 30.0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def executor(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    executor = ThreadPoolExecutor()
    loop.set_default_executor(executor)
    return executor


def test_tasks_are_cancelled_and_heard(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    happened = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            happened.append("cleaned up")

    loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    end_tasks(loop, executor, 10)
    assert happened == ["cleaned up"]


def test_generators_are_closed(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    happened = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            happened.append("closed")

    generator = numbers()

    async def begin() -> None:
        await generator.__anext__()

    loop.run_until_complete(begin())
    end_tasks(loop, executor, 10)
    assert happened == ["closed"]


def test_work_in_threads_is_finished(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    go = threading.Event()
    work = loop.run_in_executor(None, go.wait, LONG)
    loop.call_later(0.05, go.set)
    end_tasks(loop, executor, LONG)
    assert work.done()


def test_what_does_not_end_is_left(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    go = threading.Event()

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    task = loop.create_task(stubborn())
    loop.run_in_executor(None, go.wait, LONG)
    loop.run_until_complete(asyncio.sleep(0))
    beats = []
    loop.call_later(0.05, beats.append, 1)
    began = time.monotonic()
    end_tasks(loop, executor, 0.2)
    assert time.monotonic() - began < LONG / 2
    assert beats, "the loop turns meanwhile"
    go.set()
    loop.run_until_complete(task)
    wait_until(lambda: not any("executor's end" in one.name for one in threading.enumerate()), message="its thread")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG, check=False)


LAST_RESORT = """
import atexit, logging, threading, time
from concurrent.futures import ThreadPoolExecutor
from pronghorn.leftovers import leave_threads
logging.basicConfig()
atexit.register(print, "atexit", flush=True)
if {pool}:
    ThreadPoolExecutor(thread_name_prefix="stuck").submit(time.sleep, {seconds})
else:
    threading.Thread(target=time.sleep, args=({seconds},), name="stuck").start()
leave_threads(logging.getLogger(), {patience}, 7)
print("hooks", flush=True)
"""


@pytest.mark.parametrize("pool", [False, True])
def test_a_thread_that_never_ends_does_not_keep_the_process(pool: bool) -> None:
    ended = run(LAST_RESORT.format(seconds=300, patience=0.1, pool=pool))
    assert ended.returncode == 7
    assert ended.stdout == "hooks\n"
    assert "do not end: stuck" in ended.stderr


@pytest.mark.parametrize("pool", [False, True])
def test_a_thread_that_ends_in_time_is_waited_for(pool: bool) -> None:
    ended = run(LAST_RESORT.format(seconds=0.2, patience=20, pool=pool))
    assert ended.returncode == 0
    assert ended.stdout == "hooks\natexit\n"
    assert ended.stderr == ""
