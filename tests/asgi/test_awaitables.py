"""What ``send()`` returns is a coroutine in all that an application can do with one."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi import awaitables
from pronghorn.asgi.awaitables import DONE, Failed
from pronghorn.asgi.errors import ClientDisconnected, EventError
from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.stream import RecordingStream
from tests.asgi.apps import body, start
from tests.asgi.doubles import in_loop, make_context, settle
from tests.asgi.support import make_endpoint, make_request


class Oops(Exception):
    pass


KINDS: dict[str, Callable[[], Any]] = {
    "Done": lambda: DONE,
    "Failed": lambda: Failed(Oops()),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_it_passes_for_a_coroutine(kind: str) -> None:
    one = KINDS[kind]()
    assert asyncio.iscoroutine(one)
    assert inspect.isawaitable(one)
    assert isinstance(one, collections.abc.Coroutine)
    assert not asyncio.isfuture(one)


@in_loop
async def test_await() -> None:
    assert await DONE is None
    assert await DONE is None, "one instance serves all"
    with pytest.raises(Oops):
        await Failed(Oops())


@in_loop
async def test_create_task() -> None:
    assert await asyncio.create_task(DONE) is None
    assert await asyncio.ensure_future(DONE) is None
    with pytest.raises(Oops):
        await asyncio.create_task(Failed(Oops()))


@in_loop
async def test_gather_wait_for_and_shield() -> None:
    assert await asyncio.gather(DONE, DONE) == [None, None]
    (error,) = await asyncio.gather(Failed(Oops()), return_exceptions=True)
    assert isinstance(error, Oops)
    assert await asyncio.wait_for(DONE, 5) is None
    assert await asyncio.shield(DONE) is None


def test_by_hand() -> None:
    """``send`` and iteration, as a loop or another coroutine type drives it."""
    with pytest.raises(StopIteration) as stopped:
        DONE.send(None)
    assert stopped.value.value is None
    with pytest.raises(StopIteration):
        next(iter(DONE.__await__()))
    with pytest.raises(Oops):
        Failed(Oops()).send(None)
    with pytest.raises(Oops):
        next(iter(Failed(Oops()).__await__()))


@every_kind
def test_throw_before_the_first_step(kind: str) -> None:
    """In the form of today, and in the one with three arguments, which asyncio used before 3.12."""
    with pytest.raises(KeyError):
        KINDS[kind]().throw(KeyError("x"))
    with pytest.raises(KeyError):
        KINDS[kind]().throw(KeyError)
    with pytest.raises(KeyError, match="x"):
        KINDS[kind]().throw(KeyError, "x")
    with pytest.raises(KeyError, match="y"):
        KINDS[kind]().throw(KeyError, KeyError("y"), None)
    try:
        raise Oops
    except Oops as error:
        traceback = error.__traceback__
    with pytest.raises(KeyError) as thrown:
        KINDS[kind]().throw(KeyError, KeyError("z"), traceback)
    tracebacks = []
    one = thrown.value.__traceback__
    while one is not None:
        tracebacks.append(one)
        one = one.tb_next
    assert traceback in tracebacks


@every_kind
def test_close_before_the_first_step(kind: str) -> None:
    one = KINDS[kind]()
    assert one.close() is None
    assert one.close() is None


def test_the_classes_hold_no_more_than_they_need() -> None:
    for kind in (DONE, Failed(Oops())):
        with pytest.raises(AttributeError):
            kind.attribute = 1


# -- what an exchange returns ---------------------------------------------------------------------------------------


def open_exchange(**kwargs: Any) -> tuple[HttpExchange, RecordingStream]:
    """An exchange without an application: the test calls ``receive`` and ``send`` itself."""
    context = make_context(lambda *_: None)
    stream = RecordingStream()
    return HttpExchange(context, stream, make_request(**kwargs), make_endpoint(context)), stream


@in_loop
async def test_all_that_receive_and_send_return_is_a_coroutine() -> None:
    exchange, stream = open_exchange(body=b"abc")
    returned: list[Any] = [exchange.receive()]
    exchange.on_data(b"abc")
    returned.append(exchange.receive())
    returned.append(exchange.send(start()))
    returned.append(exchange.send({}))
    stream.is_blocked = True
    returned.append(exchange.send(body(b"", True)))
    exchange.on_disconnect(True)
    returned.append(exchange.send(start()))
    for one in returned:
        assert asyncio.iscoroutine(one)
        assert inspect.isawaitable(one)
    assert returned[2] is awaitables.DONE
    outcomes = await asyncio.gather(*returned, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [dict, dict, type(None), EventError] + [ClientDisconnected] * 2


@in_loop
async def test_receive_in_a_task_cancelled_before_it_ran_leaves_the_event() -> None:
    exchange, _ = open_exchange(body=b"abc")
    exchange.on_data(b"abc")
    exchange.on_end([])
    task = asyncio.create_task(exchange.receive())
    task.cancel()
    await settle()
    assert task.cancelled()
    assert await exchange.receive() == {"type": "http.request", "body": b"abc", "more_body": False}


@in_loop
async def test_receive_in_a_task_cancelled_while_it_waits_leaves_the_event() -> None:
    """As ``wait_for(receive(), timeout)`` does again and again."""
    exchange, _ = open_exchange(body=b"abc")
    task = asyncio.create_task(exchange.receive())
    await settle()
    task.cancel()
    exchange.on_data(b"abc")
    await settle()
    assert task.cancelled()
    assert (await exchange.receive())["body"] == b"abc"


@in_loop
async def test_receive_in_a_task_cancelled_when_it_was_just_woken_leaves_the_event() -> None:
    exchange, _ = open_exchange(body=b"abc")
    task = asyncio.create_task(exchange.receive())
    await settle()
    exchange.on_data(b"abc")
    task.cancel()
    await settle()
    assert task.cancelled()
    assert (await exchange.receive())["body"] == b"abc"


@in_loop
async def test_two_receivers_at_once() -> None:
    """Each event goes to one of them, and none is left behind."""
    exchange, _ = open_exchange(body=b"abc")
    tasks = [asyncio.create_task(exchange.receive()) for _ in range(2)]
    await settle()
    exchange.on_data(b"abc")
    await settle()
    assert sum(task.done() for task in tasks) == 1
    exchange.on_data(b"def")
    await settle()
    assert all(task.done() for task in tasks)
    assert {task.result()["body"] for task in tasks} == {b"abc", b"def"}


@in_loop
async def test_two_receivers_and_one_event_that_is_ready() -> None:
    exchange, _ = open_exchange(body=b"abc")
    exchange.on_data(b"abc")
    first, second = exchange.receive(), exchange.receive()
    task = asyncio.create_task(second)
    assert (await first)["body"] == b"abc"
    await settle()
    assert not task.done()
    exchange.on_end([])
    assert await task == {"type": "http.request", "body": b"", "more_body": False}


@in_loop
async def test_all_waiting_receivers_hear_of_the_disconnect() -> None:
    exchange, _ = open_exchange(body=b"abc")
    tasks = [asyncio.create_task(exchange.receive()) for _ in range(3)]
    await settle()
    exchange.on_disconnect(True)
    assert await asyncio.gather(*tasks) == [{"type": "http.disconnect"}] * 3


@in_loop
async def test_send_need_not_be_awaited_at_once() -> None:
    exchange, stream = open_exchange()
    sending = [exchange.send(start()), exchange.send(body(b"a", True)), exchange.send(body(b"b"))]
    assert stream.content == b"ab"
    assert stream.complete
    for one in reversed(sending):
        await one
