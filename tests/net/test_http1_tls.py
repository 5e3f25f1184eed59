"""``net/http1`` over TLS, where the end cannot be said before a peer that is sending has paused: who is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.net.closing import State
from tests.asgi.apps import Receive, Scope, Send, reply
from tests.asgi.doubles import in_loop, until
from tests.net.support import GET, Wire, post
from tests.support.frames import CLOSE, HANDSHAKE, TEXT, sent, sent_close

WEBSOCKET = b"\r\n".join([b"GET / HTTP/1.1", b"host: x", *(b"%b: %b" % field for field in HANDSHAKE), b"", b""])
NO_FRAME = sent(TEXT, b"x", rsv=7)


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send)


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})


#: Application, what the peer sends one after the other, whether it may be sending on; attributes of the context.
CASES: dict[str, tuple[Callable[..., Any], list[bytes], bool, dict[str, Any]]] = {
    "a response": (answers, [GET % b"/"], False, {"keepalive": 0.0}),
    "a whole request": (answers, [post(b"x" * 100)], False, {"keepalive": 0.0}),
    "half of a request": (answers, [post(b"", declared=100_000)], True, {}),
    "another request": (answers, [GET % b"/" + GET % b"/"], True, {"keepalive": 0.0}),
    "no request": (answers, [b"\x16\x03\x01\r\n\r\n"], True, {}),
    "the peer's close frame": (listens, [WEBSOCKET, sent_close()], False, {}),
    "our close frame": (closes, [WEBSOCKET, sent_close()], False, {}),
    "no frame": (listens, [WEBSOCKET, NO_FRAME], True, {}),
    "no frame behind messages": (listens, [WEBSOCKET, sent(TEXT, b"x") + NO_FRAME], True, {}),
    "no frame behind our close frame": (closes, [WEBSOCKET, NO_FRAME], True, {}),
    "no close frame": (listens, [WEBSOCKET, sent(CLOSE, b"x")], True, {}),
}


@pytest.mark.parametrize("case", list(CASES))
@in_loop
async def test_who_is_waited_for(case: str) -> None:
    app, data, is_sending, attributes = CASES[case]
    wire = Wire(app, extra={"ssl_object": "tls"}, **attributes)
    for one in data:
        size = len(wire.received)
        wire.send(one)
        if one is WEBSOCKET:
            await until(lambda size=size: len(wire.received) > size, "the answer")
    await until(lambda: wire.connection.state >= State.LINGERING, "the end")
    assert wire.closed is not is_sending
    assert wire.connection.state is (State.LINGERING if is_sending else State.CLOSED)
    if is_sending:
        wire.send(b"more")
        wire.send_eof()
    await until(lambda: not wire.reaper.connections, "the close")
