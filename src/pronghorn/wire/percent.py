"""Percent-decoding (RFC 3986 section 2.1), in one pass over the bytes."""

from __future__ import annotations

from pronghorn.wire.chars import HEX_VALUE

_HEX_VALUE = HEX_VALUE
_PERCENT = ord("%")


def unquoted(data: bytes) -> bytes:
    """Return ``data`` with each ``%XX`` replaced by its byte; a percent sign that encodes nothing stays."""
    i = data.find(b"%")
    if i < 0:
        return data
    buf = data
    values = _HEX_VALUE
    size = len(data)
    out = bytearray(data)
    j = i
    while i < size:
        byte = buf[i]
        if byte == _PERCENT and i + 2 < size and values[buf[i + 1]] and values[buf[i + 2]]:
            byte = (values[buf[i + 1]] - 1) * 16 + values[buf[i + 2]] - 1
            i += 2
        out[j] = byte
        i += 1
        j += 1
    del out[j:]
    return bytes(out)
