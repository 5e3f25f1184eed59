"""``net/connection``: one transport's reads, writes, flow control, and each way in which it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.net.connection import LINGER, Connection, Protocol, State
from pronghorn.net.reaper import Reaper
from tests.asgi.doubles import RecordingLog, in_loop, make_context, settle, until
from tests.net.support import CLIENT, HIGH_WATER, SERVER, FakeTransport

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

    def __init__(self, *, extra: dict[str, Any] | None = None, can_half_close: bool = True, **attributes: Any) -> None:
        attributes.setdefault("write_timeout", WRITE)
        self.context = make_context(lambda *_: None, **attributes)
        loop = asyncio.get_running_loop()
        self.reaper = Reaper(loop, self.context)
        self.protocol = Recorder()
        self.chosen_for: list[Connection] = []
        self.connection = Connection(self.context, self.reaper, self._choose)
        self.transport = FakeTransport(loop, **(extra or {}))
        self.transport.can_half_close = can_half_close
        self.transport.protocol = self.connection
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


# -- the beginning --------------------------------------------------------------------------------------------------


@in_loop
async def test_made() -> None:
    bench = Bench()
    assert bench.reaper.connections == {bench.connection}
    assert bench.chosen_for == [bench.connection]
    assert bench.connection.state is State.SERVING
    assert bench.connection.writable
    assert bench.connection.endpoint.client == CLIENT
    assert bench.connection.endpoint.template["server"] == SERVER
    assert bench.connection.endpoint.scheme == "http"
    assert bench.told == []


@in_loop
async def test_made_while_draining() -> None:
    bench = Bench(draining=True)
    assert bench.told == ["drain"]
    assert bench.connection.state is State.DRAINING


@pytest.mark.parametrize(
    ("sockname", "server"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80)),
        (("::1", 80, 0, 0), ("::1", 80)),
        ("/run/app.sock", ("/run/app.sock", None)),
        (b"\0app", ("\0app", None)),
        (b"\xff", ("\udcff", None)),
        ("", None),
        (None, None),
    ],
)
@in_loop
async def test_the_address_that_was_connected_to(sockname: Any, server: Any) -> None:
    assert Bench(extra={"sockname": sockname}).connection.endpoint.template["server"] == server


@pytest.mark.parametrize(
    ("extra", "peer"),
    [
        ({}, CLIENT[0]),
        ({"peername": ("::1", 5, 0, 0)}, "::1"),
        ({"peername": "", "sockname": "/run/app.sock"}, "unix"),
        ({"peername": None, "sockname": None}, "unix"),
    ],
)
@in_loop
async def test_the_peer_in_a_log_line(extra: dict[str, Any], peer: str) -> None:
    assert Bench(extra=extra).connection.peer() == peer


@in_loop
async def test_the_peer_before_the_connection_was_made() -> None:
    context = make_context(lambda *_: None)
    connection = Connection(context, Reaper(asyncio.get_running_loop(), context), lambda _: Recorder())
    assert isinstance(connection.peer(), str)


@in_loop
async def test_what_the_transport_knows() -> None:
    bench = Bench(extra={"ssl_object": "tls"})
    assert bench.connection.is_tls()
    assert bench.connection.endpoint.scheme == "https"
    assert bench.connection.extra_info("peername") == CLIENT
    assert bench.connection.extra_info("nothing") is None
    bench.connection.connection_lost(None)
    assert bench.connection.extra_info("peername") is None
    assert not bench.connection.is_tls()


# -- reading --------------------------------------------------------------------------------------------------------


@in_loop
async def test_what_arrives_is_handed_on() -> None:
    bench = Bench()
    bench.transport.arrive(b"one")
    bench.transport.arrive(b"two")
    bench.transport.arrive(b"")
    assert bench.told == [b"one", b"two", "eof"]


@pytest.mark.parametrize("stays_open", [True, False])
@pytest.mark.parametrize("tls", [None, "tls"])
@in_loop
async def test_end_of_input(stays_open: bool, tls: Any) -> None:
    """TLS has no half-close: the transport must not be told to stay open."""
    bench = Bench(extra={"ssl_object": tls})
    bench.protocol.stays_open = stays_open
    assert bench.connection.eof_received() is (stays_open and not tls)
    assert bench.told == ["eof"]


@in_loop
async def test_reading_is_paused_and_resumed_once() -> None:
    """The fake transport objects to a second time, as some do."""
    bench = Bench()
    bench.connection.resume_reading()
    bench.connection.pause_reading()
    bench.connection.pause_reading()
    bench.transport.arrive(b"later")
    assert bench.told == []
    bench.connection.resume_reading()
    bench.connection.resume_reading()
    await settle()
    assert bench.told == [b"later"]
    assert bench.transport.calls == ["pause_reading", "resume_reading"]


@pytest.mark.parametrize("end", ["close", "abort", "lost"])
@in_loop
async def test_reading_is_left_alone_after_the_end(end: str) -> None:
    bench = Bench()
    bench.connection.pause_reading()
    end_by(bench, end)
    bench.connection.resume_reading()
    bench.connection.pause_reading()
    assert "resume_reading" not in bench.transport.calls


@in_loop
async def test_what_the_peer_has_sent_and_the_loop_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench = Bench(extra={"socket": ours})
        assert not bench.connection.has_unread()
        theirs.send(b"GET")
        assert bench.connection.has_unread()
        ours.recv(10)
        assert not bench.connection.has_unread()
        theirs.send(b"x")
        bench.connection.connection_lost(None)
        assert not bench.connection.has_unread()


@in_loop
async def test_a_transport_without_a_socket_has_nothing_unread() -> None:
    assert not Bench().connection.has_unread()


# -- writing --------------------------------------------------------------------------------------------------------


@in_loop
async def test_parts_are_one_write() -> None:
    bench = Bench()
    bench.connection.write([b"one"])
    bench.connection.write([b"two", b"", b"three"])
    assert bench.transport.writes == [b"one", b"twothree"]
    assert bench.transport.calls == []


@in_loop
async def test_large_parts_are_written_in_order() -> None:
    bench = Bench()
    parts = [b"head", b"x" * 1_000_000, b"tail"]
    bench.connection.write(parts)
    assert bench.transport.received == b"".join(parts)
    assert bench.transport.calls == ["writelines"], "not copied together by us"


@pytest.mark.parametrize("end", ["lost"])
@in_loop
async def test_nothing_is_written_after_the_end(end: str) -> None:
    bench = Bench()
    end_by(bench, end)
    bench.connection.write([b"late"])
    bench.connection.write([b"late", b"r"])
    assert bench.transport.writes == []


@in_loop
async def test_a_slow_peer() -> None:
    bench = Bench()
    bench.block()
    assert not bench.connection.writable
    bench.transport.take()
    assert bench.connection.writable
    assert bench.told == ["resume"]
    assert bench.connection.deadline == 0.0


@in_loop
async def test_a_write_that_fails() -> None:
    """Whoever waits for a chance to write waits for the loop, which has the news."""
    bench = Bench()
    bench.transport.write_error = BrokenPipeError()
    bench.connection.write([b"into nothing"])
    assert not bench.connection.writable
    await settle()
    assert bench.told == ["lost"]


@in_loop
async def test_resumed_when_the_peer_is_gone() -> None:
    """Who waits to write would go on, into nothing, as fast as it can."""
    bench = Bench()
    bench.block()
    bench.transport.lose(ConnectionResetError())
    assert not bench.connection.writable
    assert bench.told == []
    await settle()
    assert bench.told == ["lost"]


@in_loop
async def test_resumed_after_it_was_lost() -> None:
    """A transport may still say so, on its way out."""
    bench = Bench()
    bench.block()
    bench.connection.connection_lost(None)
    bench.connection.resume_writing()
    assert bench.told == ["lost"]


# -- deadlines ------------------------------------------------------------------------------------------------------


@in_loop
async def test_within() -> None:
    bench = Bench(margin=0.25)
    now = bench.context.clock
    assert bench.connection.within(5.0) == now + 5.25
    assert bench.connection.within(0.0) == 0.0
    assert bench.connection.within(-1.0) == 0.0


@in_loop
async def test_a_deadline_is_the_protocols_affair() -> None:
    bench = Bench()
    bench.connection.deadline = bench.connection.within(5.0)
    bench.advance(4.9)
    assert bench.told == []
    bench.advance(0.2)
    assert bench.told == [("deadline", bench.context.clock)]
    assert bench.connection.deadline == 0.0
    bench.advance(100.0)
    assert len(bench.told) == 1


@in_loop
async def test_a_peer_that_reads_nothing_is_cut_off() -> None:
    bench = Bench()
    bench.block()
    bench.advance(WRITE - 0.1)
    assert not bench.transport.closing
    bench.advance(0.2)
    assert bench.transport.calls == ["abort"]
    assert bench.told == [], "the protocol's deadline is another"
    (line,) = bench.log.of("info")
    assert CLIENT[0] in line


@in_loop
async def test_any_progress_of_the_peer_gives_it_more_time() -> None:
    bench = Bench()
    bench.block()
    for _ in range(5):
        bench.transport.take(1)
        bench.advance(WRITE + 0.1)
        assert not bench.transport.closing
    bench.advance(WRITE + 0.1)
    assert bench.transport.closing


@in_loop
async def test_the_protocols_last_call_stands_above_progress() -> None:
    """The time for a whole request: a peer that reads slowly does not prolong it."""
    bench = Bench()
    bench.protocol.last = bench.context.clock + WRITE / 2
    bench.block()
    bench.transport.take(1)
    bench.advance(WRITE / 2 - 0.1)
    assert bench.told == []
    bench.advance(0.2)
    assert bench.told == [("deadline", bench.context.clock)]
    assert bench.transport.calls == []


@in_loop
async def test_a_last_call_that_is_later_changes_nothing() -> None:
    bench = Bench()
    bench.protocol.last = bench.context.clock + WRITE * 2
    bench.block()
    bench.advance(WRITE + 0.1)
    assert bench.transport.calls == ["abort"]


@in_loop
async def test_a_last_call_without_a_write_timeout() -> None:
    bench = Bench(write_timeout=0.0)
    bench.protocol.last = bench.context.clock + 5.0
    bench.block()
    bench.advance(5.1)
    assert len(bench.told) == 1


@in_loop
async def test_no_write_timeout() -> None:
    bench = Bench(write_timeout=0.0)
    bench.block()
    bench.advance(1e9)
    assert not bench.transport.closing


# -- the end --------------------------------------------------------------------------------------------------------


def end_by(bench: Bench, how: str) -> None:
    if how == "lost":
        bench.connection.connection_lost(ConnectionResetError())
    elif how == "lost quietly":
        bench.connection.connection_lost(None)
    else:
        getattr(bench.connection, how)()


#: Ways to be brought into each state.
INTO: dict[State, Callable[[Bench], None]] = {
    State.SERVING: lambda bench: None,
    State.DRAINING: lambda bench: bench.connection.drain(),
    State.LINGERING: lambda bench: bench.connection.linger(),
    State.CLOSED: lambda bench: bench.connection.close(),
}
S, D, L, C = State.SERVING, State.DRAINING, State.LINGERING, State.CLOSED
#: State, input: the state after it, and what the transport was asked to do.
TABLE: dict[State, dict[str, tuple[State, list[str]]]] = {
    S: {
        "drain": (D, []),
        "linger": (L, ["write_eof"]),
        "close": (C, ["close"]),
        "abort": (C, ["abort"]),
        "terminate": (S, []),
        "lost": (C, []),
    },
    D: {
        "drain": (D, []),
        "linger": (L, ["write_eof"]),
        "close": (C, ["close"]),
        "abort": (C, ["abort"]),
        "terminate": (D, []),
        "lost": (C, []),
    },
    L: {
        "linger": (L, []),
        "close": (C, ["close"]),
        "abort": (C, ["abort"]),
        "terminate": (C, ["abort"]),
        "lost": (C, []),
    },
    C: {
        "drain": (C, []),
        "linger": (C, []),
        "close": (C, []),
        "abort": (C, ["abort"]),
        "terminate": (C, ["abort"]),
        "lost": (C, []),
    },
}


@pytest.mark.parametrize(("state", "how"), [(state, how) for state, hows in TABLE.items() for how in hows])
@in_loop
async def test_each_state_under_each_input(state: State, how: str) -> None:
    bench = Bench()
    INTO[state](bench)
    assert bench.connection.state is state
    bench.transport.calls.clear()
    bench.told.clear()
    end_by(bench, how)
    after, calls = TABLE[state][how]
    assert bench.connection.state is after
    assert bench.transport.calls == calls
    told = {"drain": [], "terminate": ["terminate"], "lost": ["lost"]}.get(how, [])
    if how == "drain" and state is S:
        told = ["drain"]
    if how == "terminate" and state in (L, C):
        told = []
    assert bench.told == told


@pytest.mark.parametrize("state", list(INTO))
@in_loop
async def test_lost_in_each_state(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    bench.told.clear()
    bench.connection.connection_lost(ConnectionResetError())
    assert bench.connection.state is State.CLOSED
    assert bench.reaper.connections == set()
    assert bench.connection.deadline == 0.0
    assert bench.told == ["lost"]
    for how in ("drain", "linger", "close", "abort", "terminate"):
        end_by(bench, how)
    bench.connection.on_deadline(bench.context.clock)
    assert bench.told == ["lost"]


@in_loop
async def test_closed_when_all_is_sent() -> None:
    bench = Bench()
    bench.transport.peer_reads = False
    bench.connection.write([b"last words"])
    bench.connection.close()
    await settle()
    assert not bench.transport.lost
    bench.transport.take()
    await until(lambda: not bench.reaper.connections)
    assert bench.transport.received == b"last words"
    assert bench.told == ["lost"]


@pytest.mark.parametrize("state", [State.LINGERING, State.CLOSED])
@in_loop
async def test_what_arrives_after_the_end_is_dropped(state: State) -> None:
    bench = Bench()
    INTO[state](bench)
    bench.connection.data_received(b"late")
    assert bench.connection.eof_received() is False
    assert bench.told == []


# -- lingering ------------------------------------------------------------------------------------------------------


@in_loop
async def test_linger_reads_and_drops_until_the_peer_has_said_its_last() -> None:
    bench = Bench()
    bench.connection.write([b"413"])
    bench.connection.pause_reading()
    bench.connection.linger()
    assert bench.transport.reading
    for _ in range(10):
        bench.transport.arrive(b"x" * 10_000)
    assert not bench.transport.closing
    bench.transport.arrive(b"")
    await until(lambda: not bench.reaper.connections)
    assert bench.told == ["lost"]


@in_loop
async def test_linger_has_an_end() -> None:
    bench = Bench()
    bench.connection.linger()
    bench.advance(LINGER - 0.1)
    assert not bench.transport.closing
    bench.transport.arrive(b"still going")
    bench.advance(0.2)
    assert bench.transport.closing
    await until(lambda: not bench.reaper.connections)


@pytest.mark.parametrize(("extra", "half"), [({}, False), ({"ssl_object": "tls"}, True)], ids=["no half-close", "TLS"])
@in_loop
async def test_linger_where_there_is_no_half_close(extra: dict[str, Any], half: bool) -> None:
    bench = Bench(extra=extra, can_half_close=half)
    bench.connection.linger()
    assert bench.transport.calls == ["close"]
    assert bench.connection.state is State.CLOSED


@in_loop
async def test_linger_does_not_lose_what_is_still_to_be_sent() -> None:
    """The peer reads slowly, below the mark at which writing pauses: it must still get its response."""
    bench = Bench()
    bench.transport.peer_reads = False
    bench.connection.write([b"x" * 50_000])
    bench.connection.linger()
    for _ in range(5):
        bench.transport.take(1000)
        bench.advance(LINGER + 0.1)
        await settle()
    assert "abort" not in bench.transport.calls
    assert not bench.transport.lost
    bench.transport.take()
    bench.advance(LINGER + 0.1)
    await until(lambda: not bench.reaper.connections)
    assert len(bench.transport.received) == 50_000


@in_loop
async def test_drain_does_not_lose_what_a_lingering_connection_has_still_to_send() -> None:
    bench = Bench()
    bench.transport.peer_reads = False
    bench.connection.write([b"x" * 50_000])
    bench.connection.linger()
    bench.connection.drain()
    await settle()
    bench.transport.take()
    await settle()
    assert len(bench.transport.received) == 50_000
    bench.advance(LINGER + 0.1)
    await until(lambda: not bench.reaper.connections)


@pytest.mark.parametrize("state", [State.LINGERING, State.CLOSED])
@in_loop
async def test_a_peer_that_catches_up_and_then_stays_is_still_watched(state: State) -> None:
    """It has read all but a little, so that writing resumed, and then neither reads nor closes."""
    bench = Bench()
    bench.block(200_000)
    INTO[state](bench)
    bench.transport.take(199_000)
    assert bench.connection.writable
    for _ in range(3):
        bench.advance(WRITE + 0.1)
    await settle()
    assert bench.transport.lost
    assert bench.reaper.connections == set()
