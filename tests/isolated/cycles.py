"""Serves many requests on one connection and prints what the garbage collector finds; run by ``test_cycles.py``.

Usage: cycles.py SCENARIO TIMES. Prints, for each way to start tasks, the number of unreachable objects that only the
collector could free after ``TIMES`` requests with the collector switched off.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from tests.asgi.apps import App, Receive, Scope, Send, body, hello, read_all, reply, start
from tests.asgi.doubles import WAYS_TO_START, settle
from tests.isolated.repeats import Quiet
from tests.net.support import GET, Wire, post


async def posts(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, await read_all(receive))


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    for _ in range(3):
        await send(body(b"x" * 100, True))
        await asyncio.sleep(0)
    await send(body(b""))


async def waits_for_more(scope: Scope, receive: Receive, send: Send) -> None:
    """As frameworks do that listen for the disconnect beside the response."""
    await receive()
    listening = asyncio.ensure_future(receive())
    await reply(send, b"hello")
    await listening


async def makes_a_cycle(scope: Scope, receive: Receive, send: Send) -> None:
    """What one looks like, to know that it would be seen."""
    scope["scope"] = scope
    await reply(send, b"hello")


SCENARIOS: dict[str, tuple[App, bytes]] = {
    "get": (hello, GET % b"/a?b"),
    "post": (posts, post(b"x" * 1000)),
    "streamed": (streams, GET % b"/"),
    "pipelined": (hello, 4 * (GET % b"/")),
    "listening": (waits_for_more, GET % b"/"),
    "cycle": (makes_a_cycle, GET % b"/"),
}


async def serve(name: str, times: int, eager: bool) -> int:
    app, data = SCENARIOS[name]
    wire = Wire(app, eager=eager, log=Quiet())

    async def ask() -> None:
        wire.send(data)
        await settle(1)
        while wire.context.tasks:
            await settle(1)
        wire.transport.received.clear()
        wire.transport.writes.clear()

    for _ in range(20):
        await ask()
    gc.collect()
    gc.disable()
    for _ in range(times):
        await ask()
    found = gc.collect()
    gc.enable()
    return found


async def main() -> None:
    name, times = sys.argv[1], int(sys.argv[2])
    for eager in WAYS_TO_START:
        print(await serve(name, times, eager))


if __name__ == "__main__":
    asyncio.run(main())
