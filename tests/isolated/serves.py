"""Serves over a real socket in a process of its own and ends; run by ``test_exit.py``.

Usage: serves.py LOOP SCENARIO. The last thing it prints is "served".
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import socket
import sys
from typing import Any

from gunicorn.config import Config

from pronghorn.server import Server
from pronghorn.settings import Options, Settings

#: In its development mode asyncio names callbacks that take longer, which on a busy machine any may.
SLOW = 60.0

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Log:
    """Fails on anything worse than information."""

    def debug(self, *args: Any, **kwargs: Any) -> None:
        pass

    info = debug

    def warning(self, text: str, *args: Any, **kwargs: Any) -> None:
        print("logged:", text % args)

    error = exception = critical = warning


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/stuck":
        await asyncio.get_running_loop().create_future()
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def ask(address: tuple[str, int], count: int) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(count):
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        assert await reader.readexactly(5) == b"hello"
    writer.close()
    await writer.wait_closed()


async def leave_in_between(address: tuple[str, int]) -> None:
    """Ask, and be gone before the answer."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(GET.replace(b" / ", b" /stuck "))
    await writer.drain()
    writer.transport.abort()
    await asyncio.sleep(0)
    del reader


async def serve(scenario: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    options = Options(disconnect_grace_period=0, gc_freeze=scenario == "frozen")
    settings = Settings.from_gunicorn(Config(), options)
    if scenario == "stuck":
        timeouts = dataclasses.replace(settings.timeouts, graceful=0.2)
        settings = dataclasses.replace(settings, timeouts=timeouts)
    server = Server(app, settings, Log(), [listener])
    frozen_before = gc.get_freeze_count()  # by Python itself, 3.12 does
    ready = asyncio.Event()
    serving = asyncio.ensure_future(server.serve(ready.set))
    await ready.wait()
    assert (gc.get_freeze_count() > frozen_before) is (scenario == "frozen")
    if scenario in ("one", "frozen"):
        await ask(address, 1)
    elif scenario == "many":
        await asyncio.gather(*(ask(address, 5) for _ in range(10)))
    elif scenario == "left":
        await asyncio.gather(*(leave_in_between(address) for _ in range(10)))
        await ask(address, 1)
    else:
        await stuck(address, server)
    server.stop()
    await serving


async def stuck(address: tuple[str, int], server: Server) -> None:
    """A request is under way when the server stops, and never ends by itself."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(GET.replace(b" / ", b" /stuck "))
    while not server.context.tasks:
        await asyncio.sleep(0.01)
    server.context.log = type("Quiet", (Log,), {"warning": Log.debug})()
    server._log = server.context.log
    server.stop()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 "), answer
    writer.close()
    await writer.wait_closed()


def main() -> None:
    loop_name, scenario = sys.argv[1:]
    if loop_name == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    loop.slow_callback_duration = SLOW
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(scenario))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()
    gc.collect()
    print("served")


if __name__ == "__main__":
    main()
