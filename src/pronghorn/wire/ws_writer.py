"""The frames that a server sends, never masked (RFC 6455 section 5); ``ws_frames`` reads those of clients."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from pronghorn.wire.ws_vocabulary import (
    FIN,
    LENGTH_16,
    LENGTH_64,
    MOST_CONTROL,
    MOST_REASON,
    RSV1,
    Opcode,
    is_close_code,
)

if TYPE_CHECKING:
    from pronghorn.wire.ws_deflate import Deflater

_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING = int(Opcode.PING)
_PONG = int(Opcode.PONG)
_FIN, _RSV1, _LENGTH_16, _LENGTH_64 = FIN, RSV1, LENGTH_16, LENGTH_64


def text(message: str, deflater: Deflater | None = None) -> bytes:
    """Return the frame of a text message. Raises UnicodeEncodeError (a ValueError) for lone surrogates."""
    return _message(_TEXT, message.encode(), deflater)


def binary(message: bytes, deflater: Deflater | None = None) -> bytes:
    """Return the frame of a binary message."""
    return _message(_BINARY, message, deflater)


def _message(opcode: int, payload: bytes, deflater: Deflater | None) -> bytes:
    size = len(payload)
    if deflater is None or size < deflater.threshold:
        if _LENGTH_16 <= size < 0x10000:
            return b"".join((_START_16[opcode], _BYTES[size >> 8], _BYTES[size & 0xFF], payload))
        return header(opcode, size) + payload
    payload = deflater.deflate(payload)
    return header(opcode, len(payload), True, True) + payload


def frame(opcode: int, payload: bytes, fin: bool = True, rsv1: bool = False) -> bytes:
    """Return any one frame, unmasked as a server sends it (RFC 6455 section 5.1)."""
    return header(opcode, len(payload), fin, rsv1) + payload


def header(opcode: int, length: int, fin: bool = True, rsv1: bool = False) -> bytes:
    """Return a frame's header alone: a large payload is better written after it than copied behind it."""
    first = opcode | (_FIN if fin else 0) | (_RSV1 if rsv1 else 0)
    if length < _LENGTH_16:
        short = _SHORT_HEADERS.get(first)
        return short[length] if short is not None else bytes((first, length))
    if length < 0x10000:
        return _pack_header_16(first, _LENGTH_16, length)
    return _pack_header_64(first, _LENGTH_64, length)


def close(code: int | None = 1000, reason: str = "") -> bytes:
    """Return a close frame; without a code where that is None, as the answer to a close frame that had none.

    Raises ValueError for a code that may not be sent, and for a reason over 123 bytes of UTF-8.
    """
    if code is None:
        if reason:
            raise ValueError("a close reason needs a close code")
        return frame(_CLOSE, b"")
    if not is_close_code(code):
        raise ValueError(f"close code {code} may not be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    encoded = reason.encode()
    if len(encoded) > MOST_REASON:
        raise ValueError(f"close reason of {len(encoded)} bytes: at most {MOST_REASON} fit")
    return frame(_CLOSE, code.to_bytes(2, "big") + encoded)


def ping(payload: bytes = b"") -> bytes:
    """Return a ping frame. Raises ValueError for a payload over 125 bytes."""
    return _control(_PING, payload)


def pong(payload: bytes = b"") -> bytes:
    """Return a pong frame. Raises ValueError for a payload over 125 bytes."""
    return _control(_PONG, payload)


def _control(opcode: int, payload: bytes) -> bytes:
    if len(payload) > MOST_CONTROL:
        raise ValueError(f"control frame of {len(payload)} bytes: at most {MOST_CONTROL} fit")
    return frame(opcode, payload)


_pack_header_16 = Struct("!BBH").pack
_pack_header_64 = Struct("!BBQ").pack
_BYTES = tuple(bytes((value,)) for value in range(256))
#: What messages with a length of 16 bits begin with, by opcode.
_START_16 = (b"", bytes((_FIN | _TEXT, _LENGTH_16)), bytes((_FIN | _BINARY, _LENGTH_16)))
#: The two bytes before a short message, for each way to mark one: nearly every frame of a chatty service.
_SHORT_HEADERS = {
    first: tuple(bytes((first, length)) for length in range(_LENGTH_16))
    for first in (_FIN | _TEXT, _FIN | _BINARY, _FIN | _RSV1 | _TEXT, _FIN | _RSV1 | _BINARY)
}
