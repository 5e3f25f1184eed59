"""Random scripts: pipelining, FIN, RST, slow readers, drain, deadlines, uploads and WebSockets, in every mixture.

The seeds are fixed, so a failure can be repeated; a script that fails is made smaller, and printed with its seed.
``PRONGHORN_EXPLORE=1000:21000`` looks at other seeds, as ``tox -e explore`` does.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest

from tests.asgi.doubles import in_loop
from tests.net.explore.peers import FakePeer, SocketPeer, open_descriptors
from tests.net.explore.play import Open, play, shrink
from tests.net.explore.scripts import any_script
from tests.support.loops import fresh_loop

_CHOSEN = os.environ.get("PRONGHORN_EXPLORE", "")
FIRST, _, END = _CHOSEN.partition(":")
#: Scripts over real sockets take some milliseconds more.
FAKES = range(int(FIRST), int(END)) if END else range(800)
SOCKETS = range(int(FIRST), int(END)) if END else range(800, 920)
#: Seconds in which a script is over unless it hangs.
HANGS = 30.0
#: Kinds of faults that are overlooked: those that are yet to be mended.
KNOWN: frozenset[str] = frozenset()


def fake_peer(seed: int) -> Open:
    """Of either loop's manners."""
    chance = random.Random(seed)
    reads_at_once, old_writelines = chance.choice([1, 32]), chance.random() < 0.5
    return lambda: FakePeer(reads_at_once, old_writelines)


def socket_peer(seed: int) -> Open:
    return lambda: SocketPeer(socket.AF_UNIX if seed % 4 == 0 else socket.AF_INET)


async def explore(seed: int, open_peer: Open, eager: bool) -> None:
    script = any_script(seed)
    options = {"eager": eager, "overlook": KNOWN}
    fault = await asyncio.wait_for(play(script, open_peer, **options), HANGS)
    if fault is not None:
        smaller = await asyncio.wait_for(shrink(script, fault, open_peer, **options), 10 * HANGS)
        found = await play(smaller, open_peer, **options) or fault
        raise AssertionError(f"seed {seed}, eager={eager}: {found}\n{smaller}")


@in_loop
async def test_over_a_fake_transport(eager: bool) -> None:
    for seed in FAKES:
        await explore(seed, fake_peer(seed), eager)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_over_sockets(kind: str, eager: bool) -> None:
    loop = fresh_loop(kind)
    unheard: list[object] = []
    loop.set_exception_handler(lambda _, details: unheard.append(details))
    try:
        loop.run_until_complete(explore(SOCKETS[0], socket_peer(SOCKETS[0]), eager))  # libuv opens what it needs
        before = open_descriptors()
        for seed in SOCKETS:
            loop.run_until_complete(explore(seed, socket_peer(seed), eager))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert not unheard, unheard
        assert open_descriptors() == before
    finally:
        loop.close()
