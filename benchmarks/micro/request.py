"""Time of head parsing, and of a whole request from bytes to response against a transport that goes nowhere.

    python benchmarks/micro/request.py [--repeat 7] [--number 20000]

Prints microseconds per request, the best of the repeats (noise only ever adds), for a 40-byte and a browser's request.
What is left out is the kernel's and the event loop's share: reads, writes, polling.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

import pronghorn
from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules

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


class FakeTransport:
    """Takes everything, sends nothing."""

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


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"Hello, World!"}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The smallest application that answers."""
    await send(START)
    await send(BODY)


def parse(data: bytes) -> Callable[[], None]:
    parser = Http1Parser(Rules())

    def once() -> None:
        parser.feed(data)
        parser.next()
        parser.next()

    return once


def serve(loop: asyncio.AbstractEventLoop, data: bytes) -> Callable[[], None]:
    context = Context(app, loop, logging.getLogger())
    context.rules = context.trusting_rules = Rules()
    context.set_defaults(b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", b"server: pronghorn\r\n")
    context.start_eagerly(True)
    connection = Connection(context, Reaper(loop, context), Turn(context), Http1)
    connection.connection_made(FakeTransport())

    def once() -> None:
        connection.data_received(data)

    return once


def best(once: Callable[[], None], repeat: int, number: int) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(number):
            once()
        times.append(time.perf_counter() - start)
    return min(times) / number * 1e6


async def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    options.add_argument("--repeat", type=int, default=7)
    options.add_argument("--number", type=int, default=20000 if pronghorn.compiled else 2000)
    arguments = options.parse_args()
    build = "compiled" if pronghorn.compiled else "not compiled"
    print(f"pronghorn {pronghorn.__version__} ({build}), Python {platform.python_version()}")
    loop = asyncio.get_running_loop()
    for name, data in (("small", SMALL), ("browser", BROWSER)):
        head = best(parse(data), arguments.repeat, arguments.number)
        print(f"{name:8} {len(data):4} bytes   head {head:6.2f} us", end="")
        if sys.version_info >= (3, 12):
            whole = best(serve(loop, data), arguments.repeat, arguments.number)
            print(f"   whole request {whole:6.2f} us")
        else:
            print("   whole request needs eager tasks (Python 3.12)")


if __name__ == "__main__":
    uvloop.run(main())
