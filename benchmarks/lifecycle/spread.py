"""How evenly connections land on the workers, while all of them stay open."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

from client import Session
from server import Server

_WORKERS = 4
_BURST_SECONDS = 20.0


class Held:
    """Connections that stay open, each having asked once who serves it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._sessions: list[Session] = []
        self.pids: Counter[int] = Counter()
        self.longest = 0.0

    async def open(self, count: int, pause: float = 0.0) -> None:
        tasks = []
        for number in range(count):
            tasks.append(asyncio.ensure_future(self._one(number)))
            if pause:
                await asyncio.sleep(pause)
        await asyncio.wait_for(asyncio.gather(*tasks), _BURST_SECONDS + count * pause)

    async def _one(self, number: int) -> None:
        began = time.monotonic()
        session = await Session.open(self._server.address)
        self._sessions.append(session)
        pid, _ = await session.exchange(number, close=False)
        self.pids[int(pid)] += 1
        self.longest = max(self.longest, time.monotonic() - began)

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def _row(name: str, counts: list[int], longest: float, note: str = "") -> dict[str, object]:
    mean = sum(counts) / max(len(counts), 1)
    ratio = max(counts, default=0) / mean if mean else 0.0
    return {"case": name, "counts": sorted(counts, reverse=True), "max/mean": round(ratio, 3),
            "longest_s": round(longest, 3), "note": note}  # fmt: skip


def _counts(held: Held, pids: list[int]) -> list[int]:
    return [held.pids.get(pid, 0) for pid in pids]


async def _healthy(server: Server, name: str, count: int, pause: float = 0.0) -> dict[str, object]:
    await asyncio.sleep(1.5)  # all workers have seen each other
    held = Held(server)
    await held.open(count, pause)
    held.close()
    return _row(name, _counts(held, server.serving()), held.longest)


async def _one_blocked(server: Server) -> dict[str, object]:
    """3 seconds into nothing: the others take what comes, evenly and at once."""
    await asyncio.sleep(1.5)
    blocker = await Session.open(server.address)
    blocker.writer.write(b"GET /block?seconds=3 HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.1)
    held = Held(server)
    await held.open(64)
    blocked = [pid for pid in server.children() if pid not in held.pids]
    counts = _counts(held, [pid for pid in server.children() if pid in held.pids])
    held.close()
    blocker.close()
    return _row("64 at once, one worker blocked for 3 s", counts, held.longest, f"{len(blocked)} worker(s) got none")


async def _after_hup(server: Server) -> dict[str, object]:
    """Old workers hold WebSockets or streams; the new ones share what is new."""
    sockets = [await _websocket(server) for _ in range(40)]
    before = set(server.children())
    server.signal(signal.SIGHUP)
    for _ in range(200):
        if len(set(server.serving()) - before) == _WORKERS:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    held = Held(server)
    await held.open(64)
    row = _row("64 at once after HUP, 40 WebSockets on the old workers", _counts(held, server.serving()), held.longest)
    held.close()
    for writer in sockets:
        writer.close()
    return row


async def _websocket(server: Server) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection(*server.address)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    return writer


CASES: dict[str, Callable[[Server], object]] = {
    "64": lambda server: _healthy(server, "64 at once", 64),
    "1000": lambda server: _healthy(server, "1,000 at once", 1000),
    "slow": lambda server: _healthy(server, "200, one every 5 ms", 200, 0.005),
    "blocked": _one_blocked,
    "hup": _after_hup,
}


async def measure(worker_class: str, names: list[str]) -> list[dict[str, object]]:
    """Each case on a server of its own."""
    rows = []
    for name in names:
        if worker_class == "granian" and name == "hup":
            continue  # its signals are others
        with Server(worker_class, _WORKERS) as server:
            try:
                row = await CASES[name](server)  # type: ignore[misc]
            except Exception as error:
                row = {"case": name, "counts": [], "max/mean": 0.0, "longest_s": 0.0, "note": f"failed: {error!r}"}
        rows.append({"worker": worker_class, **row})
        print(rows[-1], flush=True)
    return rows
