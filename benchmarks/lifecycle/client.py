"""Clients that lose nothing silently: every request ends as answered, whole and right, or as a named kind of loss.

Owns connections and verification. Reads HTTP/1.1 strictly enough to tell a complete answer from a cut one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from app import expected_body

#: Seconds after which an answer counts as lost.
_PATIENCE = 20.0
#: Seconds between two looks at whether the clients' own loop keeps up.
_TURN = 0.02
_SIZES = (0, 13, 700, 9_000, 120_000)


@dataclass
class Tally:
    """What became of the requests. ``longest``: seconds of the slowest answer. ``stalled``: seconds for which the
    clients themselves did not run, at worst: after 0.3 s the server may close what it rightly takes to be idle."""

    answered: int = 0
    connections: int = 0
    announced: int = 0
    refused: int = 0
    longest: float = 0.0
    stalled: float = 0.0
    lost: Counter[str] = field(default_factory=Counter)
    #: By the process that had answered on the connection before, "" where none had.
    lost_on: Counter[str] = field(default_factory=Counter)
    pids: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        return {
            "answered": self.answered,
            "lost": sum(self.lost.values()),
            "kinds": dict(self.lost),
            "refused": self.refused,
            "connections": self.connections,
            "announced": self.announced,
            "longest_s": round(self.longest, 3),
            "stalled_s": round(self.stalled, 3),
            "workers": len(self.pids),
        }


class Lost(Exception):
    """The request got no complete, correct answer; the text is the kind of loss."""


class Refused(Exception):
    """No connection came about, so no request was sent."""


class Session:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.requests = 0
        self.pid = ""

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Session:
        try:
            return cls(*await asyncio.wait_for(asyncio.open_connection(*address, limit=2**20), _PATIENCE))
        except (OSError, asyncio.TimeoutError) as error:
            raise Refused(type(error).__name__) from None

    @property
    def ended(self) -> bool:
        """Whether the peer has already closed it, so that nobody would send on it."""
        return self.reader.at_eof() or self.reader.exception() is not None

    async def exchange(self, number: int, *, close: bool) -> tuple[str, bool]:
        """Send a request and verify its answer; the server's process id, and whether it announced the end."""
        request, expected = request_of(number, close)
        what = "reused connection" if self.requests else "new connection"
        self.requests += 1
        self.writer.write(request)
        try:
            self.pid, closing = await asyncio.wait_for(self._read(expected, what), _PATIENCE)
            return self.pid, closing
        except (asyncio.TimeoutError, TimeoutError):
            raise Lost(f"no answer within {_PATIENCE:.0f} s, {what}") from None

    async def _read(self, expected: bytes, what: str) -> tuple[str, bool]:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Lost(f"{'cut head' if error.partial else 'no answer'}, {what}") from None
        except OSError as error:
            raise Lost(f"{type(error).__name__}, {what}") from None
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        try:
            if fields.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            elif "content-length" in fields:
                body = await self.reader.readexactly(int(fields["content-length"]))
            else:
                body = await self.reader.read(-1)
        except (asyncio.IncompleteReadError, OSError):
            raise Lost(f"cut body, {what}") from None
        if status.split()[1] != "200":
            raise Lost(f"status {status.split()[1]}")
        if body != expected:
            raise Lost("wrong body")
        return fields.get("x-pid", ""), fields.get("connection", "").lower() == "close"

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            body += (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return bytes(body)

    def close(self) -> None:
        self.writer.close()


def request_of(number: int, close: bool) -> tuple[bytes, bytes]:
    """A request that is determined by its number, and the body of its answer."""
    dice = random.Random(number)
    key, size, parts = f"k{number}", dice.choice(_SIZES), dice.choice((1, 1, 1, 3))
    content = dice.randbytes(dice.choice((10, 3_000, 70_000))) if dice.random() < 0.25 else b""
    target = f"/?key={key}&size={size}&parts={parts}"
    if dice.random() < 0.3:
        target += f"&ms={dice.randrange(30)}"
    lines = [f"{'POST' if content else 'GET'} {target} HTTP/1.1", "Host: lifecycle"]
    if close:
        lines.append("Connection: close")
    if content:
        key += hashlib.sha256(content).hexdigest()
        if dice.random() < 0.3:
            lines.append("Transfer-Encoding: chunked")
            content = _chunked(content, dice.randrange(1, len(content) + 1))
        else:
            lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content, expected_body(key, size)


def _chunked(content: bytes, middle: int) -> bytes:
    """``content`` in two chunks, or one."""
    parts = [part for part in (content[:middle], content[middle:]) if part]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Load:
    """``kept`` clients that keep their connections, ``fresh`` ones that make a new connection for every request.

    ``stop``: no client begins a request after it. ``leave``: the server is going; each client stops at the announced
    end of its connection, or when it is refused.
    """

    def __init__(self, address: tuple[str, int], kept: int, fresh: int, pause: float = 0.02) -> None:
        self.tally = Tally()
        self._address = address
        self._pause = pause
        self._numbers = itertools.count(1)
        self._stopping = False
        self._leaving = False
        self._watch = asyncio.ensure_future(self._watch_loop())
        self._clients = [asyncio.ensure_future(self._run(False)) for _ in range(kept)]
        self._clients += [asyncio.ensure_future(self._run(True)) for _ in range(fresh)]

    def leave(self) -> None:
        self._leaving = True

    async def stop(self) -> Tally:
        self._stopping = True
        return await self.ended()

    async def ended(self) -> Tally:
        await asyncio.gather(*self._clients)
        self._watch.cancel()
        return self.tally

    async def _watch_loop(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_TURN)
            self.tally.stalled = max(self.tally.stalled, time.monotonic() - began - _TURN)

    async def _run(self, fresh: bool) -> None:
        session: Session | None = None
        while not self._stopping:
            await asyncio.sleep(random.random() * self._pause)
            if session is not None and session.ended:
                session.close()
                session = None
            if session is None:
                try:
                    session = await Session.open(self._address)
                    self.tally.connections += 1
                except Refused:
                    if self._leaving:
                        return
                    self.tally.refused += 1
                    continue
            closing = await self._one(session, fresh)
            if closing:
                session.close()
                session = None
                if self._leaving:
                    return
        if session is not None:
            session.close()

    async def _one(self, session: Session, fresh: bool) -> bool:
        """One request; whether the connection is over."""
        began = time.monotonic()
        try:
            pid, closing = await session.exchange(next(self._numbers), close=fresh)
        except Lost as loss:
            self.tally.lost[str(loss)] += 1
            self.tally.lost_on[session.pid] += 1
            return True
        tally = self.tally
        tally.answered += 1
        tally.pids[pid] += 1
        tally.longest = max(tally.longest, time.monotonic() - began)
        tally.announced += closing and not fresh
        return fresh or closing
