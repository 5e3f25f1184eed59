"""``net/closing``: each way in which a connection ends, from each of its states."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from pronghorn.net.closing import FAREWELL, LINGER, State
from tests.asgi.doubles import in_loop, settle, until
from tests.net.bench import WRITE, Bench, end_by

# -- the end --------------------------------------------------------------------------------------------------------


TLS = {"ssl_object": "tls"}
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


# -- idle ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


@in_loop
async def test_an_idle_peer_learns_of_the_end_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """What it sends before it knows is lost, and the transport takes until the loop's next turn."""
    ours, theirs = pair
    bench = Bench(extra={"socket": ours})
    assert bench.connection.close_idle()
    assert theirs.recv(1) == b""
    assert bench.transport.calls == ["close"]


@in_loop
async def test_a_peer_that_has_sent_something_is_not_idle(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    bench = Bench(extra={"socket": ours})
    theirs.send(b"GET")
    assert not bench.connection.close_idle()
    assert bench.connection.state is State.SERVING
    assert bench.transport.calls == []
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


@in_loop
async def test_tls_says_its_end_itself(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    bench = Bench(extra={**TLS, "socket": ours})
    assert bench.connection.close_idle()
    assert bench.transport.calls == ["close"]
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


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


@in_loop
async def test_linger_where_there_is_no_half_close() -> None:
    bench = Bench(can_half_close=False)
    bench.connection.linger()
    assert bench.transport.calls == ["close"]
    assert bench.connection.state is State.CLOSED


@in_loop
async def test_under_tls_the_end_waits_for_a_pause_of_the_peer() -> None:
    """What came after close_notify would have asyncio reset the connection."""
    bench = Bench(extra=TLS)
    bench.connection.write([b"413"])
    bench.connection.pause_reading()
    bench.connection.linger()
    assert bench.connection.state is State.LINGERING
    assert bench.transport.reading
    for _ in range(2):
        bench.advance(FAREWELL - 0.1)
        bench.transport.arrive(b"x" * 10_000)
        assert not bench.transport.closing
    bench.advance(FAREWELL + 0.1)
    assert bench.transport.calls[-1] == "close"
    await until(lambda: not bench.reaper.connections)
    assert bench.told == ["lost"]


@in_loop
async def test_under_tls_a_peer_that_does_not_pause_has_its_time_as_well() -> None:
    bench = Bench(extra=TLS)
    bench.connection.linger()
    for _ in range(7):
        bench.advance(LINGER / 8)
        bench.transport.arrive(b"x" * 10_000)
        assert not bench.transport.closing
    bench.advance(LINGER / 8)
    assert bench.transport.calls == ["close"]
    assert bench.connection.state is State.CLOSED


@in_loop
async def test_under_tls_a_peer_that_leaves_is_not_waited_for() -> None:
    bench = Bench(extra=TLS)
    bench.connection.linger()
    bench.transport.arrive(b"")
    await until(lambda: not bench.reaper.connections)
    assert bench.told == ["lost"]


@in_loop
async def test_under_tls_it_is_no_pause_while_our_last_words_are_on_their_way() -> None:
    bench = Bench(extra=TLS)
    bench.transport.peer_reads = False
    bench.connection.write([b"x" * 50_000])
    bench.connection.linger()
    bench.advance(FAREWELL + 0.1)
    assert not bench.transport.closing
    bench.advance(LINGER)
    assert bench.transport.calls == ["close"]
    assert not bench.transport.lost, "there is more time for that"
    bench.transport.take()
    await until(lambda: not bench.reaper.connections)
    assert len(bench.transport.received) == 50_000


@pytest.mark.parametrize("unread", [False, True])
@in_loop
async def test_under_tls_who_need_not_be_sending_is_not_kept_waiting(
    pair: tuple[socket.socket, socket.socket], unread: bool
) -> None:
    ours, theirs = pair
    bench = Bench(extra={**TLS, "socket": ours})
    if unread:
        theirs.send(b"GET")
    bench.connection.linger(False)
    assert bench.connection.state is (State.LINGERING if unread else State.CLOSED)
    assert bench.transport.calls == ([] if unread else ["close"])


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


@pytest.mark.parametrize("extra", [{}, TLS], ids=["plain", "TLS"])
@pytest.mark.parametrize("state", [State.LINGERING, State.CLOSED])
@in_loop
async def test_a_peer_that_reads_nothing_of_what_came_before_the_end(state: State, extra: dict[str, str]) -> None:
    bench = Bench(extra=extra)
    bench.block(200_000)
    INTO[state](bench)
    for _ in range(3):
        bench.advance(WRITE + 0.1)
    await settle()
    assert bench.transport.lost
    assert bench.reaper.connections == set()
