"""``lifespan.py``: modes, outcomes and what an application may do out of turn. The rules of ASGI are in tests/asgi."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from pronghorn.lifespan import Lifespan, LifespanFailed
from tests.asgi.doubles import RecordingLog, in_loop, settle

MODES = ["auto", "on"]


def make(app: Any, mode: str = "auto") -> tuple[Lifespan, RecordingLog]:
    log = RecordingLog()
    return Lifespan(app, mode, log), log


async def whole(scope: Any, receive: Any, send: Any) -> None:
    """An application that does all as it should."""
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["a"] = 1
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    await send({"type": "lifespan.shutdown.complete"})


async def without(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError(scope["type"])


async def indifferent(scope: Any, receive: Any, send: Any) -> None:
    """Returns at once."""


@pytest.mark.parametrize("mode", MODES)
@in_loop
async def test_startup_and_shutdown(mode: str) -> None:
    lifespan, log = make(whole, mode)
    assert lifespan.state is None
    await lifespan.startup()
    assert lifespan.state == {"a": 1}
    await lifespan.shutdown()
    await lifespan.cancel()
    assert log.entries == []


@in_loop
async def test_off_calls_nothing() -> None:
    called: list[Any] = []
    lifespan, _ = make(lambda *args: called.append(args), "off")
    await lifespan.startup()
    await lifespan.shutdown()
    await lifespan.cancel()
    assert called == []
    assert lifespan.state is None


@pytest.mark.parametrize("app", [without, indifferent])
@in_loop
async def test_auto_serves_an_application_without(app: Any) -> None:
    lifespan, log = make(app)
    await lifespan.startup()
    assert lifespan.state is None
    await lifespan.shutdown()
    assert log.of("info", "warning", "error") == []


@pytest.mark.parametrize(("app", "said"), [(without, "NotImplementedError: lifespan"), (indifferent, "ignores")])
@in_loop
async def test_on_refuses_an_application_without(app: Any, said: str) -> None:
    lifespan, _ = make(app, "on")
    with pytest.raises(LifespanFailed, match=said):
        await lifespan.startup()


@pytest.mark.parametrize("mode", MODES)
@in_loop
async def test_an_exception_after_it_asked_is_logged_with_its_traceback(mode: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise KeyError("DATABASE_URL")

    lifespan, log = make(app, mode)
    if mode == "on":
        with pytest.raises(LifespanFailed, match="KeyError: 'DATABASE_URL'"):
            await lifespan.startup()
    else:
        await lifespan.startup()
        assert lifespan.state is None
    assert [type(error) for error in log.raised] == [KeyError]
    assert len(log.errors) == 1


@pytest.mark.parametrize("mode", MODES)
@in_loop
async def test_a_callable_that_is_no_application(mode: str) -> None:
    """As a WSGI application given by mistake."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    lifespan, _ = make(app, mode)
    if mode == "on":
        with pytest.raises(LifespanFailed, match="TypeError"):
            await lifespan.startup()
    else:
        await lifespan.startup()


@pytest.mark.parametrize("mode", MODES)
@in_loop
async def test_startup_failed_and_then_an_exception(mode: str) -> None:
    """Starlette says it failed, and raises as well."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            raise RuntimeError("no database")
        except RuntimeError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise

    lifespan, _ = make(app, mode)
    with pytest.raises(LifespanFailed, match="no database"):
        await lifespan.startup()
    await settle()
    await lifespan.cancel()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("message", ["", "no database", "traceback"])
@pytest.mark.parametrize("when", ["startup", "shutdown"])
@in_loop
async def test_a_failure_has_one_traceback(when: str, message: str, mode: str) -> None:
    """Starlette sends the traceback as its message, and raises as well."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if when == "shutdown":
            await send({"type": "lifespan.startup.complete"})
            await receive()
        try:
            raise RuntimeError("no database")
        except RuntimeError:
            text = traceback.format_exc() if message == "traceback" else message
            await send({"type": f"lifespan.{when}.failed", "message": text})
            raise

    lifespan, log = make(app, mode)
    if when == "startup":
        with pytest.raises(LifespanFailed) as caught:
            await lifespan.startup()
        log.error("Application startup failed: %s", caught.value)
    else:
        await lifespan.startup()
        await lifespan.shutdown()
    await settle()
    await lifespan.cancel()
    told = sum(text.count("Traceback (most recent call last)") for text in log.errors)
    assert told + len([error for level, _, error in log.entries if error and level == "error"]) == 1
    assert any("no database" in str(told) for entry in log.entries for told in entry)


@pytest.mark.parametrize("mode", MODES)
@in_loop
async def test_an_application_that_cancels_itself_does_not_hold_the_start_up(mode: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise asyncio.CancelledError

    lifespan, _ = make(app, mode)
    starting = asyncio.ensure_future(lifespan.startup())
    await settle()
    assert starting.done()
    if mode == "on":
        assert isinstance(starting.exception(), LifespanFailed)


@in_loop
async def test_an_application_that_ends_between_is_logged_and_served() -> None:
    ending = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await ending.wait()
        raise KeyError("background task")

    lifespan, log = make(app)
    await lifespan.startup()
    ending.set()
    await settle()
    assert [type(error) for error in log.raised] == [KeyError]
    await lifespan.shutdown()
    await lifespan.cancel()
    assert len(log.errors) == 1


@in_loop
async def test_an_application_may_return_after_startup() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    lifespan, log = make(app)
    await lifespan.startup()
    await settle()
    assert lifespan.state == {}
    await lifespan.shutdown()
    assert log.entries == []


@in_loop
async def test_an_exception_on_shutdown_is_logged() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise KeyError("x")

    lifespan, log = make(app)
    await lifespan.startup()
    await lifespan.shutdown()
    assert [type(error) for error in log.raised] == [KeyError]


@pytest.mark.parametrize(
    ("before", "event", "said"),
    [
        ([], {"type": "lifespan.started"}, "lifespan.started"),
        ([], {"type": "http.response.start"}, "http.response.start"),
        ([{"type": "lifespan.startup.complete"}], {"type": "lifespan.startup.complete"}, "twice"),
        ([{"type": "lifespan.startup.complete"}], {"type": "lifespan.startup.failed"}, "twice"),
    ],
)
@in_loop
async def test_an_event_out_of_turn_raises_out_of_send(before: list[Any], event: Any, said: str) -> None:
    caught: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for one in before:
            await send(one)
        try:
            await send(event)
        except RuntimeError as error:
            caught.append(str(error))
        if not before:
            await send({"type": "lifespan.startup.complete"})

    lifespan, _ = make(app)
    await lifespan.startup()
    await settle()
    assert len(caught) == 1
    assert said in caught[0]


@in_loop
async def test_cancel_ends_an_application_that_does_not_shut_down() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")

    lifespan, _ = make(app)
    await lifespan.startup()
    stopping = asyncio.ensure_future(lifespan.shutdown())
    await settle()
    assert not stopping.done()
    stopping.cancel()
    await lifespan.cancel()
    assert ended == ["ended"]
