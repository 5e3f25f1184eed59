"""Connections of a worker without sockets: requests come as bytes, responses go to transports that keep the last write.

For ``request.py`` and ``forwarded.py``, which time them, and ``benchmarks/instructions``, which counts what they take.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.ends import Ends
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules

#: Connections that ask at once: what a turn of the loop costs is theirs together, as on a busy worker.
AT_ONCE = 16

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

CONTENT = b"Hello, World!"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": CONTENT}


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The smallest application that answers."""
    await send(START)
    await send(BODY)


class FakeTransport:
    """Takes everything, sends nothing."""

    def __init__(self) -> None:
        self.last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def writelines(self, parts: list[bytes]) -> None:
        self.last = parts[-1]

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Wire:
    """The connections of a worker whose application is ``app``. ``attributes`` are set on its context."""

    def __init__(
        self, app: Callable[..., Any], *, clock: Callable[[], float] = time.monotonic, **attributes: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        self.context = Context(app, loop, logging.getLogger())
        self.context.rules = self.context.trusting_rules = Rules()
        self.context.set_defaults(b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", b"server: pronghorn\r\n")
        self.context.start_eagerly(True)
        for name, value in attributes.items():
            setattr(self.context, name, value)
        reaper = Reaper(loop, self.context)
        turn = Turn(self.context, clock)
        self.connections = [Connection(self.context, reaper, turn, Http1) for _ in range(AT_ONCE)]
        self.transports = [FakeTransport() for _ in self.connections]
        for connection, transport in zip(self.connections, self.transports, strict=True):
            connection.ends = Ends(("127.0.0.1", 50000), ("127.0.0.1", 8000), False)
            connection.connection_made(transport)

    async def ask(self, data: bytes) -> None:
        """Send ``data`` on each connection, and wait for the answers."""
        for connection in self.connections:
            connection.data_received(data)
        await asyncio.sleep(0)
        # Tasks only where they do not start eagerly; connections of which some were put off only on a busy machine.
        while self.context.tasks or self.context.requests % AT_ONCE:
            await asyncio.sleep(0)

    def check(self, requests: int, end: bytes) -> None:
        """Raise where other than ``requests`` were begun in all, or a connection's last write ends not with ``end``.

        Whoever measured asks for this, lest it was nothing that was measured.
        """
        if self.context.requests != requests:
            raise RuntimeError(f"{self.context.requests} requests were begun, not {requests}")
        for transport in self.transports:
            if not transport.last.endswith(end):
                raise RuntimeError(f"A connection's last write is {transport.last!r:.200}")

    async def end(self) -> None:
        for connection in self.connections:
            connection.connection_lost(None)
        while self.context.tasks:
            await asyncio.sleep(0)
