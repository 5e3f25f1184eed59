"""What a client asks, and what happens in which order: made at random from a seed, small enough to be read."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.net.explore.behaviours import PROMISES, REFUSED, WEBSOCKETS, Promise
from tests.support.frames import BINARY, CONT, HANDSHAKE, PING, TEXT, sent, sent_close


@dataclass(frozen=True)
class Ask:
    """One request. ``size``: of its content, which comes in chunks of ``chunk`` bytes, or with a length where 0.

    ``old``: in HTTP/1.0. Of "garbage" only the number counts.
    """

    behaviour: str
    number: int
    method: str = "GET"
    size: int = 0
    chunk: int = 0
    expects: bool = False
    closes: bool = False
    old: bool = False

    @property
    def promise(self) -> Promise:
        return REFUSED if self.behaviour == "garbage" else PROMISES.get(self.behaviour) or WEBSOCKETS[self.behaviour]

    @property
    def is_websocket(self) -> bool:
        return self.behaviour in WEBSOCKETS

    @property
    def path(self) -> bytes:
        return b"/%b/%d" % (self.behaviour.encode(), self.number)

    @property
    def content(self) -> bytes:
        return (b"<%d>" % self.number * self.size)[: self.size]

    @property
    def data(self) -> bytes:
        if self.behaviour == "garbage":
            return b"GET %b HTTP/1.1\r\nno field\r\n\r\n" % self.path
        lines = [b"%b %b HTTP/1.%d" % (self.method.encode(), self.path, not self.old), b"host: x"]
        if self.is_websocket:
            lines += [b"%b: %b" % one for one in HANDSHAKE]
        if self.chunk:
            lines.append(b"transfer-encoding: chunked")
        elif self.size:
            lines.append(b"content-length: %d" % self.size)
        if self.expects:
            lines.append(b"expect: 100-continue")
        if self.closes:
            lines.append(b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n" + self._framed()

    def _framed(self) -> bytes:
        if not self.chunk:
            return self.content
        parts = [self.content[at : at + self.chunk] for at in range(0, self.size, self.chunk)]
        return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"

    @property
    def expected(self) -> bytes:
        """The content of the answer."""
        if self.method == "HEAD":
            return b""
        return self.path + (self.content if self.promise.echoes else b"") + self.promise.more


@dataclass(frozen=True)
class Frame:
    """What a client sends over a WebSocket, in one frame or, ``fragments``, in several."""

    kind: str
    size: int = 0

    @property
    def text(self) -> str:
        return "é" * (self.size // 2) + "x" * (self.size % 2)

    @property
    def data(self) -> bytes:
        payload = self.text.encode()
        if self.kind == "close":
            return sent_close()
        if self.kind == "fragments":
            half = self.size // 2
            return sent(TEXT, payload[:half], fin=False) + sent(PING, b"p") + sent(CONT, payload[half:])
        if self.kind == "ping":
            return sent(PING, payload[:125])
        return sent(TEXT if self.kind == "text" else BINARY, payload)


Step = tuple[Any, ...]


@dataclass(frozen=True)
class Script:
    """``asks``: in order, then ``frames`` where the last opens a WebSocket.

    ``steps``: send(n), fin, reset, stop_reading, read(n), read_all, turn(n), take_turn, go, drain, last_call,
    terminate, late(seconds), neighbour: another client asks. ``patient``: the client sends no frame before its
    handshake is answered. ``rest``: what is not sent in the steps is sent behind them. ``finale``: how the client
    leaves: fin, reset, or by its silence.
    """

    asks: tuple[Ask, ...]
    frames: tuple[Frame, ...] = ()
    steps: tuple[Step, ...] = ()
    patient: bool = True
    rest: bool = True
    finale: str = "fin"
    attributes: dict[str, Any] = field(default_factory=dict)

    def has(self, *kinds: str) -> bool:
        return any(step[0] in kinds for step in self.steps)

    def smaller(self) -> list[Script]:
        """Scripts with one thing less."""
        found = [replace(self, steps=self.steps[:at] + self.steps[at + 1 :]) for at in range(len(self.steps))]
        found += [replace(self, asks=self.asks[:at] + self.asks[at + 1 :]) for at in range(len(self.asks))]
        found += [replace(self, frames=self.frames[:at] + self.frames[at + 1 :]) for at in range(len(self.frames))]
        for at, ask in enumerate(self.asks):
            if ask.size:
                plain = replace(ask, size=0, chunk=0, expects=False)
                found.append(replace(self, asks=(*self.asks[:at], plain, *self.asks[at + 1 :])))
        return [one for one in found if one.asks]

    def __str__(self) -> str:
        lines = [f"    {one}" for one in (*self.asks, *self.frames, *self.steps)]
        ends = f"patient={self.patient}, rest={self.rest}, finale={self.finale!r}, {self.attributes}"
        return "\n".join([*lines, f"    {ends}"])


def any_ask(chance: random.Random, number: int) -> Ask:
    behaviour = chance.choice([*PROMISES])
    kind = chance.random()
    if kind < 0.03:
        return Ask("garbage", number)
    if kind < 0.08:
        return Ask(behaviour, number, chance.choice(["GET", "POST"]), chance.choice([0, 10, 80_000]), old=True)
    if kind < 0.38:
        return Ask(behaviour, number, chance.choice(["GET", "GET", "HEAD", "DELETE"]), closes=chance.random() < 0.05)
    size = chance.choice([1, 10, 10, 3000, 3000, 80_000, 150_000])
    chunk = chance.choice([0, 0, size, max(size // 3, 1)])
    return Ask(behaviour, number, "POST", size, chunk, expects=chance.random() < 0.15, closes=chance.random() < 0.05)


def any_frame(chance: random.Random) -> Frame:
    kind = chance.choice(["text", "text", "text", "binary", "ping", "fragments", "close"])
    return Frame(kind, 2 * chance.choice([0, 1, 6, 1500, 35_000]))


def any_step(chance: random.Random) -> Step:
    """Mostly bytes and turns; what ends a connection is rare, so that much happens before it."""
    roll = chance.random()
    if roll < 0.4:
        return "send", chance.choice([1, 30, 60, 120, 120, 500, 5000, 100_000, 1_000_000])
    if roll < 0.6:
        return "turn", chance.choice([1, 1, 1, 2, 3, 10])
    if roll < 0.7:
        return ("go",)
    if roll < 0.9:
        return chance.choice([("stop_reading",), ("stop_reading",), ("read", 1000), ("read", 100_000), ("read_all",)])
    if roll < 0.93:
        return chance.choice([("take_turn",), ("neighbour",)])
    ends: list[Step] = [("fin",), ("fin",), ("reset",), ("drain",), ("drain",), ("last_call",), ("terminate",)]
    return chance.choice([*ends, ("late", 2.1), ("late", 61.0)])


def any_script(seed: int) -> Script:
    chance = random.Random(seed)
    asks = [any_ask(chance, number) for number in range(chance.choice([1, 1, 2, 2, 3, 4, 6]))]
    for place, ask in enumerate(asks):
        if ask.behaviour == "endless":  # behind much that waits reading pauses, and nobody sees the client leave
            asks[place + 1 :] = [replace(one, size=0, chunk=0, expects=False) for one in asks[place + 1 :]]
    frames: list[Frame] = []
    patient = True
    if chance.random() < 0.35 and all(one.behaviour != "endless" for one in asks):
        asks = [one for one in asks if not (one.closes or one.old or one.behaviour == "garbage")]
        del asks[chance.choice([0, 1, 2]) :]
        asks.append(Ask(chance.choice([*WEBSOCKETS, "ws_echo", "ws_echo"]), 50))
        frames = [any_frame(chance) for _ in range(chance.choice([0, 1, 2, 5, 40]))]
        patient = not asks[-1].promise.opens or chance.random() < 0.5
    steps = [any_step(chance) for _ in range(chance.randint(1, 14))]
    if not asks[-1].is_websocket and chance.random() < 0.05:
        asks += [Ask("quick", number) for number in range(100, 145)]
        steps = [("send", 1_000_000), ("neighbour",), *steps]
    if chance.random() < 0.3:
        steps.append(("fin",))
    if any(step[0] == "late" for step in steps):  # a head that is late is answered before its method is known
        asks = [replace(one, method="GET") if one.method == "HEAD" else one for one in asks]
    return Script(
        tuple(asks),
        tuple(frames),
        tuple(steps),
        patient,
        rest=chance.random() < 0.8,
        finale=chance.choice(["fin", "fin", "reset", "silence"]),
        attributes={
            "high_water": chance.choice([10, 1000, 65536, 65536]),
            "disconnect_grace_period": chance.choice([0.0, 3.0, 3.0, 3.0]),
            "max_body_size": chance.choice([0, 0, 0, 100_000]),
            "request_timeout": chance.choice([0.0, 0.0, 0.0, 20.0]),
            "keepalive": chance.choice([2.0, 2.0, 2.0, 0.0]),
        },
    )
