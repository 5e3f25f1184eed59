"""What one peer can have a worker do in one turn of the loop, counted in calls, while another client asks.

The interpreter counts them, so this is for the uncompiled build; how much is taken in a turn is the same in both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.net import http1
from tests.asgi.doubles import EAGER_POSSIBLE, in_loop, settle, until
from tests.net.explore.behaviours import Application
from tests.net.explore.floods import FLOODS
from tests.net.neighbour import Neighbour
from tests.net.support import Wire
from tests.net.transport import MOST_READ
from tests.support.turns import TurnMeter

pytestmark = pytest.mark.skipif(not http1.__file__.endswith(".py"), reason="calls of compiled code are not counted")

#: Calls of functions, in Python or not, in one turn: some milliseconds of an interpreter, and a tenth of what a read of
#: 256 KiB would make where it were all handled in one.
MOST_CALLS = 15_000
#: Turns of the loop until another client has its answer.
MOST_TURNS = 4


@contextmanager
def calls_noted(meter: TurnMeter) -> Iterator[None]:
    def note(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            meter.note()

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("takes", [False, True], ids=["waits", "takes"])
@pytest.mark.parametrize("name", FLOODS)
@in_loop
async def test_a_flood(name: str, takes: bool) -> None:
    """``takes``: whether the application takes what comes."""
    first, unit = FLOODS[name]
    data = unit * (MOST_READ // len(unit))
    app = Application()
    if takes:
        app.gates.open()
    websockets = WebSocketSettings(compression=False, ping_interval=0.0)
    wire = Wire(app, eager=EAGER_POSSIBLE, websockets=websockets, disconnect_grace_period=0.0)
    neighbour = Neighbour(wire, b"/quick/98")
    with TurnMeter() as meter:
        wire.send(first)
        await settle()
        with calls_noted(meter):
            for _ in range(2):
                wire.send(data)
                await settle(20)
        assert meter.most < MOST_CALLS
        wire.send(data)
        assert (await neighbour.ask()).turns <= MOST_TURNS
    for one in (wire, neighbour.wire):
        one.lose()
    app.gates.open()
    await until(lambda: not wire.reaper.connections and not wire.context.tasks, "the end")
