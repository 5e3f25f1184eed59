"""WebSocket frames as a client writes and reads them, strictly by RFC 6455 section 5.

It must not import the package under test, whose own parser would hide its own mistakes.
"""

from __future__ import annotations

import struct
from typing import Any

KEY = bytes.fromhex("37fa213d")
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_NAMES = {CONT: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}

#: The fields of a client's handshake, but for Host; the key is that of RFC 6455 section 1.3.
HANDSHAKE = (
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    size = len(payload)
    stretched = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(size, "big")


def sent(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, key: bytes = KEY) -> bytes:
    """A client's frame."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + key + mask(payload, key)


def sent_close(code: int | None = 1000, reason: str = "") -> bytes:
    """A client's close frame."""
    return sent(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def received(data: bytes) -> list[tuple[Any, ...]]:
    """What a server's frames say: ("text", str), ("binary", bytes), ("close", code, reason), ("ping", bytes), ...

    Nothing may be masked, fragmented or, but for RSV1 ("deflated", payload), marked by an extension; the last frame
    must be whole.
    """
    found: list[tuple[Any, ...]] = []
    while data:
        first, length = data[0], data[1]
        assert first & 0xB0 == 0x80, f"not a whole frame: {data[:20]!r}"
        assert not length & 0x80, "a server's frame is masked"
        at = 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[2 : 2 + size], "big")
            at += size
        payload, data = data[at : at + length], data[at + length :]
        assert len(payload) == length, "the last frame is not whole"
        found.append(_read(first & 0x0F, payload, bool(first & 0x40)))
    return found


def _read(opcode: int, payload: bytes, deflated: bool) -> tuple[Any, ...]:
    if deflated:
        assert opcode in (TEXT, BINARY)
        return ("deflated", payload)
    if opcode == TEXT:
        return ("text", payload.decode())
    if opcode == CLOSE:
        assert len(payload) != 1
        return ("close", int.from_bytes(payload[:2], "big") or None, payload[2:].decode())
    return (_NAMES[opcode], payload)
