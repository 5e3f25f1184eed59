"""``neighbour``: that it tells how long one client waits for another."""

from __future__ import annotations

import asyncio

from tests.asgi.apps import Receive, Scope, Send, reply
from tests.asgi.doubles import in_loop
from tests.net.neighbour import Neighbour
from tests.net.support import GET, Wire
from tests.support.turns import TurnMeter


@in_loop
async def test_who_waits_for_nobody_is_answered_at_once(eager: bool) -> None:
    neighbour = Neighbour(Wire(reply_at_once, eager=eager))
    for _ in range(3):
        progress = await neighbour.ask()
        assert 1 <= progress.turns <= 4
        assert progress.meanwhile == 0


@in_loop
async def test_what_the_other_got_done_is_counted(eager: bool) -> None:
    """An application of the other's that keeps the loop is told from one that lets others go on."""
    served = [0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/hold":
            served[0] += 1000
        elif scope["path"] == "/turns":
            for _ in range(1000):
                served[0] += 1
                await asyncio.sleep(0)
        await reply(send)

    for path, fewest, most in ((b"/hold", 1000, 1000), (b"/turns", 1, 10)):
        wire = Wire(app, eager=eager)
        neighbour = Neighbour(wire)
        wire.send(GET % path)
        served[0] = 0
        progress = await neighbour.ask(lambda: served[0])
        assert fewest <= progress.meanwhile <= most, path
        await wire.answered()


@in_loop
async def test_the_most_of_one_turn() -> None:
    with TurnMeter() as meter:
        for amount in (2, 5, 1):
            meter.note(amount)
            meter.note(amount)
            await asyncio.sleep(0)
    assert meter.most == 10
    assert meter.turns == 4
    await asyncio.sleep(0)
    assert meter.turns == 4, "not after the end"


async def reply_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send)
