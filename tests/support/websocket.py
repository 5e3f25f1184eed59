"""The little of RFC 6455 that a test needs which speaks WebSocket over a ``RawClient``."""

from __future__ import annotations

import struct

from tests.support.raw import RawClient, Response

TEXT, CLOSE = 1, 8
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def handshake(client: RawClient, target: str = "/", *fields: str) -> Response:
    """Ask for a WebSocket; the response, which is 101 when it is agreed to."""
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: Upgrade", "Upgrade: websocket", *fields]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}", "", ""]
    client.send("\r\n".join(lines).encode())
    return client.read_response()


def send_frame(client: RawClient, opcode: int, payload: bytes) -> None:
    """Send one short frame, masked with zeros."""
    assert len(payload) < 126
    client.send(bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload)


def read_frame(client: RawClient) -> tuple[int, bytes]:
    """The next frame that is no ping: its opcode and payload."""
    while True:
        first, second = client.read_bytes(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", client.read_bytes(2))
        payload = client.read_bytes(length)
        if first & 0x0F != 9:
            return first & 0x0F, payload


def close_code(payload: bytes) -> int:
    """The code of a Close frame; 1005 where it has none."""
    return int.from_bytes(payload[:2], "big") if payload else 1005
