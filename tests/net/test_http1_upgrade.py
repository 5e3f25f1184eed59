"""Which requests ask for a WebSocket: those whose Upgrade lists it, wherever, and whose Connection lists Upgrade."""

from __future__ import annotations

from tests.asgi.apps import Receive, Scope, Send, reply
from tests.asgi.doubles import in_loop, settle
from tests.net.support import Wire
from tests.support.frames import HANDSHAKE

KEYS = [field for field in HANDSHAKE if field[0].startswith(b"sec-")]
LISTS = [
    [b"websocket"],
    [b"WebSocket"],
    [b"websocket, foo"],
    [b"foo, websocket"],
    [b"foo/1.0,websocket,bar/2"],
    [b"h2c \t,\tWEBSOCKET"],
    [b",,websocket,"],
    [b"foo", b"websocket"],
    [b"websocket", b"foo"],
    [b"foo, bar/7", b"baz, websocket"],
]
NO_LISTS = [[b"foo"], [b"websockets"], [b"web socket"], [b"foo/websocket"], [b"websocket;13"], [b""]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await receive()
        await receive()
    else:
        await reply(send)


async def status(*fields: tuple[bytes, bytes], method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    wire = Wire(app)
    lines = [b"%b / HTTP/%b" % (method, version), b"host: x"]
    lines += [b"%b: %b" % field for field in (*fields, *KEYS)]
    wire.send(b"\r\n".join(lines) + b"\r\n\r\n")
    await settle()
    found = wire.received[9:12]
    wire.lose()
    await settle()
    return found


@in_loop
async def test_upgrade_is_a_list() -> None:
    for values in LISTS:
        upgrade = [(b"upgrade", value) for value in values]
        for connection in ([b"upgrade"], [b"keep-alive, Upgrade"], [b"keep-alive", b"UPGRADE"]):
            fields = [(b"connection", value) for value in connection]
            assert await status(*upgrade, *fields) == b"101", (values, connection)
        assert await status(*upgrade) == b"200", values
        assert await status(*upgrade, (b"connection", b"keep-alive")) == b"200", values
        assert await status(*upgrade, (b"connection", b"upgrade"), version=b"1.0") == b"200", values
        assert await status(*upgrade, (b"connection", b"upgrade"), method=b"HEAD") == b"400", values
    for values in NO_LISTS:
        assert await status(*((b"upgrade", value) for value in values), (b"connection", b"upgrade")) == b"200", values
