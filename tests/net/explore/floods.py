"""What one client can send very many of."""

from __future__ import annotations

from tests.net.explore.scripts import Ask
from tests.net.support import GET
from tests.support.frames import CONT, PING, TEXT, sent

CHUNKED = b"POST /gated/0 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH = b"POST /gated/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n"
WEBSOCKET = Ask("ws_deaf", 0).data

#: Name: what the peer begins with, and what it then sends again and again.
FLOODS: dict[str, tuple[bytes, bytes]] = {
    "content": (LENGTH, b"x" * 1000),
    "chunks": (CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n"),
    "chunks of two bytes": (CHUNKED, b"2\r\nxy\r\n"),
    "chunks with extensions": (CHUNKED, b"2;name=value\r\nxy\r\n"),
    "requests": (GET % b"/gated/0", GET % b"/quick/1"),
    "uploads": (GET % b"/gated/0", Ask("echo", 1, "POST", 10, 1).data),
    "empty lines": (GET % b"/quick/0", b"\r\n"),
    "messages": (WEBSOCKET, sent(TEXT, b"x" * 1000)),
    "empty messages": (WEBSOCKET, sent(TEXT)),
    "messages of a byte": (WEBSOCKET, sent(TEXT, b"x")),
    "fragments of a byte": (WEBSOCKET + sent(TEXT, b"x", fin=False), sent(CONT, b"x", fin=False)),
    "empty fragments": (WEBSOCKET + sent(TEXT, b"x", fin=False), sent(CONT, b"", fin=False)),
    "fragments of four bytes a character": (
        WEBSOCKET + sent(TEXT, b"x", fin=False),
        sent(CONT, "\U0001f40e".encode() * 1000, fin=False),
    ),
    "pings": (WEBSOCKET, sent(PING, b"x" * 125)),
}
