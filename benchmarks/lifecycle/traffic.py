"""Clients that are not busy and polite: those that leave early, are slow, or speak WebSocket. For the soak.

Each is a coroutine that goes on until ``stopping()``, and counts in a ``Mixed`` what it did and what it lost.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app import expected_body
from client import Lost, Refused, Session, request_of

Address = tuple[str, int]

_PATIENCE = 20.0
#: RFC 6455 section 7.4.1: what a worker that drains says.
_RESTARTS = 1012
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


@dataclass
class Mixed:
    """What became of them. ``done``: by kind, what was answered or, where that was the aim, begun."""

    done: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)


async def repeat(
    what: Callable[[Address, Mixed], Awaitable[None]], address: Address, mixed: Mixed, pause: float,
    stopping: Callable[[], bool],
) -> None:  # fmt: skip
    """Do it again and again, with up to twice ``pause`` seconds between."""
    while not stopping():
        await asyncio.sleep(random.random() * 2 * pause)
        try:
            await what(address, mixed)
        except Lost as loss:
            mixed.lost[f"{what.__name__}: {loss}"] += 1
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            mixed.lost[f"{what.__name__}: {type(error).__name__}"] += 1
        except Refused:
            mixed.lost[f"{what.__name__}: refused"] += 1


async def abort(address: Address, mixed: Mixed) -> None:
    """Send all or a part of a request, and leave without waiting for the answer."""
    session = await Session.open(address)
    request, _ = request_of(random.randrange(10**9), False)
    part = random.choice((len(request), len(request) // 2, 10))
    session.writer.write(request[:part])
    await asyncio.sleep(random.choice((0, 0.01)))
    if random.random() < 0.5:
        session.writer.transport.abort()
    session.close()
    mixed.done["aborted"] += 1


async def slow(address: Address, mixed: Mixed) -> None:
    """Send a request in pieces, and read the answer as slowly."""
    session = await Session.open(address)
    size = 120_000
    content = os.urandom(3000)
    key = f"s{random.randrange(10**9)}"
    expected = expected_body(key + hashlib.sha256(content).hexdigest(), size)
    head = f"POST /?key={key}&size={size} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Length: {len(content)}"
    request = head.encode() + b"\r\n\r\n" + content
    step = len(request) // 5 + 1
    for start in range(0, len(request), step):
        session.writer.write(request[start : start + step])
        await asyncio.sleep(0.1)
    answer = bytearray()
    while data := await asyncio.wait_for(session.reader.read(20_000), _PATIENCE):
        answer += data
        await asyncio.sleep(0.05)
    session.close()
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(expected):
        raise Lost("wrong or cut answer")
    mixed.done["slow"] += 1


async def websocket(address: Address, mixed: Mixed) -> None:
    """Some messages and their echoes; the end is ours after a while, or the server's with 1012, announced."""
    session = await Session.open(address)
    key = base64.b64encode(os.urandom(16)).decode()
    session.writer.write(
        f"GET /ws HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(session.reader.readuntil(b"\r\n\r\n"), _PATIENCE)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Lost(f"no WebSocket: {head[:20]!r}")
    try:
        await _next(session)  # the process id
        for _ in range(random.randrange(5, 200)):
            sent = base64.b64encode(os.urandom(random.choice((8, 300, 20_000))))
            session.writer.write(_frame(_TEXT, sent))
            if await _next(session) != sent:
                raise Lost("wrong echo")
            mixed.done["messages"] += 1
            await asyncio.sleep(0.1)
        session.writer.write(_frame(_CLOSE, struct.pack("!H", 1000)))
        await _next(session)
    except _Closed as end:
        if end.code not in (1000, _RESTARTS):
            raise Lost(f"closed with {end.code}") from None
        mixed.done["WebSockets ended by the server" if end.code == _RESTARTS else "WebSockets"] += 1
        session.writer.write(_frame(_CLOSE, struct.pack("!H", end.code)))
    finally:
        session.close()


class _Closed(Exception):
    """The server's Close frame."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def _next(session: Session) -> bytes:
    """The next message. Raises _Closed for a Close frame."""
    message = b""
    while True:
        first, size = await asyncio.wait_for(session.reader.readexactly(2), _PATIENCE)
        if size == 126:
            (size,) = struct.unpack("!H", await session.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await session.reader.readexactly(8))
        payload = await session.reader.readexactly(size)
        kind = first & 0x0F
        if kind == _CLOSE:
            raise _Closed(struct.unpack("!H", payload[:2])[0] if payload else 1005)
        if kind == _PING:
            session.writer.write(_frame(_PONG, payload))
            continue
        message += payload
        if first & 0x80:
            return message


def _frame(kind: int, payload: bytes) -> bytes:
    """A masked frame (RFC 6455 section 5.2). The mask is zero: what it hides from proxies is of no interest here."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | kind, 0x80 | 126)) + struct.pack("!H", size)
    else:
        head = bytes((0x80 | kind, 0x80 | 127)) + struct.pack("!Q", size)
    return head + bytes(4) + payload
