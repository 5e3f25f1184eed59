"""ASGI lifespan 2.0, rules 5 and 35 to 39 of the checklist: start-up and shutdown, around a real listening socket."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import Any

import pytest
from gunicorn.config import Config

from pronghorn.lifespan import LifespanFailed
from pronghorn.server import Server
from pronghorn.settings import Options, Settings
from tests.asgi.apps import Event, Receive, Send, hello, reply
from tests.asgi.doubles import RecordingLog, in_loop, settle

Scope = dict[str, Any]

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Running:
    """A server for one application, as a worker runs it; an asynchronous context manager."""

    def __init__(self, app: Any, **settings: Any) -> None:
        self._app = app
        self._settings = dataclasses.replace(Settings.from_gunicorn(Config(), Options()), **settings)
        self.log = RecordingLog()
        self.ready = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()

    async def __aenter__(self) -> Running:
        self._server = Server(self._app, self._settings, self.log, [self._listener])
        self._task = asyncio.ensure_future(self._server.serve(self.ready.set))
        waiting = asyncio.ensure_future(self.ready.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._listener.close()
            self._task.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._server.stop()
        await self._task

    async def get(self) -> bytes:
        """The response to a request, whole."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


class Recorder:
    """An application that speaks lifespan, and notes what happens when."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.scopes: list[Scope] = []
        self.loops: set[Any] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loops.add(asyncio.get_running_loop())
        if scope["type"] == "lifespan":
            self.scopes.append(scope)
            self.notes.append(await receive())
            scope["state"]["pool"] = "filled"
            await send({"type": "lifespan.startup.complete"})
            self.notes.append(await receive())
            await send({"type": "lifespan.shutdown.complete"})
        else:
            self.notes.append("request")
            await reply(send, str(scope.get("state")).encode())


STARTUP: Event = {"type": "lifespan.startup"}
SHUTDOWN: Event = {"type": "lifespan.shutdown"}


@in_loop
async def test_rule_05_one_lifespan_in_the_loop_of_the_requests() -> None:
    app = Recorder()
    async with Running(app) as server:
        for _ in range(3):
            await server.get()
    assert len(app.scopes) == 1
    assert app.loops == {asyncio.get_running_loop()}


@in_loop
async def test_rule_35_the_scope() -> None:
    app = Recorder()
    async with Running(app):
        pass
    (scope,) = app.scopes
    assert type(scope) is dict
    assert scope == {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": {"pool": "filled"},
    }


@in_loop
async def test_rule_35_state_is_copied_to_requests_and_otherwise_left_alone() -> None:
    app = Recorder()
    async with Running(app) as server:
        assert (await server.get()).endswith(b"\r\n\r\n{'pool': 'filled'}")
    assert app.scopes[0]["state"] == {"pool": "filled"}


@in_loop
async def test_rule_36_nothing_is_accepted_before_startup_is_complete() -> None:
    gate = asyncio.Event()
    notes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            notes.append("request")
            await reply(send)
            return
        assert await receive() == STARTUP
        await gate.wait()
        notes.append("complete")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    server = Running(app)
    entering = asyncio.ensure_future(server.__aenter__())
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(REQUEST)
    await writer.drain()
    await settle(100)
    assert notes == []
    assert not server.ready.is_set()
    gate.set()
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await entering
    await server.stop()
    assert notes == ["complete", "request"]


@pytest.mark.parametrize(
    ("message", "said"), [({"message": "no database"}, "no database"), ({"message": ""}, "why"), ({}, "why")]
)
@pytest.mark.parametrize("mode", ["auto", "on"])
@in_loop
async def test_rule_37_startup_failed_stops_the_server(mode: str, message: Event, said: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"} | message)

    server = Running(app, lifespan=mode)
    with pytest.raises(LifespanFailed, match=said):
        await server.__aenter__()
    assert not server.ready.is_set()


@pytest.mark.parametrize("asks", [False, True], ids=["on the call", "on the startup event"])
@in_loop
async def test_rule_38_an_exception_means_no_lifespan(asks: bool) -> None:
    calls: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope["type"])
        if scope["type"] == "lifespan":
            if asks:
                await receive()
            raise RuntimeError("only http")
        assert "state" not in scope
        await hello(scope, receive, send)

    async with Running(app, lifespan="auto") as server:
        assert (await server.get()).endswith(b"hello")
    assert calls == ["lifespan", "http"]
    levels = [level for level, _, _ in server.log.entries]
    assert levels == (["error"] if asks else ["debug"])


@in_loop
async def test_rule_38_an_application_that_returns_has_no_lifespan() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert "state" not in scope
            await hello(scope, receive, send)

    async with Running(app, lifespan="auto") as server:
        assert (await server.get()).endswith(b"hello")
    assert server.log.of("error", "warning") == []


@in_loop
async def test_rule_39_shutdown_comes_when_all_connections_are_closed() -> None:
    """Here: after a response that takes its time, and after nothing can connect any more."""
    gate = asyncio.Event()
    begun = asyncio.Event()
    notes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            begun.set()
            await gate.wait()
            notes.append("response")
            await reply(send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == SHUTDOWN
        notes.append("shutdown")
        with pytest.raises(OSError):
            await asyncio.open_connection(*server.address)
        notes.append("refused")
        await send({"type": "lifespan.shutdown.complete"})

    server = Running(app)
    await server.__aenter__()
    request = asyncio.ensure_future(server.get())
    await begun.wait()
    stopping = asyncio.ensure_future(server.stop())
    await settle(100)
    assert notes == []
    gate.set()
    assert (await request).startswith(b"HTTP/1.1 200")
    await stopping
    assert notes == ["response", "shutdown", "refused"]


@in_loop
async def test_rule_39_the_answer_is_waited_for() -> None:
    notes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await settle()
        notes.append("cleaned up")
        await send({"type": "lifespan.shutdown.complete"})

    async with Running(app):
        pass
    assert notes == ["cleaned up"]


@in_loop
async def test_rule_39_shutdown_failed_is_logged() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "the pool is stuck"})

    async with Running(app) as server:
        pass
    (line,) = server.log.errors
    assert "the pool is stuck" in line
