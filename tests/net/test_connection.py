"""``net/connection``: one transport's reads, writes, flow control and deadlines."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from pronghorn.net.closing import State
from pronghorn.net.connection import Connection
from pronghorn.net.ends import UNKNOWN, Ends, ends_of
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from tests.asgi.doubles import in_loop, make_context, settle
from tests.net.bench import WRITE, Bench, Recorder, end_by
from tests.net.transport import CLIENT, SERVER

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
    assert Bench(ends=ends_of(socket.AF_INET, CLIENT, sockname)).connection.endpoint.template["server"] == server


@pytest.mark.parametrize(
    ("ends", "peer"),
    [
        (None, CLIENT[0]),
        (ends_of(socket.AF_INET6, ("::1", 5, 0, 0), ("::1", 80, 0, 0)), "::1"),
        (ends_of(socket.AF_UNIX, "", "/run/app.sock"), "unix:/run/app.sock"),
        (ends_of(socket.AF_INET, None, None), "unknown"),
        (ends_of(socket.AF_INET, None, SERVER), "unknown"),
        (UNKNOWN, "unknown"),
    ],
)
@in_loop
async def test_the_peer_in_a_log_line(ends: Ends | None, peer: str) -> None:
    assert Bench(ends=ends).connection.peer() == peer


@in_loop
async def test_the_peer_before_the_connection_was_made() -> None:
    context = make_context(lambda *_: None)
    connection = Connection(context, Reaper(asyncio.get_running_loop(), context), Turn(context), lambda _: Recorder())
    assert isinstance(connection.peer(), str)


@in_loop
async def test_what_the_transport_knows() -> None:
    bench = Bench(extra={"ssl_object": "tls", "peername": CLIENT})
    assert bench.connection.is_tls()
    assert bench.connection.endpoint.scheme == "https"
    assert bench.connection.extra_info("peername") == CLIENT
    assert bench.connection.extra_info("nothing") is None
    bench.connection.connection_lost(None)
    assert bench.connection.extra_info("peername") is None
    assert bench.connection.is_tls(), "also where nobody can be asked any more"


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
    bench.connection.write(list(parts))
    assert bench.transport.received == b"".join(parts)
    assert parts[1] in bench.transport.writes, "not copied together with others"
    assert bench.transport.calls == [], "writelines of some CPythons never pauses"


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
