"""How a WebSocket ends: beside an application that still answers, and for clients that leave before an answer."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.asgi.chat import ACCEPT, Hands, OverHttp1
from tests.asgi.doubles import in_loop, settle
from tests.support.frames import TEXT, sent, sent_close

# -- the end, while the application answers -------------------------------------------------------------------------


@pytest.mark.parametrize("last", [sent_close(4000), b"\xff\xff", b""], ids=["close", "fault", "end"])
@in_loop
async def test_the_answer_to_the_last_message_comes_before_the_end(last: bytes) -> None:
    for moment in ("before the message is taken", "before it is answered"):
        app = Hands()
        talk = OverHttp1(app)
        await app.accepted()
        talk.send(sent(TEXT, b"a"))
        coming: Any = app.receive()
        if moment == "before it is answered":
            assert (await coming)["text"] == "a"
        if last:
            talk.send(last)
        else:
            talk.end()
        await settle()
        assert not talk.ended
        if moment != "before it is answered":
            assert (await coming)["text"] == "a"
        await app.text("A")
        await app.text("B")
        assert not talk.ended
        assert (await app.receive())["type"] == "websocket.disconnect"
        assert [frame[0] for frame in talk.frames()] == ["text", "text", *["close"] * bool(last)]
        assert talk.ended
        app.returns()
        await talk.finish()


@in_loop
async def test_an_application_that_has_answered_and_asks_for_nothing_more_does_not_hold_up_the_end_for_long() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    talk.send(sent(TEXT, b"subscribe"))
    await app.receive()
    talk.send(sent_close(4000))
    talk.wire.advance(5.0)
    assert not talk.ended
    for _ in range(4):
        await app.text("tick")
        talk.wire.advance(0.5)
        if talk.ended:
            break
    assert talk.ended
    assert talk.frames() == [("text", "tick")] * 2 + [("close", 4000, "")]
    app.returns()
    await talk.finish()


@in_loop
async def test_an_application_that_took_no_message_holds_up_nothing() -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.accepted()
    await app.text("tick")
    talk.send(sent_close(4000))
    assert talk.ended
    assert talk.frames() == [("text", "tick"), ("close", 4000, "")]
    app.returns()
    await talk.finish()


# -- who left before it was answered --------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["accept", "accept and close", "accept and send", "return", "fail", "cancel"])
@pytest.mark.parametrize("how", ["end", "lose", "reset"])
@in_loop
async def test_a_client_that_left_before_its_handshake_was_answered_is_logged_so(how: str, then: str) -> None:
    app = Hands()
    talk = OverHttp1(app)
    await app.connected()
    getattr(talk.wire, {"end": "send_eof"}.get(how, how))()
    await settle()
    if then == "fail":
        app.outcome.set_exception(ConnectionResetError())
    elif then == "cancel":
        talk.wire.connection.terminate()
        for task in talk.context.tasks:
            task.cancel()
    else:
        with contextlib.suppress(OSError):
            if then != "return":
                await app.send(ACCEPT)
            if then.endswith("close"):
                await app.send({"type": "websocket.close"})
            if then.endswith("send"):
                await app.text("a")
        app.returns()
    await talk.finish()
    assert [status for status, _ in talk.observed] == [499]
    assert talk.log.errors == [] or then == "fail"


@in_loop
async def test_a_client_that_closed_in_order_before_it_was_answered_had_its_websocket() -> None:
    app = Hands()
    talk = OverHttp1(app)
    talk.send(sent(TEXT, b"a") + sent_close(4000))
    talk.end()
    await app.accepted()
    assert (await app.receive())["text"] == "a"
    assert (await app.receive())["code"] == 4000
    app.returns()
    await talk.finish()
    assert talk.observed == [(101, 4000)]
