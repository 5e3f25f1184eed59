"""The requests whose instructions are counted, with a transport that goes nowhere; run by ``run.py`` under callgrind.

    python scenarios.py NAME...

Each scenario runs in a child process of its own, so that none sees what another has left behind, and prints its name
and process number. Callgrind is told to start a new count at each call of ``getppid``, which nothing else calls: the
second of them ends what counts.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import struct
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from gunicorn.config import Config
from gunicorn.glogging import Logger

from pronghorn.accesslog import AccessLog
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "micro"))

from wire import AT_ONCE, BODY, BROWSER, CONTENT, SMALL, START, Wire, hello

#: Requests before those that count: the interpreter specialises its bytecode, caches and free lists fill.
WARM_UP = 256
#: Requests that count. Both are multiples of 256, which some scenarios need.
COUNTED = 512

POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1024\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 1024
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
KEY = struct.pack("!I", 0x01020304)
FRAME = bytes((0x82, 0x80 | 32)) + KEY + bytes(range(32))
ECHO = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(range(32)))

#: A clock that says nothing of how slow this is under callgrind.
STILL = itertools.repeat(0.0).__next__

PART = {"type": "http.response.body", "body": b"x" * 1024, "more_body": True}
LAST = {"type": "http.response.body"}
LAST_CHUNK = b"0\r\n\r\n"

Scope = dict[str, Any]


async def takes(scope: Scope, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send(START)
    await send(BODY)


async def streams(scope: Scope, receive: Any, send: Any) -> None:
    await send(START)
    for _ in range(10):
        await send(PART)
    await send(LAST)


async def echoes(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


Once = Callable[[], Awaitable[None]]


async def parse(count: Count, data: bytes) -> None:
    """The parser alone, as a kept connection drives it: bytes, HEAD, and that there is no more."""
    parser = Http1Parser(Rules())

    async def once() -> None:
        parser.feed(data)
        parser.next()
        parser.next()

    await count(once)


async def parse_small(count: Count) -> None:
    await parse(count, SMALL)


async def parse_browser(count: Count) -> None:
    await parse(count, BROWSER)


async def ask(count: Count, app: Callable[..., Any], data: bytes, end: bytes = CONTENT) -> None:
    """``data`` on each connection, answers that end with ``end``."""
    wire = Wire(app, clock=STILL)
    await count(lambda: wire.ask(data))
    wire.check(WARM_UP + COUNTED, end)


async def small_get(count: Count) -> None:
    await ask(count, hello, SMALL)


async def browser_get(count: Count) -> None:
    await ask(count, hello, BROWSER)


async def post_1k(count: Count) -> None:
    await ask(count, takes, POST)


async def pipelined_16(count: Count) -> None:
    await ask(count, hello, SMALL * 16)


async def streamed_10(count: Count) -> None:
    await ask(count, streams, SMALL, LAST_CHUNK)


async def logged_get(count: Count) -> None:
    """The lines of one turn of the loop are written together."""
    cfg = Config()
    cfg.set("accesslog", os.devnull)
    wire = Wire(hello, clock=STILL)
    log = AccessLog(Logger(cfg), cfg, lambda callback: None, clock=lambda: 1.0)
    wire.context.observer = log.log
    wire.context.timed = log.timed

    async def once() -> None:
        await wire.ask(SMALL)
        log.flush()

    await count(once)
    wire.check(WARM_UP + COUNTED, CONTENT)


async def websocket_echo(count: Count) -> None:
    wire = Wire(echoes, clock=STILL)

    async def once() -> None:
        for connection in wire.connections:
            connection.data_received(FRAME)
        for _ in range(3):
            await asyncio.sleep(0)

    for connection in wire.connections:
        connection.data_received(UPGRADE)
    await asyncio.sleep(0)
    await count(once)
    wire.check(AT_ONCE, ECHO)  # the handshakes; each connection's last message came back
    await wire.end()


Count = Callable[[Once], Awaitable[None]]

#: By name: the scenario, and how many requests one repetition of it is.
SCENARIOS: dict[str, tuple[Callable[[Count], Awaitable[None]], int]] = {
    "parse-small": (parse_small, 1),
    "parse-browser": (parse_browser, 1),
    "small-get": (small_get, AT_ONCE),
    "browser-get": (browser_get, AT_ONCE),
    "post-1k": (post_1k, AT_ONCE),
    "pipelined-16": (pipelined_16, 16 * AT_ONCE),
    "streamed-10": (streamed_10, AT_ONCE),
    "logged-get": (logged_get, AT_ONCE),
    "websocket-echo": (websocket_echo, AT_ONCE),
}


async def counted(name: str) -> None:
    scenario, requests = SCENARIOS[name]

    async def count(once: Once) -> None:
        gc.collect()
        gc.disable()
        for _ in range(WARM_UP // requests):
            await once()
        os.getppid()
        for _ in range(COUNTED // requests):
            await once()
        os.getppid()

    await scenario(count)


def in_child(name: str) -> None:
    """Run scenario ``name`` in a child process, and print what that one was."""
    pid = os.fork()
    if pid == 0:
        try:
            uvloop.run(counted(name))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit(f"{name} failed")
    print(name, pid)


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        in_child(_name)
