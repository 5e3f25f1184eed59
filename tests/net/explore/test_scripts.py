"""Scripts that found something once, each over every carrier: a fake of either loop's manners, TCP on both loops."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from tests.asgi.doubles import WAYS_TO_START
from tests.net.explore.peers import FakePeer, SocketPeer
from tests.net.explore.play import Open, Play, play
from tests.net.explore.scripts import Ask, Frame, Script
from tests.support.loops import fresh_loop

ALL = 1_000_000


def turns(script: Script) -> tuple[Script, ...]:
    """The script, and others with a few turns of the loop before its last step."""
    *steps, last = script.steps
    return tuple(replace(script, steps=(*steps, ("turn", count), last)) for count in range(4))


SCRIPTS: dict[str, tuple[Script, ...]] = {
    "a WebSocket behind a response that fills the buffer": turns(
        Script(
            (Ask("large", 0), Ask("ws_echo", 1)),
            (Frame("text", 12),),
            (("stop_reading",), ("send", ALL), ("read_all",)),
        )
    ),
    "a WebSocket behind an upload": (
        Script((Ask("gated", 0, "POST", 150_000), Ask("ws_echo", 1)), (Frame("text", 12),)),
    ),
    "a WebSocket's bytes are its own": (Script((Ask("large", 0), Ask("ws_greets", 1))),),
    "a peer that reads nothing of large parts": turns(
        Script((Ask("stream", 0),), steps=(("stop_reading",), ("send", ALL), ("turn", 50)))
    ),
    "FIN behind pipelined requests, the first answer large": turns(
        Script((Ask("large", 0), Ask("echo", 1), Ask("echo", 2)), steps=(("stop_reading",), ("send", ALL), ("fin",)))
    ),
    "FIN in an upload": turns(Script((Ask("leaves", 0, "POST", 80_000),), steps=(("send", 5000), ("fin",)))),
    "FIN in an upload in chunks": turns(Script((Ask("echo", 0, "POST", 3000, 1000),), steps=(("send", 500), ("fin",)))),
    "a reset in an upload": turns(Script((Ask("leaves", 0, "POST", 80_000),), steps=(("send", 5000), ("reset",)))),
    "FIN in an upload that nobody reads": turns(
        Script((Ask("fails", 0, "POST", 3000),), steps=(("send", 120), ("fin",)))
    ),
    "FIN in an answer to an upload": (Script((Ask("endless", 0, "POST", 150_000),)),),
    "FIN right behind a request whose answer has no end": turns(
        Script((Ask("endless", 0),), steps=(("send", ALL), ("fin",)))
    ),
    "a reset while reading is paused, then the application fails": turns(
        Script(
            (Ask("breaks", 0, "POST", 150_000),),
            steps=(("send", 100_000), ("turn", 3), ("reset",)),
            attributes={"high_water": 1000},
        )
    ),
}
CARRIERS: list[tuple[str, Open]] = [
    ("asyncio", FakePeer),
    ("asyncio", lambda: FakePeer(1)),
    ("asyncio", lambda: FakePeer(old_writelines=True)),
    ("asyncio", SocketPeer),
    ("uvloop", SocketPeer),
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    for kind, open_peer in CARRIERS:
        loop = fresh_loop(kind)
        unheard: list[object] = []
        loop.set_exception_handler(lambda _, details, unheard=unheard: unheard.append(details))  # type: ignore[misc]
        try:
            for eager, script in itertools.product(WAYS_TO_START, SCRIPTS[name]):
                fault = loop.run_until_complete(asyncio.wait_for(play(script, open_peer, eager=eager), 30.0))
                assert fault is None, f"{fault}\n{kind}, {open_peer}, eager={eager}\n{script}"
                assert not unheard, unheard
        finally:
            loop.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_reset_before_the_transport_is_made(kind: str) -> None:
    """The kernel does not know the client's name any more: it is who ``accept`` said it is, and not trusted."""
    asked: list[object] = []
    loop = fresh_loop(kind)
    try:
        for eager in WAYS_TO_START:
            peer = SocketPeer(early=Ask("quick", 0).data)
            script = Script((Ask("quick", 0),), steps=(("reset",),), attributes={"is_trusted": asked.append})
            loop.run_until_complete(Play(script, peer, eager=eager).run())
            assert set(asked) == {peer.client}
            asked.clear()
    finally:
        loop.close()
