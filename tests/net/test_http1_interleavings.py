"""``net/http1`` under random interleavings of peer and application: each response is the right one, and all ends well.

The seeds are fixed, so a failure can be repeated. What a client may rely on is checked with h11; which requests are
answered at all depends on the first one that ends the connection.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.asgi.apps import Receive, Scope, Send, body, read_all, reply, start
from tests.asgi.doubles import in_loop, settle, until
from tests.net.support import Wire

#: ``PRONGHORN_TEST_SEEDS=100:2000`` looks elsewhere and longer.
SEEDS = range(*map(int, os.environ.get("PRONGHORN_TEST_SEEDS", "0:20").split(":")))
#: Conversations of a seed.
ROUNDS = 3


class Oops(Exception):
    pass


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, scope["raw_path"] + await read_all(receive))


async def echo_slowly(scope: Scope, receive: Receive, send: Send) -> None:
    for _ in range(4):
        await asyncio.sleep(0)
    await echo(scope, receive, send)


async def echo_in_parts(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(scope["raw_path"], True))
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        await send(body(event["body"], event["more_body"]))
        if not event["more_body"]:
            return


async def ignore_content(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, scope["raw_path"])


async def go_on_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, scope["raw_path"])
    for _ in range(6):
        await receive()
        await send(body(b"stray"))


async def listen(scope: Scope, receive: Receive, send: Send) -> None:
    content = await read_all(receive)
    listener = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await reply(send, scope["raw_path"] + content)
    assert (await listener)["type"] == "http.disconnect"


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, scope["raw_path"] + b"x" * 200_000)


async def fail_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise Oops


async def fail_amid(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"some", True))
    await asyncio.sleep(0)
    raise Oops


Behaviour = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Name: the application, and whether its response has the request's content.
BEHAVIOURS: dict[str, tuple[Behaviour, bool]] = {
    "echo": (echo, True),
    "slowly": (echo_slowly, True),
    "parts": (echo_in_parts, True),
    "ignore": (ignore_content, False),
    "afterwards": (go_on_afterwards, False),
    "listen": (listen, True),
    "large": (large, False),
    "fail": (fail_at_once, False),
    "amid": (fail_amid, False),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await BEHAVIOURS[scope["path"].split("/")[1]][0](scope, receive, send)


@dataclass(frozen=True)
class Exchange:
    """A request, and what the application answers to it."""

    behaviour: str
    target: bytes
    data: bytes
    expected: bytes

    @property
    def status(self) -> int:
        return 500 if self.behaviour == "fail" else 200


def any_exchange(chance: random.Random, number: int) -> Exchange:
    behaviour = chance.choice([*BEHAVIOURS])
    target = b"/%b/%d" % (behaviour.encode(), number)
    content = bytes(chance.choices(b"abc", k=chance.choice([0, 0, 1, 5, 3000])))
    lines = [b"POST %b HTTP/1.1" % target, b"host: x"]
    if chance.random() < 0.4:
        lines.append(b"transfer-encoding: chunked")
        cut = chance.randint(0, len(content))
        chunks = [part for part in (content[:cut], content[cut:]) if part]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks) + b"0\r\n\r\n"
    else:
        lines.append(b"content-length: %d" % len(content))
        framed = content
    expected = target + (content if BEHAVIOURS[behaviour][1] else b"")
    if behaviour == "large":
        expected += b"x" * 200_000
    return Exchange(behaviour, target, b"\r\n".join(lines) + b"\r\n\r\n" + framed, expected)


def cuts(chance: random.Random, data: bytes) -> list[bytes]:
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 12)))
    edges = [0, *places, len(data)]
    return [data[first:last] for first, last in itertools.pairwise(edges) if first < last]


async def converse(wire: Wire, chance: random.Random, exchanges: list[Exchange]) -> None:
    """Send it all, in pieces, reading now and then."""
    for piece in cuts(chance, b"".join(one.data for one in exchanges)):
        if wire.closed:
            return
        wire.send(piece)
        what = chance.randint(0, 5)
        if what == 0:
            wire.stop_reading()
        elif what == 1:
            wire.read_all()
        elif what == 2 and not wire.transport.peer_reads:
            wire.transport.take(chance.randint(0, 100_000))
        await settle(chance.choice([0, 0, 1, 3, 20]))


def check_answers(wire: Wire, exchanges: list[Exchange]) -> int:
    """Each response belongs to its request; returns how many there are."""
    answers = wire.responses(*["POST"] * len(exchanges))
    for answer, one in zip(answers, exchanges, strict=False):
        if answer.status == 0 or answer.cut or not answer.complete:
            assert answer is answers[-1], "something follows a response that has no end"
            continue
        assert answer.status == one.status, one
        if one.behaviour != "fail":
            assert answer.body == one.expected, one.target
    assert b"stray" not in wire.received
    return len(answers)


async def check_that_all_is_over(wire: Wire) -> None:
    await until(lambda: not wire.context.tasks, "the applications have ended")
    await until(lambda: not wire.reaper.connections, "the connection is gone")
    assert {type(error) for error in wire.log.raised} <= {Oops}, wire.log.raised


@pytest.mark.parametrize("seed", SEEDS)
@in_loop
async def test_pipelined(seed: int, eager: bool) -> None:
    """All is sent and read in the end: everything up to what ends the connection is answered."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        wire = Wire(app, eager=eager, high_water=chance.choice([10, 1000, 65536]), disconnect_grace_period=0.0)
        exchanges = [any_exchange(chance, number) for number in range(chance.randint(1, 8))]
        await converse(wire, chance, exchanges)
        wire.read_all()
        await settle(100)
        count = check_answers(wire, exchanges)
        if count < len(exchanges):
            assert wire.closed or wire.transport.eof_written, "waits although there is a request"
        else:
            assert count == len(exchanges)
        wire.transport.arrive(b"")
        await check_that_all_is_over(wire)


@pytest.mark.parametrize("seed", SEEDS)
@in_loop
async def test_half_closed(seed: int, eager: bool) -> None:
    """As before, with the end of input right behind the last request."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        wire = Wire(app, eager=eager, high_water=chance.choice([10, 65536]))
        exchanges = [any_exchange(chance, number) for number in range(chance.randint(1, 4))]
        await converse(wire, chance, exchanges)
        wire.transport.arrive(b"")
        wire.read_all()
        await until(lambda wire=wire: not wire.reaper.connections or wire.transport.eof_written)  # type: ignore[misc]
        await settle(5)
        check_answers(wire, exchanges)
        wire.lose()
        await check_that_all_is_over(wire)


@pytest.mark.parametrize("seed", SEEDS)
@in_loop
async def test_lost_anywhere(seed: int, eager: bool) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        wire = Wire(app, eager=eager, disconnect_grace_period=0.0)
        exchanges = [any_exchange(chance, number) for number in range(chance.randint(1, 4))]
        data = b"".join(one.data for one in exchanges)
        for piece in cuts(chance, data[: chance.randint(1, len(data))]):
            if not wire.closed:
                wire.send(piece)
                await settle(chance.choice([0, 1, 3]))
        wire.lose(ConnectionResetError())
        await check_that_all_is_over(wire)


@pytest.mark.parametrize("seed", SEEDS)
@in_loop
async def test_drained_anywhere(seed: int, eager: bool) -> None:
    """Whatever is answered is answered rightly, and the connection ends."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        wire = Wire(app, eager=eager)
        exchanges = [any_exchange(chance, number) for number in range(chance.randint(1, 4))]
        data = b"".join(one.data for one in exchanges)
        cut = chance.randint(0, len(data))
        if cut:
            wire.send(data[:cut])
        await settle(chance.choice([0, 1, 3, 20]))
        wire.context.draining = True
        wire.connection.drain()
        await settle(chance.choice([0, 1, 3]))
        if cut < len(data) and not wire.closed:
            wire.send(data[cut:])
        for _ in range(4):
            await settle(30)
            wire.advance(0.4)
        check_answers(wire, exchanges)
        wire.transport.arrive(b"")
        await check_that_all_is_over(wire)
