"""Repeats one scenario many times in a process of its own and prints how much memory stayed; run by ``test_leaks.py``.

Usage: repeats.py SCENARIO TIMES. Prints the blocks of memory that ``TIMES`` repetitions left allocated, and the tasks,
connections and timers that are left.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

from tests.asgi.apps import Receive, Scope, Send, body, hello, read_all, reply, start
from tests.asgi.doubles import WAYS_TO_START, settle, until
from tests.net.support import GET, Wire, post


class Quiet:
    """A logger that keeps nothing."""

    def debug(self, *args: object, **kwargs: object) -> None:
        pass

    info = warning = error = exception = critical = debug


async def posts(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, await read_all(receive))


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"x", True))
    raise KeyError(scope["path"])


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    while True:
        await send(body(b"x" * 20_000, True))
        await asyncio.sleep(0)


Scenario = Callable[[Wire], Awaitable[None]]


async def request(wire: Wire) -> None:
    wire.send(post(b"x" * 1000))
    await until(lambda: wire.received and not wire.context.tasks)


async def failing(wire: Wire) -> None:
    wire.context.app = raises
    wire.send(GET % b"/")
    await until(lambda: wire.received and not wire.context.tasks)


async def refused(wire: Wire) -> None:
    wire.send(b"nonsense\r\n\r\n")
    await settle(5)


async def left_while_waiting(wire: Wire) -> None:
    wire.context.app = waits
    wire.send(post(b"x" * 10_000, declared=20_000))
    await settle(5)


async def left_while_streaming(wire: Wire) -> None:
    wire.context.app = streams
    wire.send(GET % b"/")
    await settle(5)


async def left_deaf(wire: Wire) -> None:
    wire.context.app = streams
    wire.stop_reading()
    wire.send(GET % b"/")
    await settle(10)


async def left_amid_a_head(wire: Wire) -> None:
    wire.send(b"GET / HTTP/1.1\r\nx-a: " + b"y" * 1000)
    await settle(2)


LEAKED: list[object] = []


async def leaking(wire: Wire) -> None:
    """What a leak looks like, to know that it would be seen."""
    LEAKED.append(object())
    await request(wire)


async def timed_out(wire: Wire) -> None:
    wire.context.app = waits
    wire.context.request_timeout = 5.0
    wire.send(GET % b"/")
    await settle(3)
    wire.advance(6.0)
    await settle(5)


SCENARIOS: dict[str, Scenario] = {
    "request": request,
    "failing": failing,
    "refused": refused,
    "left while waiting": left_while_waiting,
    "left while streaming": left_while_streaming,
    "left deaf": left_deaf,
    "left amid a head": left_amid_a_head,
    "timed out": timed_out,
}


async def once(scenario: Scenario, eager: bool) -> None:
    app = posts if scenario in (request, leaking) else hello
    wire = Wire(app, eager=eager, disconnect_grace_period=0.0, log=Quiet())
    await scenario(wire)
    wire.lose(ConnectionResetError())
    await until(lambda: not wire.reaper.connections and not wire.context.tasks)


async def kept_alive(times: int, eager: bool) -> None:
    """Many requests on one connection."""
    wire = Wire(posts, eager=eager, log=Quiet())
    for _ in range(times):
        wire.send(post(b"x" * 1000))
        await until(lambda: not wire.context.tasks and wire.received.endswith(b"x"))
        wire.transport.received.clear()
        wire.transport.writes.clear()


async def repeat(name: str, times: int) -> None:
    for eager in WAYS_TO_START:
        if name == "kept alive":
            await kept_alive(times, eager)
        else:
            for _ in range(times):
                await once(leaking if name == "leaking" else SCENARIOS[name], eager)
    await settle()


def allocated() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def main() -> None:
    name, times = sys.argv[1], int(sys.argv[2])
    await repeat(name, 50)  # caches fill, free lists grow
    before = allocated()
    await repeat(name, times)
    print(allocated() - before, len(asyncio.all_tasks()) - 1)


if __name__ == "__main__":
    asyncio.run(main())
