"""The requests whose instructions are counted, with a transport that goes nowhere; run by ``run.py`` under callgrind.

    python scenarios.py NAME...

Each scenario runs in a child process of its own, so that none sees what another has left behind, and prints its name
and process number. Callgrind is told to start a new count at each call of ``getppid``, which nothing else calls: the
second of them ends what counts.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import struct
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from gunicorn.config import Config
from gunicorn.glogging import Logger

from pronghorn.accesslog import AccessLog
from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules

#: Requests before those that count: the interpreter specialises its bytecode, caches and free lists fill.
WARM_UP = 256
#: Requests that count. Both are multiples of 256, which some scenarios need.
COUNTED = 512

SMALL = b"GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n"
BROWSER = b"".join(
    line + b"\r\n"
    for line in (
        b"GET /some/path/page?first=1&second=2 HTTP/1.1",
        b"Host: www.example.com",
        b"Connection: keep-alive",
        b"Cache-Control: max-age=0",
        b"Upgrade-Insecure-Requests: 1",
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537",
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        b"Sec-Fetch-Site: same-origin",
        b"Sec-Fetch-Mode: navigate",
        b"Referer: https://www.example.com/some/other/page",
        b"Accept-Encoding: gzip, deflate, br",
        b"Accept-Language: en-GB,en;q=0.9",
        b"Cookie: sessionid=0123456789abcdef0123456789abcdef; csrftoken=abcdefghijklmnop",
        b"",
    )
)
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1024\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 1024
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FRAME = bytes((0x82, 0x80 | 32)) + struct.pack("!I", 0x01020304) + bytes(range(32))

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"Hello, World!"}
PART = {"type": "http.response.body", "body": b"x" * 1024, "more_body": True}
LAST = {"type": "http.response.body"}

Scope = dict[str, Any]


class FakeTransport:
    """Takes everything, sends nothing."""

    def __init__(self) -> None:
        self.last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def writelines(self, parts: list[bytes]) -> None:
        self.last = parts[-1]

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8000)}.get(name)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


async def hello(scope: Scope, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


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


#: Connections that ask at once: what a turn of the loop costs is theirs together, as on a busy worker.
AT_ONCE = 16


class Wire:
    """The connections of a worker whose application is ``app``."""

    def __init__(self, app: Callable[..., Any]) -> None:
        loop = asyncio.get_running_loop()
        self.context = Context(app, loop, logging.getLogger())
        self.context.rules = self.context.trusting_rules = Rules()
        self.context.set_defaults(b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", b"server: pronghorn\r\n")
        self.context.start_eagerly(True)
        reaper = Reaper(loop, self.context)
        turn = Turn(self.context)
        self.connections = [Connection(self.context, reaper, turn, Http1) for _ in range(AT_ONCE)]
        for connection in self.connections:
            connection.connection_made(FakeTransport())

    async def ask(self, data: bytes) -> None:
        """Send ``data`` on each connection, and wait for the answers."""
        for connection in self.connections:
            connection.data_received(data)
        await asyncio.sleep(0)
        while self.context.tasks:  # never where tasks start eagerly
            await asyncio.sleep(0)

    async def end(self) -> None:
        for connection in self.connections:
            connection.connection_lost(None)
        while self.context.tasks:
            await asyncio.sleep(0)


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


async def small_get(count: Count) -> None:
    wire = Wire(hello)
    await count(lambda: wire.ask(SMALL))


async def browser_get(count: Count) -> None:
    wire = Wire(hello)
    await count(lambda: wire.ask(BROWSER))


async def post_1k(count: Count) -> None:
    wire = Wire(takes)
    await count(lambda: wire.ask(POST))


async def pipelined_16(count: Count) -> None:
    wire = Wire(hello)
    await count(lambda: wire.ask(SMALL * 16))


async def streamed_10(count: Count) -> None:
    wire = Wire(streams)
    await count(lambda: wire.ask(SMALL))


async def logged_get(count: Count) -> None:
    """The lines of one turn of the loop are written together."""
    cfg = Config()
    cfg.set("accesslog", os.devnull)
    wire = Wire(hello)
    log = AccessLog(Logger(cfg), cfg, lambda callback: None, clock=lambda: 1.0)
    wire.context.observer = log.log
    wire.context.timed = log.timed

    async def once() -> None:
        await wire.ask(SMALL)
        log.flush()

    await count(once)


async def websocket_echo(count: Count) -> None:
    wire = Wire(echoes)

    async def once() -> None:
        for connection in wire.connections:
            connection.data_received(FRAME)
        for _ in range(3):
            await asyncio.sleep(0)

    for connection in wire.connections:
        connection.data_received(UPGRADE)
    await asyncio.sleep(0)
    await count(once)
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
