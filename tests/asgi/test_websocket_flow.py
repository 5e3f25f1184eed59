"""``WebSocketExchange`` while messages flow: backpressure both ways, limits, compression, what is left at the end."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
import zlib
from typing import Any

import pytest

from pronghorn.asgi.websocket import State
from tests.asgi.apps import Receive, Scope, Send
from tests.asgi.chat import ACCEPT, Hands, OverHttp1, OverTheWaist, Recorder, echo
from tests.asgi.doubles import in_loop, settle, until
from tests.support.frames import BINARY, CONT, PING, TEXT, sent, sent_close

OFFER = (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")


def deflated(data: bytes) -> bytes:
    """A message's payload as a client compresses it (RFC 7692 section 7.2.1)."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


# -- towards the client ---------------------------------------------------------------------------------------------


@in_loop
async def test_send_waits_for_a_client_that_does_not_read() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    talk.wire.stop_reading()
    await app.send({"type": "websocket.send", "bytes": bytes(1000)})  # fits the buffer
    waiting = asyncio.ensure_future(app.send({"type": "websocket.send", "bytes": bytes(100_000)}))
    await settle()
    assert not waiting.done()
    talk.wire.read_all()
    await until(waiting.done, "the client has caught up")
    assert waiting.exception() is None
    app.returns()
    await talk.close()
    assert [kind for kind, *_ in talk.frames()] == ["binary", "binary", "close"]


@pytest.mark.parametrize("how", ["lose", "end"])
@in_loop
async def test_send_that_waits_learns_that_the_client_has_left(how: str) -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    talk.wire.stop_reading()
    waiting = asyncio.ensure_future(app.send({"type": "websocket.send", "bytes": bytes(100_000)}))
    await settle()
    getattr(talk, how)()
    await until(waiting.done, "the sender is told")
    assert isinstance(waiting.exception(), OSError)
    app.returns()
    await talk.finish()


@in_loop
async def test_a_send_that_is_cancelled_while_it_waits() -> None:
    app = Hands()
    talk = OverTheWaist(app)
    await app.accepted()
    talk.stream.is_blocked = True
    waiting = asyncio.ensure_future(app.text("a"))
    await settle(2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    talk.stream.is_blocked = False
    talk.exchange.on_writable()
    await app.text("b")
    assert talk.frames() == [("text", "a"), ("text", "b")]
    app.returns()
    await talk.finish()


class Endless:
    """Sends for ever, whatever comes back, and waits for nothing else."""

    def __init__(self, close: bool = False) -> None:
        self.failures = 0
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        if self._close:
            await send({"type": "websocket.close"})
        while True:
            try:
                await send({"type": "websocket.send", "bytes": bytes(1000)})
            except OSError:
                self.failures += 1


@pytest.mark.parametrize("how", ["lose", "end", "close", "our close"])
@in_loop
async def test_an_endless_sender_cannot_stop_the_loop(how: str) -> None:
    app = Endless(close=how == "our close")
    talk = OverHttp1(app)
    await talk.opened()
    talk.wire.stop_reading()
    talk.send_text("go on")
    await settle()
    if how == "close":
        talk.send(sent_close())
        talk.lose()
    elif how != "our close":
        getattr(talk, how)()
    if how == "end":
        talk.wire.advance(100.0)  # which it still could have read what was sent in
    await until(lambda: app.failures > 100, "it learns of the end, and the loop goes on")
    (task,) = talk.context.tasks
    task.cancel()
    await talk.finish()


@in_loop
async def test_pings_of_a_client_that_does_not_read_are_not_hoarded() -> None:
    app = Hands()
    talk = OverTheWaist(app)
    await app.accepted()
    talk.stream.is_blocked = True
    talk.send(*[sent(PING, b"x" * 125)] * 1000)
    await settle()
    assert talk.frames() == []
    talk.stream.is_blocked = False
    talk.send(sent(PING, b"last"))
    assert talk.frames() == [("pong", b"last")]
    app.returns()
    await talk.finish()


# -- from the client ------------------------------------------------------------------------------------------------


@in_loop
async def test_reading_stops_while_the_application_does_not_take_messages() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    frame = sent(BINARY, bytes(10_000))
    for _ in range(200):
        talk.send(frame)
    transport = talk.wire.transport
    assert not transport.reading
    assert transport.delivered < 600_000  # of two million
    for _ in range(200):
        assert len((await app.receive())["bytes"]) == 10_000
        await settle(1)
    assert transport.reading
    app.returns()
    await talk.close()


@in_loop
async def test_a_large_message_is_read_whole_though_larger_than_what_is_buffered() -> None:
    app = Recorder()
    talk = OverHttp1(app)
    await talk.opened()
    data = bytes(range(256)) * 8192
    talk.send(sent(BINARY, data[:1_000_000], fin=False))
    talk.send(sent(CONT, data[1_000_000:]))
    await until(lambda: app.messages, "the message")
    assert app.messages == [data]
    await talk.close()


@in_loop
async def test_the_client_s_close_is_read_although_the_application_never_took_its_messages() -> None:
    """It has closed: what the client still sent is of no interest, but its close frame is."""
    app = Hands()
    talk = OverHttp1(app, options={"max_queue": 2})
    await app.accepted()
    talk.send(*[sent(TEXT, b"unread")] * 20)
    talk.send(*[sent(BINARY, bytes(60_000))] * 5)
    await app.send({"type": "websocket.close", "code": 4000})
    talk.send(*[sent(TEXT, b"on its way")] * 5, sent_close(4000))
    await until(lambda: talk.ended, "the closing handshake is complete")
    assert talk.frames() == [("close", 4000, "")]
    app.returns()
    await talk.finish()


@in_loop
async def test_what_came_right_behind_the_handshake() -> None:
    app = Recorder()
    talk = OverHttp1(app)
    talk.send(sent(TEXT, b"a"), sent(TEXT, b"b"))
    talk.send(sent_close(4000))
    talk.end()
    await talk.finish()
    assert app.messages == ["a", "b"]
    assert app.disconnect["code"] == 4000
    assert talk.frames() == [("close", 4000, "")]


@in_loop
async def test_a_client_that_ends_its_side_before_the_handshake_is_answered() -> None:
    """It gets the answer, as with any request; a WebSocket that was accepted then ends."""
    app = Hands()
    talk = OverHttp1(app)
    talk.end()
    await app.connected()
    assert not talk.ended
    await app.send(ACCEPT)
    assert (await app.receive())["code"] == 1006
    await until(lambda: talk.ended, "the server ends it")
    app.returns()
    await talk.finish()

    refusing = Hands()
    talk = OverHttp1(refusing)
    talk.end()
    await refusing.connected()
    await refusing.send({"type": "websocket.close"})
    assert talk.answer().status == 403
    refusing.returns()
    await talk.finish()


@in_loop
async def test_frames_of_a_client_that_was_lost_are_not_answered() -> None:
    app = Recorder()
    talk = OverTheWaist(app, options={"max_queue": 1})
    await talk.opened()
    talk.send(*[sent(TEXT, b"a")] * 3, sent(PING, b"?"), sent_close())
    talk.lose()
    await talk.finish()
    assert app.messages == ["a"] * 3
    assert app.disconnect["code"] == 1000
    assert talk.frames() == []


# -- limits ---------------------------------------------------------------------------------------------------------

LIMIT = 10_000


@pytest.mark.parametrize(
    "frames",
    [
        [sent(BINARY, bytes(LIMIT + 1))],
        [sent(BINARY, bytes(LIMIT + 1))[:14]],
        [sent(BINARY, bytes(LIMIT), fin=False), sent(CONT, b"x")],
    ],
    ids=["whole", "its head", "in fragments"],
)
@in_loop
async def test_a_message_over_the_limit(frames: list[bytes]) -> None:
    app = Recorder()
    talk = OverHttp1(app, options={"max_message_size": LIMIT})
    await talk.opened()
    talk.send(sent(BINARY, bytes(LIMIT)), *frames)
    await talk.finish()
    assert app.messages == [bytes(LIMIT)]
    assert app.disconnect["code"] == 1009
    assert talk.frames() == [("close", 1009, "message too big")]
    assert talk.ended
    reason = f"message too big (websocket_max_message_size={LIMIT})"
    assert talk.log.of("info") == [f"WebSocket '/' from ip=192.0.2.7 closed with 1009: {reason}"]
    assert talk.log.errors == []


FAULTS = {
    "not masked": (b"\x81\x01a", 1002),
    "reserved bit": (sent(TEXT, b"a", rsv=4), 1002),
    "not UTF-8": (sent(TEXT, b"\xff"), 1007),
    "a continuation of nothing": (sent(CONT, b"a"), 1002),
    "a close code that is none": (sent_close(1006), 1002),
}


@pytest.mark.parametrize("last", [sent_close(4000), b"\xff\xff"], ids=["close", "fault"])
@in_loop
async def test_messages_before_the_end_are_answered_first(last: bytes) -> None:
    talk = OverHttp1(echo)
    await talk.opened()
    talk.send(sent(TEXT, b"a"), sent(TEXT, b"b"), last)
    talk.send(b"\xff" * 100)
    await talk.finish()
    assert talk.frames()[:2] == [("text", "a"), ("text", "b")]
    assert [frame[0] for frame in talk.frames()[2:]] == ["close"]
    assert talk.ended


@pytest.mark.parametrize("how", ["time", "close", "return", "drain", "lose"])
@in_loop
async def test_an_application_that_asks_for_nothing_more_holds_the_end_up_for_a_while(how: str) -> None:
    app = Hands()
    talk = OverHttp1(app, options={"restart_spread": 0.0})
    await app.accepted()
    talk.send(sent(TEXT, b"a"), sent_close(4000))
    await settle()
    assert not talk.ended
    await app.text("still open")
    if how == "time":
        talk.wire.advance(10.0)
    elif how == "close":
        await app.send({"type": "websocket.close", "code": 4444})
    elif how == "drain":
        talk.wire.connection.drain()
        await asyncio.sleep(0.01)
    elif how == "lose":
        talk.lose()
    if not app.outcome.done() and how == "return":
        app.returns()
    await until(lambda: talk.ended, "the end")
    codes = {"time": 4000, "close": 4444, "return": 1000, "drain": 1012}
    if how in codes:
        assert [frame[:2] for frame in talk.frames()] == [("text", "still open"), ("close", codes[how])]
    with pytest.raises(OSError, match="disconnected"):
        await app.text("late")
    if how == "lose":
        assert (await app.receive())["text"] == "a"
        assert (await app.receive())["code"] == 4000
    if not app.outcome.done():
        app.returns()
    await talk.finish()


@pytest.mark.parametrize("name", FAULTS)
@in_loop
async def test_a_client_that_breaks_the_protocol(name: str) -> None:
    frame, code = FAULTS[name]
    app = Recorder()
    talk = OverHttp1(app)
    await talk.opened()
    talk.send(sent(TEXT, b"before"), frame, sent(TEXT, b"after"))
    await talk.finish()
    assert app.messages == ["before"]
    assert app.disconnect["code"] == code
    assert [frame[:2] for frame in talk.frames()] == [("close", code)]
    assert talk.observed == [(101, code)]
    assert len(talk.log.of("info", "warning", "error")) == 1


# -- compression ----------------------------------------------------------------------------------------------------


@in_loop
async def test_messages_are_compressed_both_ways() -> None:
    talk = OverHttp1(echo, b"/", [OFFER], options={"compression": True})
    await talk.opened()
    assert any(name == b"sec-websocket-extensions" for name, _ in talk.answer().headers)
    text = "compressible " * 100
    talk.send(sent(TEXT, deflated(text.encode()), rsv=4))
    await until(lambda: talk.frames(), "the echo")
    ((kind, payload),) = talk.frames()
    assert kind == "deflated"
    assert inflated(payload) == text.encode()
    assert len(payload) < 100
    await talk.close()


@in_loop
async def test_compression_that_is_switched_off_or_not_offered() -> None:
    for headers, option in (([OFFER], False), ([], True)):
        talk = OverHttp1(echo, b"/", headers, options={"compression": option})
        await talk.opened()
        assert all(name != b"sec-websocket-extensions" for name, _ in talk.answer().headers)
        talk.send(sent(TEXT, b"x" * 1000))
        await until(lambda: talk.frames(), "the echo")
        assert talk.frames() == [("text", "x" * 1000)]
        await talk.close()


@in_loop
async def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = deflated(bytes(50_000_000))
    app = Recorder()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True, "max_message_size": 1_000_000})
    await talk.opened()
    tracemalloc.start()
    talk.send(sent(BINARY, bomb, rsv=4))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
    await talk.finish()
    assert app.messages == []
    assert talk.frames() == [("close", 1009, "message too big")]


@in_loop
async def test_many_small_bombs_wait_with_the_client() -> None:
    """Each is within the limit of a message; together they would be what no limit stops but the queue's."""
    bomb = sent(BINARY, deflated(bytes(1_000_000)), rsv=4)
    app = Hands()
    talk = OverHttp1(app, b"/", [OFFER], options={"compression": True, "max_message_size": 1_000_000})
    await app.accepted()
    tracemalloc.start()
    talk.send(*[bomb] * 30)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 3_000_000
    for _ in range(30):
        assert len((await app.receive())["bytes"]) == 1_000_000
    app.returns()
    await talk.close()


# -- the machine ----------------------------------------------------------------------------------------------------


@in_loop
async def test_states() -> None:
    app = Hands()
    talk = OverTheWaist(app)
    assert talk.exchange.state is State.CONNECTING
    await app.accepted()
    assert talk.exchange.state is State.OPEN
    await app.send({"type": "websocket.close"})
    assert talk.exchange.state is State.CLOSING
    talk.send(sent_close())
    assert talk.exchange.state is State.CLOSED
    app.returns()
    await talk.finish()

    app = Hands()
    talk = OverTheWaist(app)
    await app.connected()
    await app.send({"type": "websocket.http.response.start", "status": 404})
    assert talk.exchange.state is State.DENYING
    await app.send({"type": "websocket.http.response.body", "body": b""})
    assert talk.exchange.state is State.CLOSED
    app.returns()
    await talk.finish()


STEPS: dict[str, Any] = {
    "data": lambda talk: talk.send(sent(TEXT, b"a")),
    "ping": lambda talk: talk.send(sent(PING, b"a")),
    "garbage": lambda talk: talk.send(b"\xff\xff\xff"),
    "close": lambda talk: talk.send(sent_close()),
    "end": lambda talk: talk.end(),
    "lose": lambda talk: talk.lose(),
    "timeout": lambda talk: talk.exchange.on_timeout(),
    "drain": lambda talk: talk.exchange.on_drain(),
    "last call": lambda talk: talk.exchange.on_last_call(),
    "writable": lambda talk: talk.exchange.on_writable(),
    "cancel": lambda talk: talk.exchange.cancel(),
}


@pytest.mark.parametrize("state", ["CONNECTING", "DENYING", "OPEN", "CLOSING"])
@in_loop
async def test_any_two_things_in_any_state(state: str) -> None:
    """One end, at most one close frame, nothing after it, and an application that can always come to its end."""
    for first, second in itertools.product(STEPS, STEPS):
        try:
            await two_things(state, first, second)
        except Exception as error:
            raise AssertionError(f"{first}, then {second}") from error


async def two_things(state: str, first: str, second: str) -> None:
    app = Hands()
    talk = OverTheWaist(app, options={"restart_spread": 0.0})
    await app.connected()
    if state == "DENYING":
        await app.send({"type": "websocket.http.response.start", "status": 404})
        await app.send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
    elif state != "CONNECTING":
        await app.send(ACCEPT)
    if state == "CLOSING":
        await app.send({"type": "websocket.close"})
    STEPS[first](talk)
    await settle(3)
    if not talk.ended:
        STEPS[second](talk)
        await settle(3)
    if not app.outcome.done():
        app.returns()
    await talk.finish()
    if not talk.ended and state not in ("CONNECTING", "DENYING") and ("lose" not in (first, second)):
        talk.send(sent_close())
    if state in ("OPEN", "CLOSING"):
        kinds = [frame[0] for frame in talk.frames()]
        assert kinds.count("close") <= 1
        assert "close" not in kinds or kinds[-1] == "close"
        assert talk.ended or "lose" in (first, second)
    assert len(talk.observed) == 1
    ends = [call for call in talk.stream.calls if call[0] == "abort" or (call[0] == "data" and call[-1])]
    assert len(ends) <= 1
