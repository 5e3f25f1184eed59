"""Plays a script and checks what must be true of every one.

- Each complete request has exactly one answer, in order, or the connection ended for a reason that the client can see
  or the operator can read.
- Idle means reading: who has all answers may ask again.
- What waits to be sent is bounded, whatever the peer reads.
- The figures of the access log are those of the wire; who left first is not told as an error of the server's.
- Nothing is left: no task, timer or connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.logged import LoggedResponse
from tests.asgi.doubles import RecordingLog, misuses
from tests.net.explore.answers import Got, read_answers
from tests.net.explore.behaviours import LARGE, PART, Application
from tests.net.explore.peers import FakePeer, Peer
from tests.net.explore.scripts import Ask, Script
from tests.net.neighbour import Neighbour
from tests.net.transport import HIGH_WATER
from tests.support.frames import TEXT, received, sent

#: Bytes that may wait in this process for the peer to read: what is over the mark was one part, or one joined write.
MOST_UNSENT = 2 * HIGH_WATER + LARGE + PART
PROBE = Ask("echo", 99)
#: Turns of the loop in which another client has its answer, and requests that are answered before it.
MOST_TURNS = 4
MOST_CALLS = 2 * 16
#: Seconds of a long silence, longer than every deadline there is.
SILENCE = 100.0


class Fault(AssertionError):
    """Something that must be true of every script is not. ``kind``: which."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass
class Record:
    """What the access log would say of one exchange."""

    number: int
    status: int
    sent: int


class Play:
    """One script, played once. ``overlook``: kinds of faults that are known."""

    def __init__(
        self, script: Script, peer: Peer, *, eager: bool = False, overlook: frozenset[str] = frozenset()
    ) -> None:
        self.script = script
        self.peer = peer
        self.app = Application()
        self.records: list[Record] = []
        self._eager = eager
        self._overlook = overlook
        self._asks = list(script.asks)
        self._requests = b"".join(ask.data for ask in script.asks)
        self._data = self._requests + b"".join(frame.data for frame in script.frames)
        self._sent = 0
        self._fin = False
        self._reset = False
        self._disturbed = script.has("drain", "last_call", "terminate", "late")
        self._got: list[Got] = []
        self._tunnel: bytes | None = None

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.peer.context.log
        return log

    async def run(self) -> None:
        """Raises Fault."""
        before = asyncio.all_tasks()
        websockets = WebSocketSettings(compression=False, restart_spread=0.0)
        await self.peer.open(
            self.app, eager=self._eager, observer=self._observe, websockets=websockets, **self.script.attributes
        )
        try:
            for step in self.script.steps:
                await self._step(*step)
                self._check_bounds()
            await self._finish()
            await self._leave()
            if self.app.clients - {self.peer.client}:
                raise Fault("client", f"{self.app.clients} in the scope, not {self.peer.client}")
            self._check_records()
            self._check_log()
            await self._check_nothing_is_left(before)
        finally:
            self.peer.close()
            left = asyncio.all_tasks() - before
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    def _observe(self, exchange: Any) -> None:
        response = LoggedResponse(exchange)
        number = exchange.request.target.rpartition(b"/")[2]  # "-" of a request that could not be read
        self.records.append(Record(int(number) if number.isdigit() else -1, response.status_code, response.sent))

    # -- steps ------------------------------------------------------------------------------------------------------

    async def _step(self, kind: str, amount: Any = None) -> None:
        peer = self.peer
        if kind == "send":
            self._send(amount)
        elif kind == "fin":
            if not self._reset and not self._fin:
                self._fin = True
                peer.fin()
        elif kind == "reset":
            self._hang_up()
        elif kind in ("stop_reading", "read_all", "read"):
            if not self._reset:
                getattr(peer, kind)(*(() if amount is None else (amount,)))
        elif kind == "turn":
            await peer.let_turn(amount)
        elif kind == "take_turn":
            peer.take_turn()
        elif kind == "go":
            self.app.gates.let_one_go()
        elif kind == "late":
            peer.advance(amount)
        elif kind == "neighbour":
            await self._ask_beside()
        else:
            self._end_service(kind)

    async def _ask_beside(self) -> None:
        """Another client of the worker asks, and has its answer soon whatever this one does."""
        if not isinstance(self.peer, FakePeer) or self.peer.context.draining:
            return
        neighbour = Neighbour(self.peer.wire, b"/quick/98")
        progress = await neighbour.ask(lambda: len(self.app.calls))
        neighbour.wire.send_eof()
        late = progress.turns > MOST_TURNS or progress.meanwhile > MOST_CALLS
        if late and "unfair" not in self._overlook:
            raise Fault("unfair", f"another client waits, {progress}")

    def _end_service(self, kind: str) -> None:
        self.peer.context.draining = True
        self.peer.connection.drain()
        if kind == "last_call":
            self.peer.connection.wind_up()
        elif kind == "terminate":
            self.peer.connection.terminate()

    def _hang_up(self) -> None:
        if not self._reset:
            self._reset = True
            self.peer.reset()

    def _send(self, size: int) -> None:
        if self._fin or self._reset:
            return
        end = len(self._data)
        if self.script.patient and self._sent <= len(self._requests):
            self._read()
            if self._tunnel is None:
                end = len(self._requests)
        data = self._data[self._sent : min(self._sent + size, end)]
        if data:
            self._sent += len(data)
            self.peer.send(data)

    def _check_bounds(self) -> None:
        unsent = self.peer.connection.unsent()
        if unsent > MOST_UNSENT:
            raise Fault("bounds", f"{unsent} bytes wait for a peer that does not read")

    # -- the end of the script --------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """The client reads everything, and the applications come to their ends."""
        peer = self.peer
        await peer.let_turn(3)
        self._check_bounds()
        self.app.gates.open()
        if not self._reset:
            peer.read_all()
        for _ in range(2 if self.script.rest else 0):
            self._send(len(self._data))
            await self._rest()
        await self._rest()
        self._read()
        if not self._reset:
            self._check_answers()
            await self._probe()

    async def _rest(self) -> None:
        if not any(ask.behaviour == "endless" for ask in self._asks):
            await self.peer.come_to_rest()
        else:
            await self.peer.let_turn(150)

    def _read(self) -> None:
        self.peer.look()
        ended = self.peer.ended and not self.peer.was_reset
        # Of a request that is not all here, the server cannot know the method.
        methods = [ask.method for ask in self._asks[: self._complete()]]
        try:
            self._got, self._tunnel = read_answers(bytes(self.peer.received), methods, ended)
        except (AssertionError, ValueError) as error:
            raise Fault("wire", f"{error}") from error

    def _complete(self) -> int:
        """Requests of which everything was sent."""
        sizes = [len(ask.data) for ask in self._asks]
        return sum(sum(sizes[: number + 1]) <= self._sent for number in range(len(sizes)))

    # -- what must be true ------------------------------------------------------------------------------------------

    def _check_answers(self) -> None:
        complete = self._complete()
        for number, (ask, got) in enumerate(zip(self._asks, self._got, strict=False)):
            if not got.complete:
                if number != len(self._got) - 1:
                    raise Fault("order", f"something follows the unfinished answer to {ask}")
                if ask.promise.whole and not self._is_disturbed(number):
                    raise Fault("unfinished", f"the answer to {ask} has no end")
            elif number < complete and not self._is_disturbed(number):
                self._check_answer(ask, got)
        if len(self._got) < complete and not self._explains(len(self._got)):
            raise Fault("lost", f"{self._asks[len(self._got)]} has no answer, and nothing says why")
        if len(self._got) > len(self._asks) and self._got[len(self._asks)].status != 400:
            raise Fault("order", "more answers than requests")

    def _is_disturbed(self, number: int) -> bool:
        """Whether something may have come between request and answer."""
        cancelled = self._fin and self.script.attributes.get("disconnect_grace_period") == 0
        return self._disturbed or cancelled or number >= self._complete() or self._is_too_large(number)

    def _is_too_large(self, number: int) -> bool:
        """Whether the request, or one before it, has more content than is allowed."""
        most = self.script.attributes.get("max_body_size", 0)
        return most > 0 and any(ask.size > most for ask in self._asks[: number + 1])

    def _check_answer(self, ask: Ask, got: Got) -> None:
        if got.status != ask.promise.status:
            raise Fault("status", f"{got.status} for {ask}")
        if got.status == 200 and ask.promise.whole and got.body != ask.expected:
            raise Fault("content", f"{got.body[:80]!r}, {len(got.body)} bytes, for {ask}")
        if b"stray" in got.body:
            raise Fault("content", "what was sent after the end is on the wire")

    def _explains(self, number: int) -> bool:
        """Whether the client can tell why there is no answer to this request."""
        if self._is_disturbed(number):
            return True
        if number == 0:
            return False
        before, got = self._asks[number - 1], self._got[number - 1]
        unread = before.size > 0 and not before.promise.reads
        ends = got.closes or before.old or not got.complete or (unread and self.peer.ended)
        return ends or not before.promise.whole or got.status == 101

    async def _probe(self) -> None:
        """Idle means reading: the client asks once more."""
        peer = self.peer
        if self._fin or peer.ended or self._sent < len(self._data):
            return
        if self._tunnel is not None:
            await self._probe_websocket()
            return
        if len(self._got) != len(self._asks) or not all(ask.promise.whole for ask in self._asks):
            return
        self._asks.append(PROBE)
        self._requests = self._data = self._data + PROBE.data
        self._send(len(PROBE.data))
        await peer.come_to_rest()
        self._read()
        if peer.ended and self._disturbed:
            return
        if len(self._got) != len(self._asks) or not self._got[-1].complete:
            raise Fault("deaf", f"a further request gets no answer, {peer.connection.state!r}")

    async def _probe_websocket(self) -> None:
        """A WebSocket that echoes does so again, unless one side has closed it."""
        peer = self.peer
        frames = self._frames()
        closed = any(one[0] == "close" for one in frames) or any(one.kind == "close" for one in self.script.frames)
        if closed or not self._asks[-1].promise.opens or self._disturbed:
            return
        peer.send(sent(TEXT, b"probe"))
        await peer.come_to_rest()
        self._read()
        frames = self._frames()
        if ("text", "probe") not in frames:
            raise Fault("deaf", f"a message on a WebSocket is not read; frames: {[one[0] for one in frames]}")
        texts = [frame.text for frame in self.script.frames if frame.kind in ("text", "fragments")]
        if [one[1] for one in frames if one[0] == "text"] != [*texts, "probe"]:
            raise Fault("content", "what the WebSocket sends back is not what it got")

    def _frames(self) -> list[tuple[Any, ...]]:
        try:
            return received(self._tunnel or b"")
        except AssertionError as error:
            raise Fault("wire", str(error)) from error

    # -- the end of the connection ----------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """The client leaves, by its silence at the last, and all is over."""
        peer = self.peer
        endless = any(ask.behaviour == "endless" for ask in self._asks)
        if self.script.finale == "reset":
            self._hang_up()
        elif (self.script.finale == "fin" or endless or peer.ended) and not (self._fin or self._reset):
            self._fin = True
            peer.fin()
        try:
            for _ in range(6):
                await peer.let_turn(60)
                if not peer.reaper.connections and not peer.context.tasks:
                    break
                if not self._reset and self._fin and not self._disturbed and self._needs_no_time():
                    raise Fault("leak", "the connection outlives its client")
                peer.advance(SILENCE)
            await peer.until(lambda: not peer.reaper.connections, "the end of the connection", 500)
            await peer.until(lambda: not peer.context.tasks, "the end of the applications", 500)
        except Fault:
            raise
        except AssertionError as error:
            raise Fault("leak", str(error)) from error
        self._read()

    def _needs_no_time(self) -> bool:
        """Whether a connection whose client has sent FIN must end without a deadline."""
        return not any(ask.is_websocket for ask in self._asks) and not self.peer.was_reset

    def _check_records(self) -> None:
        """What the access log says."""
        places = {ask.number: place for place, ask in enumerate(self._asks)}
        logged = [places[one.number] for one in self.records if one.number in places]
        if len(logged) != len(set(logged)):
            raise Fault("records", f"an exchange is logged twice: {self.records}")
        for record in self.records:
            if record.number in places:
                place = places[record.number]
                self._check_record(record, self._asks[place], self._got[place] if place < len(self._got) else None)
        for place in range(min(len(self._got), self._complete())):
            # What is refused before it is read has no number, and 408 may have come before the rest.
            if place not in logged and self._got[place].status not in (400, 408):
                raise Fault("records", f"{self._asks[place]} was answered and is not logged")

    def _check_record(self, record: Record, ask: Ask, got: Got | None) -> None:
        gone = self._reset or self._fin
        ours = ask.promise.status == 500 or self.script.has("terminate")
        if gone and record.status in (500, 503) and not ours and "blame" not in self._overlook:
            raise Fault("blame", f"the client left, and {record.status} is logged for {ask}")
        if got is None:
            return
        # A client that had ended its side before it was answered has left, whatever it still got.
        told = (101, 500, 503) if ask.is_websocket else (400, 503)
        left = self._fin and record.status == 499 and got.status in told
        if got.complete and record.status != got.status and not left:
            raise Fault("figures", f"{record} for {got.status}, {ask}")
        if got.status == 101:
            if not self._reset and record.sent != len(self._tunnel or b""):
                raise Fault("figures", f"{record} for a WebSocket of {len(self._tunnel or b'')} bytes")
        elif got.complete and record.sent != len(got.body):
            raise Fault("figures", f"{record} for {len(got.body)} bytes, {ask}")

    def _check_log(self) -> None:
        """No error that is nobody's."""
        behaviours = {ask.behaviour for ask in self._asks}
        for text in self.log.errors:
            own = "Exception in ASGI application" in text and behaviours & {"fails", "breaks", "ws_fails"}
            silent = "returned" in text and behaviours & {"silent", "stops", "ws_silent"}
            left = (self._fin or self._reset) and "returned" in text
            if not own and not silent and not (left or self._disturbed):
                raise Fault("log", text)
            if text.startswith(("Exception on a connection", "Exception at the deadline")):
                raise Fault("log", text)

    async def _check_nothing_is_left(self, before: set[asyncio.Task[Any]]) -> None:
        await self.peer.let_turn(3)
        left = asyncio.all_tasks() - before
        if left:
            raise Fault("leak", f"tasks: {left}")
        timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
        waiting = [one for one in timers if not one.cancelled() and "pronghorn" in repr(one)]
        if waiting:
            raise Fault("leak", f"timers: {waiting}")
        if misuses:
            raise Fault("misuse", str(misuses))


# -- many of them -----------------------------------------------------------------------------------------------------

Open = Callable[[], Peer]


async def play(script: Script, open_peer: Open, **options: Any) -> Fault | None:
    """What is wrong with this script, if anything is; ``options``: of ``Play``."""
    misuses.clear()
    try:
        await Play(script, open_peer(), **options).run()
    except Fault as fault:
        return fault
    except AssertionError as error:
        return Fault("other", str(error))
    finally:
        misuses.clear()
    return None


async def shrink(script: Script, fault: Fault, open_peer: Open, tries: int = 150, **options: Any) -> Script:
    """A smaller script with a fault of the same kind."""
    smaller = iter(script.smaller())
    for candidate in smaller:
        tries -= 1
        if tries < 0:
            break
        found = await play(candidate, open_peer, **options)
        if found is not None and found.kind == fault.kind:
            return await shrink(candidate, found, open_peer, tries, **options)
    return script


