"""``asgi/context``: what a worker's requests share, and how it starts applications."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pronghorn.asgi.context import Context
from tests.asgi.doubles import EAGER_POSSIBLE, RecordingLog, in_loop


def new_context() -> Context:
    return Context(lambda *_: None, asyncio.get_running_loop(), RecordingLog())


@in_loop
async def test_defaults_are_safe() -> None:
    """Nobody trusted, nothing unlimited in time, no application's state."""
    context = new_context()
    assert context.state is None
    assert context.root_path == ""
    assert not context.is_trusted(("127.0.0.1", 1))
    assert not context.is_trusted(None)
    assert context.header_timeout > 0
    assert context.body_timeout > 0
    assert context.write_timeout > 0
    assert context.high_water > 0
    assert context.observer is None
    assert context.pre_request is None
    assert not context.draining
    assert context.tasks == {}


@in_loop
async def test_contexts_share_nothing() -> None:
    first, second = new_context(), new_context()
    for name in ("tasks", "defaults", "templates"):
        assert getattr(first, name) is not getattr(second, name)


@in_loop
async def test_the_default_fields_of_responses() -> None:
    context = new_context()
    kept = context.defaults
    context.set_defaults(b"date: now\r\n", b"server: us\r\n")
    assert context.defaults == [b"date: now\r\n", b"server: us\r\n", b"date: now\r\nserver: us\r\n"]
    assert context.defaults is kept, "whoever holds it sees the change"


# -- max_requests ---------------------------------------------------------------------------------------------------


@in_loop
async def test_requests_are_counted_and_the_limit_is_told() -> None:
    context = new_context()
    told: list[int] = []
    context.max_requests = 3
    context.on_limit = lambda: told.append(context.requests)
    for _ in range(2):
        context.count_request()
    assert told == []
    context.count_request()
    assert told == [3]
    assert context.requests == 3


@in_loop
async def test_while_draining_the_limit_is_not_told_again() -> None:
    context = new_context()
    told: list[int] = []
    context.max_requests = 1
    context.on_limit = lambda: told.append(context.requests)
    context.count_request()
    context.draining = True
    context.count_request()
    assert told == [1]
    assert context.requests == 2


@in_loop
async def test_no_limit_by_default() -> None:
    context = new_context()
    for _ in range(1000):
        context.count_request()
    assert context.requests == 1000


# -- starting applications ------------------------------------------------------------------------------------------


async def steps_before_the_next_turn(context: Context) -> tuple[list[str], asyncio.Task[Any]]:
    steps: list[str] = []

    async def app() -> None:
        steps.append("began")
        await asyncio.sleep(0)

    task = context.create_task(app())
    return [*steps], task


@in_loop
async def test_create_task_is_asyncios() -> None:
    context = new_context()
    context.start_eagerly(False)
    assert context.eager is False
    steps, task = await steps_before_the_next_turn(context)
    assert type(task) is asyncio.Task
    assert task.get_loop() is asyncio.get_running_loop()
    assert steps == []
    await task


@in_loop
async def test_eager_where_python_can() -> None:
    context = new_context()
    context.start_eagerly(True)
    assert context.eager is EAGER_POSSIBLE
    assert (sys.version_info >= (3, 12)) is EAGER_POSSIBLE


@in_loop
async def test_a_task_factory_of_the_applications_own_is_kept() -> None:
    """As debuggers and tracers install; it is theirs to say how tasks start."""
    made: list[Any] = []

    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    asyncio.get_running_loop().set_task_factory(factory)
    context = new_context()
    context.start_eagerly(True)
    assert context.eager is False
    _, task = await steps_before_the_next_turn(context)
    await task
    assert len(made) == 1


@in_loop
async def test_off_after_on() -> None:
    context = new_context()
    context.start_eagerly(True)
    context.start_eagerly(False)
    assert context.eager is False
