"""``play`` sees what it is to see: a fault is planted on the way between client and server, or in what is measured."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.asgi.doubles import in_loop, misuses
from tests.net.explore import play
from tests.net.explore.behaviours import Application
from tests.net.explore.peers import FakePeer
from tests.net.explore.play import Fault, Play
from tests.net.explore.scripts import Ask, Script

PLAIN = Script((Ask("echo", 0), Ask("gated", 1, "POST", 10)))


class Losing(FakePeer):
    """What the client sends behind its first bytes does not arrive."""

    def send(self, data: bytes) -> None:
        if not self.context.requests:
            super().send(data[: data.index(b"POST")])


class Deaf(FakePeer):
    """As if the server did not read any more once it has answered."""

    def send(self, data: bytes) -> None:
        if b"/echo/99" not in data:
            super().send(data)


class Staying(FakePeer):
    """As if the server kept a connection that its client has ended."""

    def fin(self) -> None:
        pass


class Late(FakePeer):
    """As if something were written after the end."""

    def fin(self) -> None:
        super().fin()
        asyncio.get_running_loop().call_later(0.0, misuses.append, "written after close")


async def found(script: Script, peer: FakePeer) -> str:
    try:
        await Play(script, peer).run()
    except Fault as fault:
        return fault.kind
    finally:
        misuses.clear()
    return ""


@pytest.mark.parametrize(
    ("peer", "kind"), [(FakePeer, ""), (Losing, "lost"), (Deaf, "deaf"), (Staying, "leak"), (Late, "misuse")]
)
@in_loop
async def test_on_the_way(peer: type[FakePeer], kind: str) -> None:
    assert await found(PLAIN, peer()) == kind


@in_loop
async def test_what_is_answered_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(self: Application, path: bytes, receive: Any, send: Any) -> None:
        await self.quick(b"/of/another", receive, send)

    async def fails(self: Application, path: bytes, receive: Any, send: Any) -> None:
        raise RuntimeError

    for behaviour, kind in ((wrong, "content"), (fails, "status")):
        monkeypatch.setattr(Application, "echo", behaviour)
        assert await found(PLAIN, FakePeer()) == kind
    monkeypatch.undo()
    record = play.Record
    monkeypatch.setattr(play, "Record", lambda number, status, sent: record(number, status, sent + 1))
    assert await found(PLAIN, FakePeer()) == "figures"


@in_loop
async def test_what_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "MOST_UNSENT", 1000)
    script = Script((Ask("large", 0),), steps=(("stop_reading",), ("send", 1000), ("turn", 3)))
    assert await found(script, FakePeer()) == "bounds"
    monkeypatch.setattr(play, "MOST_CALLS", 0)
    assert await found(Script((Ask("echo", 0),), steps=(("neighbour",),)), FakePeer()) == "unfair"


@in_loop
async def test_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leaves_a_task(self: Application, path: bytes, receive: Any, send: Any) -> None:
        self.task = asyncio.ensure_future(asyncio.Event().wait())  # type: ignore[attr-defined]
        await self.quick(path, receive, send)

    monkeypatch.setattr(Application, "echo", leaves_a_task)
    assert await found(Script((Ask("echo", 0),)), FakePeer()) == "leak"


@in_loop
async def test_a_script_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(
        (Ask("quick", 0), Ask("gated", 1, "POST", 10), Ask("echo", 2), Ask("hints", 3)),
        steps=(("turn", 1), ("send", 50), ("go",), ("turn", 2)),
    )

    async def wrong(self: Application, path: bytes, receive: Any, send: Any) -> None:
        await self.quick(b"/of/another", receive, send)

    monkeypatch.setattr(Application, "gated", wrong)
    fault = await play.play(script, FakePeer, eager=False)
    assert fault is not None
    smaller = await play.shrink(script, fault, FakePeer, eager=False)
    assert [one.behaviour for one in smaller.asks] == ["gated"]
    assert smaller.steps == ()
