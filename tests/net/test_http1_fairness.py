"""``net/http1``: what one peer may have handled in one turn of the loop, however much it sends at once.

Blocking is real time, of which only the least is known: what is asserted are counts that a slow machine makes smaller.
"""

from __future__ import annotations

import asyncio
import time

from pronghorn.net.http1 import MOST_PARTS, MOST_REQUESTS, MOST_SECONDS
from pronghorn.net.turn import MOST_TOGETHER
from tests.asgi.apps import Receive, Scope, Send, read_all, reply
from tests.asgi.doubles import in_loop, settle, until
from tests.net.neighbour import Neighbour
from tests.net.support import GET, Wire, post
from tests.support.turns import TurnMeter

#: Of one read.
FLOOD = 256 * 1024


class Counting:
    """An application that keeps the loop for ``seconds`` a request; ``meter`` counts the requests of each turn."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.meter = TurnMeter()
        self.seconds = seconds
        self.served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/neighbour":
            self.served += 1
            self.meter.note()
            await read_all(receive)
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                pass
        await reply(send)


@in_loop
async def test_pipelined_requests_leave_others_their_turns(eager: bool) -> None:
    for request in (GET % b"/", post(b"content"), b"\r\n" * 7 + GET % b"/", post(b"x", b"expect: 100-continue")):
        app = Counting()
        wire = Wire(app, eager=eager)
        neighbour = Neighbour(wire)
        count = FLOOD // len(request)
        wire.send(request * count)
        with app.meter:
            progress = await neighbour.ask(lambda app=app: app.served)
            assert progress.meanwhile <= MOST_REQUESTS * progress.turns
            assert progress.turns <= 6
            await until(lambda app=app, count=count: app.served == count, "all are served")
        assert app.meter.most <= MOST_REQUESTS
        await settle()
        assert wire.received.count(b"HTTP/1.1 200") == count


@in_loop
async def test_an_application_that_blocks_is_called_less_often(eager: bool) -> None:
    for seconds in (0.0002, 0.0015, 0.01):
        app = Counting(seconds)
        wire = Wire(app, eager=eager)
        neighbour = Neighbour(wire)
        wire.send(GET % b"/" * 60)
        with app.meter:
            progress = await neighbour.ask(lambda app=app: app.served)
            assert progress.turns <= 6
            await until(lambda app=app: app.served == 60, "all are answered")
        # The first, those that begin in the time that one connection has, and one that goes beyond it.
        assert app.meter.most <= 2 + MOST_SECONDS / seconds


@in_loop
async def test_many_connections_leave_the_loop_its_turns(eager: bool) -> None:
    """What the application set itself is called in between; and who asks again waits for who has not had his turn."""
    app = Counting(0.001)
    first = Wire(app, eager=eager)
    wires = [first, *(Wire(app, worker=first) for _ in range(29))]
    for wire in wires:
        wire.send(GET % b"/" * 20)
    with app.meter:
        await until(lambda: app.served >= 300, "a part")
        fewest = min(wire.received.count(b"HTTP/1.1 200") for wire in wires)
        most = max(wire.received.count(b"HTTP/1.1 200") for wire in wires)
        assert most - fewest <= 2 * (2 + MOST_SECONDS / app.seconds)
        await until(lambda: app.served == 600, "all are answered")
    if eager:  # else the tasks of all are the loop's own callbacks
        assert app.meter.most <= 1 + MOST_TOGETHER / app.seconds + 2 + MOST_SECONDS / app.seconds


@in_loop
async def test_small_chunks_leave_others_their_turns(eager: bool) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    taken = [0]
    meter = TurnMeter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = scope["path"] != "/neighbour"
        while more:
            event = await receive()
            taken[0] += len(event["body"])
            meter.note(len(event["body"]))
            more = event["more_body"]
        await reply(send)

    for together in (True, False):
        taken[0] = 0
        wire = Wire(app, eager=eager)
        neighbour = Neighbour(wire)
        chunks = b"1\r\nx\r\n" * (FLOOD // 6)
        if together:
            wire.send(head + chunks)
        else:
            wire.send(head)
            await asyncio.sleep(0)
            wire.send(chunks)
        with meter:
            progress = await neighbour.ask(lambda: taken[0])
            assert progress.meanwhile <= MOST_PARTS * progress.turns
            wire.send(b"0\r\n\r\n")
            await wire.answered(1, "POST")
        assert taken[0] == FLOOD // 6
        assert meter.most <= MOST_PARTS


@in_loop
async def test_what_waits_for_its_turn_is_bounded(eager: bool) -> None:
    app = Counting()
    wire = Wire(app, eager=eager)
    for _ in range(10):
        wire.send(GET % (b"/" + b"x" * 1000) * 250)
    assert wire.transport.delivered < 4 * FLOOD
    await until(lambda: app.served == 2500, "all are served")
    await settle()
    assert wire.received.count(b"HTTP/1.1 200") == 2500


@in_loop
async def test_the_end_behind_a_flood(eager: bool) -> None:
    """What was sent before it is answered, and nobody waits longer for it."""
    app = Counting()
    wire = Wire(app, eager=eager)
    wire.send(GET % b"/" * 500)
    wire.send_eof()
    with app.meter:
        await wire.ended()
    assert wire.received.count(b"HTTP/1.1 200") == 500
    assert app.meter.most <= MOST_REQUESTS
