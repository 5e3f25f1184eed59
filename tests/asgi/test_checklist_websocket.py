"""ASGI WebSocket 2.5, rules 26 to 34 and 42 of the checklist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.errors import EventError
from pronghorn.asgi.scope import endpoint_for
from tests.asgi.apps import Event, Receive, Scope, Send, sends
from tests.asgi.chat import ACCEPT, CARRIERS, Chat, Hands, Recorder, echo, fields
from tests.asgi.doubles import in_loop, make_context, settle, until
from tests.net.transport import CLIENT, SERVER
from tests.support.frames import ACCEPT as ACCEPT_KEY
from tests.support.frames import BINARY, CONT, PING, PONG, TEXT, sent, sent_close

Open = Callable[..., Chat]
WELCOME = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", ACCEPT_KEY)]


@pytest.fixture(params=sorted(CARRIERS))
def chat(request: pytest.FixtureRequest) -> Open:
    """Open a ``Chat``: ``chat(app, target, headers, options={...})``."""
    return CARRIERS[request.param]


# -- 26: the scope --------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_26_the_scope(chat: Open) -> None:
    app = Recorder()
    offered = (b"sec-websocket-protocol", b"chat, superchat")
    talk = chat(app, b"/a%20b?q=%201", [offered], root_path="/r", state={"pool": 1})
    await talk.opened()
    (scope,) = app.scopes
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["scheme"] == "ws"
    assert scope["path"] == "/r/a b"
    assert scope["raw_path"] == b"/a%20b"
    assert scope["query_string"] == b"q=%201"
    assert scope["root_path"] == "/r"
    assert scope["subprotocols"] == ["chat", "superchat"]
    assert scope["client"] == CLIENT
    assert scope["server"] == SERVER
    assert scope["state"] == {"pool": 1}
    assert (b"host", b"x") in scope["headers"]
    assert offered in scope["headers"]
    assert "method" not in scope
    await talk.close()


@in_loop
async def test_rule_26_no_subprotocols(chat: Open) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    assert app.scopes[0]["subprotocols"] == []
    await talk.close()


@in_loop
async def test_rule_26_wss_where_the_scheme_is_https() -> None:
    from pronghorn.asgi.scope import websocket_scope
    from tests.asgi.support import make_request

    context = make_context(echo)
    endpoint = endpoint_for(context, CLIENT, SERVER, "https")
    assert websocket_scope(make_request(), endpoint, context, ())["scheme"] == "wss"


@in_loop
async def test_rule_26_the_socket_ends_with_the_application(chat: Open) -> None:
    talk = chat(sends(ACCEPT))
    await talk.finish()
    assert talk.frames() == [("close", 1000, "")]
    assert talk.log.errors == []


@in_loop
async def test_rule_26_a_failing_application_closes_the_socket(chat: Open) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise ValueError("broken")

    talk = chat(app)
    await talk.finish()
    assert talk.frames() == [("close", 1011, "")]
    assert [str(error) for error in talk.log.raised] == ["broken"]


# -- 27: control frames and fragments -------------------------------------------------------------------------------


@in_loop
async def test_rule_27_pings_are_answered_and_fragments_joined(chat: Open) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    talk.send(
        sent(TEXT, b"a", fin=False),
        sent(PING, b"between"),
        sent(CONT, "b€".encode()[:2], fin=False),
        sent(PONG, b"asked by nobody"),
        sent(CONT, "b€".encode()[2:]),
        sent(BINARY, b"\0\xff"),
    )
    await until(lambda: len(app.messages) == 2)
    assert app.messages == ["ab€", b"\0\xff"]
    assert talk.frames() == [("pong", b"between")]
    await talk.close()


@in_loop
async def test_rule_27_pings_are_sent() -> None:
    talk = CARRIERS["http1"](Recorder(), options={"ping_interval": 20.0})
    await talk.opened()
    talk.wire.advance(20.0)  # type: ignore[attr-defined]
    ((kind, payload),) = talk.frames()
    assert kind == "ping"
    talk.send(sent(PONG, payload))
    await talk.close()


# -- 28: the handshake waits for the application --------------------------------------------------------------------


@in_loop
async def test_rule_28_nothing_is_answered_before_accept(chat: Open) -> None:
    app = Hands()
    talk = chat(app)
    await app.connected()
    await settle()
    assert talk.answer().status == 0
    await app.send(ACCEPT)
    assert talk.answer().status == 101
    assert fields(talk.answer()) == WELCOME
    app.returns()
    await talk.finish()


@in_loop
async def test_rule_28_denied_with_403(chat: Open) -> None:
    talk = chat(sends({"type": "websocket.close"}))
    await talk.finish()
    assert talk.answer().status == 403
    assert talk.answer().body == b"Forbidden\n"
    assert talk.answer().complete
    assert talk.log.errors == []
    assert talk.observed == [(403, 1006)]


# -- 29: accept -----------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_29_subprotocol_and_headers(chat: Open) -> None:
    headers = [(b"x-a", b"1"), (b"x-a", b"2"), (b"set-cookie", b"c=1")]
    app = Recorder({"type": "websocket.accept", "subprotocol": "superchat", "headers": headers})
    talk = chat(app, b"/", [(b"sec-websocket-protocol", b"chat, superchat")])
    await talk.opened()
    assert fields(talk.answer()) == [*WELCOME, (b"sec-websocket-protocol", b"superchat"), *headers]
    await talk.close()


@in_loop
async def test_rule_29_none_means_none(chat: Open) -> None:
    app = Recorder({"type": "websocket.accept", "subprotocol": None, "headers": None})
    talk = chat(app, b"/", [(b"sec-websocket-protocol", b"chat")])
    await talk.opened()
    assert fields(talk.answer()) == WELCOME
    await talk.close()


WRONG_ACCEPTS: dict[str, dict[str, Any]] = {
    "the subprotocol as a header": {"headers": [(b"sec-websocket-protocol", b"chat")]},
    "a pseudo-header": {"headers": [(b":status", b"200")]},
    "a subprotocol that was not offered": {"subprotocol": "other"},
    "a header of strings": {"headers": [("x-a", "1")]},
    "a header value with a line end": {"headers": [(b"x-a", b"1\r\nx-b: 2")]},
    "headers that are no pairs": {"headers": [b"x-a"]},
}


@pytest.mark.parametrize("name", WRONG_ACCEPTS)
@in_loop
async def test_rule_29_what_accept_refuses(chat: Open, name: str) -> None:
    """Out of ``send``, so that the application can still answer."""
    app = Hands()
    talk = chat(app, b"/", [(b"sec-websocket-protocol", b"chat")])
    await app.connected()
    with pytest.raises(EventError, match=r"websocket\.accept"):
        await app.send({"type": "websocket.accept", **WRONG_ACCEPTS[name]})
    assert talk.answer().status == 0
    await app.send(ACCEPT)
    assert talk.answer().status == 101
    app.returns()
    await talk.finish()


# -- 30, 31: messages -----------------------------------------------------------------------------------------------


@in_loop
async def test_rule_30_a_message_is_text_or_bytes(chat: Open) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    talk.send(sent(TEXT, "é".encode()), sent(BINARY, b"\xe9"), sent(TEXT), sent(BINARY))
    await until(lambda: len(app.messages) == 4)
    assert app.events == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "é"},
        {"type": "websocket.receive", "bytes": b"\xe9"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
    ]
    await talk.close()


SENT: dict[str, tuple[Event, tuple[str, Any]]] = {
    "text": ({"text": "é"}, ("text", "é")),
    "bytes": ({"bytes": b"\xe9"}, ("binary", b"\xe9")),
    "empty text": ({"text": ""}, ("text", "")),
    "empty bytes": ({"bytes": b""}, ("binary", b"")),
    "the other None": ({"text": "a", "bytes": None}, ("text", "a")),
    "the other None, bytes": ({"text": None, "bytes": b"a"}, ("binary", b"a")),
    "bytearray": ({"bytes": bytearray(b"a")}, ("binary", b"a")),
    "memoryview": ({"bytes": memoryview(b"a")}, ("binary", b"a")),
    "further keys": ({"text": "a", "future": 1}, ("text", "a")),
    "126 bytes": ({"bytes": b"x" * 126}, ("binary", b"x" * 126)),
    "65536 bytes": ({"bytes": b"x" * 65536}, ("binary", b"x" * 65536)),
}


class SafeText(str):
    """As template engines mark text that needs no escaping; its own idea of ``str()`` included."""

    def __str__(self) -> str:
        return self


@pytest.mark.parametrize("name", SENT)
@in_loop
async def test_rule_31_what_send_takes(chat: Open, name: str) -> None:
    event, frame = SENT[name]
    talk = chat(sends(ACCEPT, {"type": "websocket.send", **event}))
    await talk.finish()
    assert talk.frames() == [frame, ("close", 1000, "")]


@in_loop
async def test_rule_31_text_of_a_subclass(chat: Open) -> None:
    talk = chat(sends(ACCEPT, {"type": "websocket.send", "text": SafeText("<b>")}))
    await talk.finish()
    assert talk.frames() == [("text", "<b>"), ("close", 1000, "")]


WRONG_MESSAGES: dict[str, Any] = {
    "neither": {"type": "websocket.send"},
    "both None": {"type": "websocket.send", "text": None, "bytes": None},
    "both": {"type": "websocket.send", "text": "a", "bytes": b"a"},
    "bytes as text": {"type": "websocket.send", "text": b"a"},
    "text as bytes": {"type": "websocket.send", "bytes": "a"},
    "a number": {"type": "websocket.send", "text": 1},
    "a lone surrogate": {"type": "websocket.send", "text": "\ud800"},
    "no type": {"text": "a"},
    "an unknown type": {"type": "websocket.sent", "text": "a"},
    "a received type": {"type": "websocket.receive", "text": "a"},
    "accepted twice": {"type": "websocket.accept"},
    "no dict": 5,
    "a list of types": {"type": ["websocket.send"]},
    "close code not for sending": {"type": "websocket.close", "code": 1005},
    "close code too large": {"type": "websocket.close", "code": 5000},
    "close code a string": {"type": "websocket.close", "code": "1000"},
    "close reason too long": {"type": "websocket.close", "reason": "é" * 62},
    "close reason a number": {"type": "websocket.close", "reason": 5},
    "a denial once accepted": {"type": "websocket.http.response.start", "status": 401},
    "a denial's body once accepted": {"type": "websocket.http.response.body", "body": b"no"},
}


@pytest.mark.parametrize("name", WRONG_MESSAGES)
@in_loop
async def test_rule_31_what_send_refuses(chat: Open, name: str) -> None:
    """Nothing of it reaches the client, and the WebSocket goes on."""
    app = Hands()
    talk = chat(app)
    await app.accepted()
    with pytest.raises((EventError, ValueError)):
        await app.send(WRONG_MESSAGES[name])
    assert talk.frames() == []
    await app.text("still here")
    assert talk.frames() == [("text", "still here")]
    app.returns()
    await talk.finish()


@in_loop
async def test_rule_31_nothing_before_accept(chat: Open) -> None:
    app = Hands()
    talk = chat(app)
    await app.connected()
    with pytest.raises(EventError, match=r"before websocket\.accept"):
        await app.text("early")
    await app.send(ACCEPT)
    assert talk.frames() == []
    app.returns()
    await talk.finish()


# -- 32: disconnect -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code", "reason", "answer"),
    [
        (sent_close(1000), 1000, "", ("close", 1000, "")),
        (sent_close(None), 1005, "", ("close", None, "")),
        (sent_close(4001, "später"), 4001, "später", ("close", 4001, "später")),
        (sent_close(1001), 1001, "", ("close", 1001, "")),
    ],
)
@in_loop
async def test_rule_32_the_client_closes(
    chat: Open, frame: bytes, code: int, reason: str, answer: tuple[Any, ...]
) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    talk.send(frame)
    await talk.finish()
    assert app.disconnect == {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert talk.frames() == [answer]
    assert talk.ended
    assert talk.observed == [(101, code)]


@in_loop
async def test_rule_32_the_server_closes(chat: Open) -> None:
    app = Hands()
    talk = chat(app)
    await app.accepted()
    await app.send({"type": "websocket.close", "code": 4002, "reason": "enough"})
    assert await app.receive() == {"type": "websocket.disconnect", "code": 4002, "reason": "enough"}
    assert talk.frames() == [("close", 4002, "enough")]
    app.returns()
    await talk.close()
    assert talk.observed == [(101, 4002)]


@pytest.mark.parametrize("how", ["end", "lose"])
@in_loop
async def test_rule_32_the_socket_is_lost(chat: Open, how: str) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    getattr(talk, how)()
    await talk.finish()
    assert app.disconnect == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert talk.observed == [(101, 1006)]
    assert talk.log.errors == []


@in_loop
async def test_rule_32_again_and_again(chat: Open) -> None:
    """Each event of its own: middleware may change what it gets."""
    app = Hands()
    talk = chat(app)
    await app.accepted()
    talk.send(sent_close(4000))
    events = [await app.receive() for _ in range(50)]
    assert events == [{"type": "websocket.disconnect", "code": 4000, "reason": ""}] * 50
    assert len({id(event) for event in events}) == 50
    app.returns()
    await talk.finish()


# -- 33: close ------------------------------------------------------------------------------------------------------


CLOSES: dict[str, tuple[Event, tuple[str, int, str]]] = {
    "plain": ({}, ("close", 1000, "")),
    "code": ({"code": 3000}, ("close", 3000, "")),
    "code and reason": ({"code": 1008, "reason": "é" * 61}, ("close", 1008, "é" * 61)),
    "nothing said": ({"code": None, "reason": None}, ("close", 1000, "")),
}


@pytest.mark.parametrize("name", CLOSES)
@in_loop
async def test_rule_33_close_after_accept(chat: Open, name: str) -> None:
    event, frame = CLOSES[name]
    talk = chat(sends(ACCEPT, {"type": "websocket.close", **event}))
    await talk.finish()
    assert talk.frames() == [frame]
    assert not talk.ended  # the client's close frame comes first
    await talk.close(frame[1])
    assert talk.frames() == [frame]


@in_loop
async def test_rule_33_close_before_accept_is_403_whatever_its_code(chat: Open) -> None:
    talk = chat(sends({"type": "websocket.close", "code": 4003, "reason": "no"}))
    await talk.finish()
    assert talk.answer().status == 403


# -- 34: send after the end -----------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Chat, Hands], Any]] = {
    "our close": lambda talk, app: app.send({"type": "websocket.close"}),
    "the client's close": lambda talk, app: talk.send(sent_close()),
    "the client's end": lambda talk, app: talk.end(),
    "the loss of the connection": lambda talk, app: talk.lose(),
    "a broken frame": lambda talk, app: talk.send(b"\xff" * 10),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("event", [{"type": "websocket.send", "text": "a"}, {"type": "websocket.close"}, ACCEPT])
@in_loop
async def test_rule_34_send_after_the_end(chat: Open, name: str, event: Event) -> None:
    app = Hands()
    talk = chat(app)
    await app.accepted()
    coming = ENDS[name](talk, app)
    if coming is not None:
        await coming
    await settle()
    before = talk.frames()
    for _ in range(3):
        with pytest.raises(OSError, match="disconnected") as raised:
            await app.send(event)
    app.outcome.set_exception(raised.value)  # it escapes, as it may
    await talk.finish()
    assert talk.frames() == before
    assert talk.log.errors == []
    assert talk.log.raised == []


@in_loop
async def test_rule_34_send_after_a_denial(chat: Open) -> None:
    app = Hands()
    talk = chat(app)
    await app.connected()
    await app.send({"type": "websocket.close"})
    for event in (ACCEPT, {"type": "websocket.send", "text": "a"}, {"type": "websocket.close"}):
        with pytest.raises(OSError, match="disconnected"):
            await app.send(event)
    app.returns()
    await talk.finish()
    assert talk.log.errors == []


# -- 42: denial responses -------------------------------------------------------------------------------------------


def denial(status: int = 401, *headers: tuple[bytes, bytes]) -> Event:
    return {"type": "websocket.http.response.start", "status": status, "headers": [*headers]}


def part(data: bytes = b"", more: bool = False) -> Event:
    return {"type": "websocket.http.response.body", "body": data, "more_body": more}


@in_loop
async def test_rule_42_the_extension_is_offered(chat: Open) -> None:
    app = Recorder()
    talk = chat(app)
    await talk.opened()
    assert app.scopes[0]["extensions"]["websocket.http.response"] == {}
    await talk.close()


@in_loop
async def test_rule_42_a_response_of_one_part(chat: Open) -> None:
    talk = chat(sends(denial(401, (b"www-authenticate", b"Basic")), part(b"who?")))
    await talk.finish()
    answer = talk.answer()
    assert (answer.status, answer.body, answer.complete) == (401, b"who?", True)
    assert fields(answer) == [(b"www-authenticate", b"Basic")]
    assert talk.observed == [(401, 1006)]
    assert talk.log.errors == []


@in_loop
async def test_rule_42_a_response_of_parts(chat: Open) -> None:
    talk = chat(sends(denial(404), part(b"a", True), part(b"b", True), part()))
    await talk.finish()
    assert (talk.answer().status, talk.answer().body, talk.answer().complete) == (404, b"ab", True)


@in_loop
async def test_rule_42_disconnect_after_it(chat: Open) -> None:
    app = Hands()
    talk = chat(app)
    await app.connected()
    await app.send(denial())
    await app.send(part(b"no"))
    assert (await app.receive())["type"] == "websocket.disconnect"
    with pytest.raises(OSError, match="disconnected"):
        await app.send(part(b"more"))
    app.returns()
    await talk.finish()


WRONG_DENIALS: dict[str, list[Event]] = {
    "body first": [part(b"no")],
    "status interim": [denial(101)],
    "status a string": [denial("401")],  # type: ignore[arg-type]
    "no status": [{"type": "websocket.http.response.start"}],
    "headers of strings": [{"type": "websocket.http.response.start", "status": 401, "headers": [("a", "b")]}],
    "started twice": [denial(), denial()],
    "accepted after it": [denial(), ACCEPT],
    "closed after it": [denial(), {"type": "websocket.close"}],
    "a message after it": [denial(), {"type": "websocket.send", "text": "a"}],
    "body a string": [denial(), {"type": "websocket.http.response.body", "body": "no"}],
}


@pytest.mark.parametrize("name", WRONG_DENIALS)
@in_loop
async def test_rule_42_what_is_refused(chat: Open, name: str) -> None:
    *before, wrong = WRONG_DENIALS[name]
    app = Hands()
    talk = chat(app)
    await app.connected()
    for event in before:
        await app.send(event)
    with pytest.raises(EventError):
        await app.send(wrong)
    if not before:
        await app.send(denial())
    await app.send(part(b"no"))
    assert (talk.answer().status, talk.answer().body) == (401, b"no")
    app.returns()
    await talk.finish()
