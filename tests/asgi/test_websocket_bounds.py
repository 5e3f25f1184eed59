"""What one WebSocket peer can hold of a worker: turns of the loop, memory, its place among the connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tracemalloc
import zlib

import pytest

from pronghorn.asgi.inbox import MOST_AT_ONCE
from pronghorn.asgi.round import PER_ROUND
from pronghorn.asgi.websocket_input import MOST_FRAMES
from tests.asgi.apps import Receive, Scope, Send, reply
from tests.asgi.chat import ACCEPT, Hands, OverHttp1, OverTheWaist, Recorder
from tests.asgi.chat import echo as echo_messages
from tests.asgi.doubles import Timers, in_loop, settle, until
from tests.net.neighbour import Neighbour
from tests.support.frames import BINARY, CONT, PING, PONG, TEXT, sent, sent_close
from tests.support.turns import TurnMeter

OFFER = (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")
RSV1 = 4
MIB = 1 << 20


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes WebSocket messages, and answers requests, as a neighbour sends them."""
    if scope["type"] == "http":
        await reply(send)
    else:
        await echo_messages(scope, receive, send)


async def close_all(*talks: OverHttp1) -> None:
    """Close connections of one worker."""
    for talk in talks:
        talk.send(sent_close())
    await talks[0].finish()
    assert all(talk.ended for talk in talks)


# -- turns of the loop ----------------------------------------------------------------------------------------------

FLOODS = {
    "pings": sent(PING),
    "pings with a payload": sent(PING, b"12345"),
    "pongs": sent(PONG),
    "empty messages": sent(TEXT),
    "messages of one byte": sent(BINARY, b"1"),
    "compressed empty messages": sent(TEXT, b"\0", rsv=RSV1),
    "empty fragments": sent(CONT, fin=False),
    "fragments of one byte": sent(CONT, b"1", fin=False),
}


@pytest.mark.parametrize("state", ["open", "closing"])
@pytest.mark.parametrize("name", FLOODS)
@in_loop
async def test_a_flood_of_frames_leaves_their_turns_to_others(name: str, state: str) -> None:
    frame, count = FLOODS[name], 10_000
    talk = OverHttp1(echo, b"/", [OFFER], options={"compression": True})
    await talk.opened()
    if state == "closing":
        talk.wire.connection.wind_up()
    neighbour = Neighbour(talk.wire)
    await neighbour.ask()
    start = sent(TEXT, fin=False) if frame[0] == 0 else b""
    end = sent(CONT) if frame[0] == 0 else b""
    talk.send(start + frame * count + end + sent_close(4000))
    progress = await neighbour.ask()
    assert progress.turns < 10
    with TurnMeter() as meter:
        await until(lambda: talk.ended, "all is taken")
    least = count // MOST_AT_ONCE if "messages" in name and state == "open" else count // MOST_FRAMES
    assert meter.turns > least - 20
    await talk.finish()


@in_loop
async def test_pings_are_answered_up_to_a_number_in_a_turn_and_of_the_rest_the_last() -> None:
    talk = OverHttp1(echo)
    await talk.opened()
    payloads = [b"%d" % number for number in range(1000)]
    talk.send(*(sent(PING, payload) for payload in payloads))
    await until(lambda: talk.frames()[-1:] == [("pong", payloads[-1])], "the last one")
    answers = [frame[1] for frame in talk.frames()]
    assert answers[:16] == payloads[:16]
    assert len(answers) < 400
    assert answers == sorted(answers, key=int)
    await talk.close()


@pytest.mark.parametrize("tasks", [1, 3])
@in_loop
async def test_an_application_that_only_receives_lets_the_loop_run(tasks: int) -> None:
    """Whatever waits for it, and however many of its tasks receive or wait to send."""
    taken = 0
    with TurnMeter() as meter:

        async def take(receive: Receive) -> None:
            nonlocal taken
            while (await receive())["type"] == "websocket.receive":
                taken += 1
                meter.note()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            await asyncio.gather(*(take(receive) for _ in range(tasks)))

        talk = OverHttp1(app, options={"max_queue": 5000})
        await talk.opened()
        for _ in range(3):
            talk.send(sent(TEXT, b"1") * 3000)
        talk.send(sent_close())
        await talk.finish()
    assert taken == 9000
    assert meter.most <= (MOST_AT_ONCE + 2) * 2 * tasks


@in_loop
async def test_many_connections_together_take_no_more_than_their_round() -> None:
    with TurnMeter() as meter:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            while (await receive())["type"] == "websocket.receive":
                meter.note()

        first = OverHttp1(app, options={"max_queue": 1000})
        talks = [first, *(OverHttp1(app, worker=first.wire) for _ in range(99))]
        for talk in talks:
            await talk.opened()
        for talk in talks:
            talk.send(sent(TEXT, b"1") * 500 + sent_close())
        for talk in talks:
            await talk.finish()
    assert meter.most <= 2 * (PER_ROUND // 4096 + len(talks))


@in_loop
async def test_a_receive_that_is_given_up_at_its_first_wait_gets_everything_in_the_end() -> None:
    """As frameworks poll."""
    app = Hands()
    talk = OverHttp1(app, options={"max_queue": 100})
    await app.accepted()
    talk.send(*(sent(TEXT, b"%d" % number) for number in range(100)))
    found = []
    for _ in range(1000):
        task = asyncio.ensure_future(app.receive())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            found.append((await task)["text"])
    assert found == [str(number) for number in range(100)]
    app.returns()
    await talk.close()


# -- what is inflated -----------------------------------------------------------------------------------------------


class Sizes:
    """Takes messages and keeps no more of them than their sizes; ``noted``: in one turn."""

    def __init__(self, meter: TurnMeter) -> None:
        self.sizes: list[int] = []
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reply(send)
            return
        await receive()
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            size = len(event.get("bytes") or event["text"])
            self.sizes.append(size)
            self._meter.note(size)
            del event


@in_loop
async def test_what_is_inflated_in_a_turn_is_bounded_for_all_together() -> None:
    """16 KiB that inflate to 16 MiB, on several connections and again and again."""
    bomb = sent(BINARY, deflated(bytes(16 * MIB)), rsv=RSV1)
    options = {"compression": True, "compression_ratio": 0}
    with TurnMeter() as meter:
        app = Sizes(meter)
        first = OverHttp1(app, b"/", [OFFER], options=options)
        talks = [first, *(OverHttp1(app, b"/", [OFFER], worker=first.wire) for _ in range(5))]
        neighbour = Neighbour(first.wire)
        for talk in talks:
            await talk.opened()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for talk in talks:
            talk.send(bomb * 2)
        began = meter.turns
        for _ in range(20):
            assert (await neighbour.ask()).turns < 10
            assert len(app.sizes) < 2 * len(talks)
        await until(lambda: len(app.sizes) == 2 * len(talks), "all messages")
        assert meter.turns - began >= 2 * len(talks) * 16 - 1
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert peak < 3 * 16 * MIB
        await close_all(*talks)
    assert app.sizes == [16 * MIB] * 2 * len(talks)


@in_loop
async def test_small_messages_need_not_wait_for_large_ones() -> None:
    bomb = sent(BINARY, deflated(bytes(16 * MIB)), rsv=RSV1)
    options = {"compression": True, "compression_ratio": 0}
    with TurnMeter() as meter:
        app = Sizes(meter)
        first = OverHttp1(app, b"/", [OFFER], options=options)
        talks = [first, *(OverHttp1(app, b"/", [OFFER], worker=first.wire) for _ in range(11))]
        small = OverHttp1(echo, b"/", [OFFER], worker=first.wire)
        small.wire.context.app = app
        for talk in (*talks, small):
            await talk.opened()
        for talk in talks:
            talk.send(bomb)
        await settle(2)
        before = meter.turns
        for _ in range(3):
            count = len(app.sizes)
            small.send(sent(TEXT, deflated(b"a" * 5000), rsv=RSV1))
            await until(lambda count=count: 5000 in app.sizes[count:], "the small one")
        assert meter.turns - before < 30
        await until(lambda: app.sizes.count(16 * MIB) == 12, "the large ones")
        await close_all(*talks, small)


@in_loop
async def test_nothing_is_inflated_or_decoded_before_it_is_asked_for() -> None:
    bomb = sent(BINARY, deflated(bytes(MIB)), rsv=RSV1)
    text = sent(TEXT, b"a" * (8 * MIB) + "😀".encode())
    app = Hands()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True})
    await app.accepted()
    tracemalloc.start()
    talk.send(bomb * 30)
    assert tracemalloc.get_traced_memory()[1] < 300_000
    tracemalloc.stop()
    for _ in range(30):
        assert len((await app.receive())["bytes"]) == MIB
    tracemalloc.start()
    for start in range(0, len(text), 65536):
        talk.send(text[start : start + 65536])
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 9 * MIB
    assert peak < 18 * MIB  # the room of it, once an eighth of it has come, and what that was copied from
    assert len((await app.receive())["text"]) == 8 * MIB + 1
    app.returns()
    await talk.close()


@in_loop
async def test_a_message_that_inflates_too_far_for_what_it_took_is_refused() -> None:
    """Beyond 1 MiB; the messages before it, and one of 1 MiB, are the application's."""
    app = Recorder()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True})
    await talk.opened()
    noise = random.Random(1).randbytes(100_000)
    fair = noise + bytes(3 * MIB)
    for data in (bytes(MIB), fair, bytes(MIB + 1), b"behind"):
        talk.send(sent(BINARY, deflated(data), rsv=RSV1))
    await talk.finish()
    assert app.messages == [bytes(MIB), fair]
    assert app.disconnect["code"] == 1009
    assert talk.frames() == [("close", 1009, "message too big")]


@pytest.mark.parametrize("payload", [b"\x06", deflated(b"\xff")], ids=["deflate", "UTF-8"])
@in_loop
async def test_a_fault_in_a_message_is_found_when_it_is_asked_for(payload: bytes) -> None:
    app = Hands()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True})
    await app.accepted()
    talk.send(sent(TEXT, b"a"), sent(TEXT, payload, rsv=RSV1), sent(TEXT, b"b"), sent_close(4000))
    assert (await app.receive())["text"] == "a"
    await app.text("A")
    assert (await app.receive())["code"] == 1007
    assert [frame[:2] for frame in talk.frames()] == [("text", "A"), ("close", 1007)]
    assert talk.ended
    app.returns()
    await talk.finish()


@in_loop
async def test_an_application_that_ends_leaves_nothing_half_inflated() -> None:
    bomb = sent(BINARY, deflated(bytes(16 * MIB)), rsv=RSV1)
    options = {"compression": True, "compression_ratio": 0}
    leaving, staying = Hands(), Hands()
    talk = OverHttp1(leaving, b"/", [OFFER], options=options)
    await leaving.accepted()
    talk.context.app = staying
    other = OverHttp1(staying, b"/", [OFFER], worker=talk.wire)
    await staying.accepted()
    talk.send(bomb)
    other.send(bomb)
    waits = [asyncio.ensure_future(app.receive()) for app in (leaving, staying)]
    await settle(5)
    waits[0].cancel()
    leaving.returns()
    assert len((await waits[1])["bytes"]) == 16 * MIB
    talk.send(sent_close())
    other.send(sent_close())
    staying.returns()
    await talk.finish()


# -- the queue ------------------------------------------------------------------------------------------------------


@in_loop
async def test_the_queue_is_bounded_in_bytes_allocated() -> None:
    """Each event has a dict and a header; a text with one wide character takes four bytes for each."""
    for frame, count in ((sent(TEXT), 100_000), (sent(TEXT, b"a" * 5000 + "😀".encode()), 100)):
        app = Hands()
        talk = OverTheWaist(app, options={"max_queue": 1_000_000})
        await app.accepted()
        data = frame * count
        tracemalloc.start()
        for start in range(0, len(data), 4096):
            if sum(call[1] for call in talk.stream.calls if call[0] == "consumed") < start - 65536:
                break  # so far a connection would read
            talk.exchange.on_data(data[start : start + 4096])
            await settle(2)
        now = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert now < 400_000
        talk.exchange.cancel()
        await talk.finish()


# -- the place of a connection --------------------------------------------------------------------------------------

QUEUE_FULL = sent(TEXT, b"x") * 33
MANY = sent(BINARY, bytes(1000)) * 200


@pytest.mark.parametrize("timing", ["close_timeout", "pings"])
@pytest.mark.parametrize("how", ["end", "reset", "lose", "nothing"])
@pytest.mark.parametrize("data", [QUEUE_FULL, sent(TEXT, b"x"), QUEUE_FULL * 3], ids=["33", "1", "99"])
@in_loop
async def test_a_full_queue_does_not_hold_the_connection_of_a_peer_that_is_gone(
    data: bytes, how: str, timing: str
) -> None:
    """The messages are the application's all the same."""
    app = Hands()
    pings = {"ping_interval": 20.0, "ping_timeout": 20.0} if timing == "pings" or how == "nothing" else {}
    talk = OverHttp1(app, options={"max_queue": 32, **pings})
    await app.accepted()
    talk.send(data)
    await settle()
    if how != "nothing":
        getattr(talk.wire, {"end": "send_eof"}.get(how, how))()
    await settle()
    for _ in range(5 if how == "nothing" else 2):
        talk.wire.advance(10.0)
        await settle()
    talk.wire.advance(3.0)
    await settle()
    assert talk.ended
    assert not talk.wire.reaper.connections
    for _ in range(data.count(sent(TEXT, b"x"))):
        assert (await app.receive())["text"] == "x"
    assert (await app.receive())["type"] == "websocket.disconnect"
    with pytest.raises(OSError, match="disconnected"):
        await app.text("late")
    app.returns()
    await talk.finish()
    assert len(talk.observed) == 1


@in_loop
async def test_who_answers_pings_keeps_its_place_though_the_application_takes_nothing() -> None:
    app = Hands()
    talk = OverHttp1(app, options={"max_queue": 32, "ping_interval": 20.0, "ping_timeout": 20.0})
    await app.accepted()
    talk.send(QUEUE_FULL)
    for _ in range(10):
        talk.wire.advance(20.0)
        await settle()
        payload = talk.frames()[-1][1]
        assert talk.frames()[-1][0] == "ping"
        talk.send(sent(PONG, payload))
        talk.wire.advance(20.0)
        await settle()
        assert not talk.ended
    for _ in range(33):
        assert (await app.receive())["text"] == "x"
    app.returns()
    await talk.close()


@in_loop
async def test_a_peer_that_ends_its_side_is_answered_within_the_time_for_closing() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    talk.send(QUEUE_FULL)
    talk.end()
    for _ in range(33):
        assert (await app.receive())["text"] == "x"
        await app.text("y")
    await app.text("and more")
    assert (await app.receive())["code"] == 1006
    assert talk.frames() == [("text", "y")] * 33 + [("text", "and more")]
    assert talk.ended
    app.returns()
    await talk.finish()


@pytest.mark.parametrize("kind", ["plain", "deflated", "a message under way"])
@pytest.mark.parametrize("how", ["send_eof", "lose", "reset"])
@in_loop
async def test_what_nobody_takes_is_dropped_when_the_peer_is_gone(kind: str, how: str) -> None:
    app = Hands()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True, "max_queue": 4})
    await app.accepted()
    timers = Timers()
    data = {
        "plain": sent(BINARY, bytes(5 * MIB)),
        "deflated": sent(BINARY, deflated(random.Random(1).randbytes(5 * MIB)), rsv=RSV1),
        "a message under way": sent(TEXT, b"x") * 4 + sent(BINARY, bytes(50_000))[:-1],
    }[kind]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    talk.send(data)
    getattr(talk.wire, how)()
    await settle()
    talk.wire.advance(11.0)
    await settle()
    assert not talk.wire.reaper.connections or talk.ended
    assert timers.delays == [30.0]
    timers.fire()
    talk.wire.transport.received.clear()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held < 150_000
    assert (await app.receive())["type"] == "websocket.disconnect"
    assert "messages that nobody took are dropped" in talk.log.of("info")[-1]
    app.returns()
    await talk.finish()
    assert timers.pending == []


@in_loop
async def test_an_application_that_takes_what_is_left_has_the_time_it_needs() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    timers = Timers()
    talk.send(QUEUE_FULL)
    talk.lose()
    await settle()
    for _ in range(33):
        assert (await app.receive())["text"] == "x"
        timers.fire()
    assert (await app.receive())["code"] == 1006
    timers.fire()
    assert timers.pending == []
    app.returns()
    await talk.finish()


@pytest.mark.parametrize("state", ["unanswered", "denied", "denying"])
@in_loop
async def test_a_handshake_that_nobody_answers_holds_no_place_when_its_client_has_left(state: str) -> None:
    app = Hands()
    talk = OverHttp1(app)
    timers = Timers()
    await app.connected()
    if state != "unanswered":
        await app.send({"type": "websocket.http.response.start", "status": 404})
    if state == "denying":
        await app.send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
    talk.end()
    await settle()
    assert not talk.ended
    assert timers.delays == [10.0]
    if state == "denying":
        await app.send({"type": "websocket.http.response.body", "body": b"b", "more_body": True})
        timers.fire()  # it was answered meanwhile
        await settle()
        assert not talk.ended
    timers.fire()
    await settle()
    assert not talk.wire.reaper.connections
    assert talk.observed == [(499 if state == "unanswered" else 404, 1006)]
    assert (await app.receive())["code"] == 1006
    with pytest.raises(OSError, match="disconnected"):
        await app.send(ACCEPT if state == "unanswered" else {"type": "websocket.http.response.body", "body": b""})
    app.returns()
    await talk.finish()
    assert timers.pending == []
    assert talk.log.errors == []


# -- a message under way --------------------------------------------------------------------------------------------

UNFINISHED = {
    "a frame": sent(BINARY, bytes(1000))[:-1],
    "a large frame": sent(BINARY, bytes(100_000))[:-1],
    "fragments": sent(TEXT, b"a", fin=False) + sent(CONT, b"b", fin=False),
    "an empty fragment": sent(TEXT, fin=False),
    "a compressed fragment": sent(TEXT, deflated(b"a" * 1000), fin=False, rsv=RSV1),
    "a header": sent(BINARY, bytes(1000))[:3],
    "a ping": sent(PING, b"abc")[:-1],
}


@pytest.mark.parametrize("name", UNFINISHED)
@in_loop
async def test_a_message_has_its_time_to_be_complete_whatever_else_comes(name: str) -> None:
    options = {"compression": True, "ping_interval": 20.0, "ping_timeout": 20.0}
    app = Recorder()
    talk = OverHttp1(app, b"/", [OFFER], options=options)
    await talk.opened()
    talk.send(sent(TEXT, b"before") + UNFINISHED[name])
    control = "agment" in name
    for second in range(61):
        await settle(3)
        if talk.ended:
            break
        pings = [frame for frame in talk.frames() if frame[0] == "ping"]
        if control:
            talk.send(sent(PONG, pings[-1][1] if pings else b"") + sent(PING, b"?"))
            if name == "fragments":
                talk.send(sent(CONT, b"c", fin=False))
        assert second < 60 or not control
        talk.wire.advance(1.0)
    await talk.finish()
    assert app.messages == ["before"]
    closes = [frame for frame in talk.frames() if frame[0] == "close"]
    if control:
        assert closes == [("close", 1008, "message not complete in time")]
        assert app.disconnect["code"] == 1008
    else:
        assert closes == [("close", 1011, "keepalive ping timeout")]


@in_loop
async def test_each_message_has_a_time_of_its_own() -> None:
    app = Recorder()
    talk = OverHttp1(app)
    await talk.opened()
    half, rest = sent(TEXT, b"a", fin=False), sent(CONT, b"b")
    talk.send(half)
    for _ in range(5):
        talk.wire.advance(50.0)
        talk.send(rest + half)
        await settle()
    talk.send(rest)
    talk.wire.advance(1000.0)
    await settle()
    assert app.messages == ["ab"] * 6
    assert not talk.ended
    await talk.close()


@in_loop
async def test_the_time_of_a_message_is_not_counted_while_the_application_takes_none() -> None:
    app = Hands()
    talk = OverHttp1(app, options={"max_queue": 1})
    await app.accepted()
    talk.send(sent(TEXT, b"a") + sent(TEXT, b"b", fin=False))
    talk.wire.advance(1000.0)
    await settle()
    assert not talk.ended
    assert (await app.receive())["text"] == "a"
    talk.wire.advance(50.0)
    talk.send(sent(CONT, b"c"))
    assert (await app.receive())["text"] == "bc"
    app.returns()
    await talk.close()
