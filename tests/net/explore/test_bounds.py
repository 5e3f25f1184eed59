"""What one peer can have a worker hold, in bytes allocated, while the application takes nothing or is done."""

from __future__ import annotations

import random

import pytest

from pronghorn.asgi.context import WebSocketSettings
from tests.asgi.doubles import EAGER_POSSIBLE, in_loop, settle, until
from tests.net.explore.behaviours import Application
from tests.net.explore.floods import FLOODS
from tests.net.explore.scripts import Ask
from tests.net.support import GET, Wire
from tests.support.memory import Held

#: Content that may wait, and what is read at once: less than is usual, so that small floods are enough.
HIGH_WATER = 16384
READ = 32768
PIPELINED = 65536
#: With as much again for what is around.
MOST_HELD = PIPELINED + 2 * (HIGH_WATER + READ)
#: A connection that waits for its next request: its own objects, and no read.
MOST_IDLE = 12 * 1024
#: Bytes that each peer would send.
FLOOD = 5 * READ


async def pour(wire: Wire, data: bytes, chance: random.Random, *, most: int) -> None:
    """Have ``data`` read in parts of random sizes, for as long as the server reads at all."""
    at = 0
    while at < len(data) and wire.transport.reading and not wire.closed:
        size = chance.choice([1, 100, 5000, most])
        wire.send(data[at : at + size])
        at += size
        await settle(2)


def flooded(app: Application, eager: bool) -> Wire:
    websockets = WebSocketSettings(compression=False, ping_interval=0.0, max_message_size=HIGH_WATER)
    wire = Wire(app, eager=eager, websockets=websockets, high_water=HIGH_WATER, disconnect_grace_period=0.0)
    wire.transport.writes = _Nothing()
    return wire


class _Nothing(list[bytes]):
    """Keeps nothing of what is added to it."""

    def append(self, data: bytes) -> None:
        pass


@pytest.mark.parametrize("name", FLOODS)
@in_loop
async def test_a_flood(name: str) -> None:
    first, unit = FLOODS[name]
    data = unit * (FLOOD // len(unit))
    app = Application()
    with Held() as held:
        wire = flooded(app, EAGER_POSSIBLE)
        wire.send(first)
        await settle()
        await pour(wire, data, random.Random(name), most=READ)
        await settle()
        size = held.bytes - len(wire.received)
    assert size < MOST_HELD, f"{size} bytes are held, {wire.transport.delivered} were received"
    wire.lose(ConnectionResetError())
    app.gates.open()
    await until(lambda: not wire.reaper.connections and not wire.context.tasks, "the end")


@pytest.mark.parametrize("size", [100, 30_000, 250_000])
@in_loop
async def test_an_idle_connection_holds_nothing_of_what_it_read(eager: bool, size: int) -> None:
    app = Application()
    wire = flooded(app, eager)
    wire.send(GET % b"/quick/0")
    await wire.answered(1)
    with Held() as held:
        wires = [flooded(app, eager) for _ in range(4)]
        for wire in wires:
            wire.send(Ask("leaves", 1, "POST", size).data)
            await until(lambda wire=wire: wire.received)  # type: ignore[misc]
            wire.transport.received.clear()
        app.calls.clear()
        await settle()
        size = held.bytes // len(wires)
    assert size < MOST_IDLE
    for wire in wires:
        wire.lose()
    await settle()
