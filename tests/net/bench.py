"""A connection on a bench: between a fake transport and a protocol that only notes what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

from pronghorn.net.connection import Connection
from pronghorn.net.ends import Ends
from pronghorn.net.protocol import Protocol
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from tests.asgi.doubles import RecordingLog, make_context
from tests.net.transport import CLIENT, HIGH_WATER, SERVER, FakeTransport

WRITE = 60.0


class Recorder(Protocol):
    """A protocol that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.stays_open = True
        self.last = 0.0

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.stays_open

    def connection_lost(self) -> None:
        self.told.append("lost")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def on_deadline(self, now: float) -> None:
        self.told.append(("deadline", now))

    def last_call(self) -> float:
        return self.last

    def drain(self) -> None:
        self.told.append("drain")

    def terminate(self) -> None:
        self.told.append("terminate")


class Bench:
    """A connection between a fake transport and a protocol that only notes."""

    def __init__(
        self,
        *,
        ends: Ends | None = None,
        extra: dict[str, Any] | None = None,
        can_half_close: bool = True,
        **attributes: Any,
    ) -> None:
        attributes.setdefault("write_timeout", WRITE)
        self.context = make_context(lambda *_: None, **attributes)
        loop = asyncio.get_running_loop()
        self.reaper = Reaper(loop, self.context)
        self.protocol = Recorder()
        self.chosen_for: list[Connection] = []
        self.connection = Connection(self.context, self.reaper, Turn(self.context), self._choose)
        self.transport = FakeTransport(loop, **(extra or {}))
        self.transport.can_half_close = can_half_close
        self.transport.protocol = self.connection
        self.connection.ends = ends or Ends(CLIENT, SERVER, False)
        self.connection.connection_made(self.transport)

    def _choose(self, connection: Connection) -> Protocol:
        assert connection.endpoint is not None, "a protocol may look at who is on either side"
        self.chosen_for.append(connection)
        return self.protocol

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    @property
    def told(self) -> list[Any]:
        return self.protocol.told

    def advance(self, seconds: float) -> None:
        self.reaper.sweep(self.context.clock + seconds)

    def block(self, size: int = HIGH_WATER + 1) -> None:
        """The peer reads nothing, and more is written than is buffered."""
        self.transport.peer_reads = False
        self.connection.write([b"x" * size])


def end_by(bench: Bench, how: str) -> None:
    if how == "lost":
        bench.connection.connection_lost(ConnectionResetError())
    elif how == "lost quietly":
        bench.connection.connection_lost(None)
    else:
        getattr(bench.connection, how)()
