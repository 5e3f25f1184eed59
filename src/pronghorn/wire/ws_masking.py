"""The masking of payloads (RFC 6455 section 5.3): a client XORs each frame with four bytes of its own, the key.

A key is an int of 32 bits, its first byte the highest.
"""

from __future__ import annotations

#: Interpreted, a byte loop runs at 20 MB/s and bytes.translate, a table for each byte of the key, at 1 GB/s;
#: compiled, the loop is the fastest, and no payload reaches this length.
_INTERPRETED = __file__.endswith((".py", ".pyc"))
_TRANSLATE_FROM = 16 if _INTERPRETED else (1 << 62)
_ONES, _IDENTITY = int.from_bytes(b"\x01" * 256, "big"), int.from_bytes(bytes(range(256)), "big")
_XOR = tuple((_IDENTITY ^ key * _ONES).to_bytes(256, "big") for key in range(256 if _INTERPRETED else 0))


def unmask(data: bytearray, start: int, end: int, key: int) -> None:
    """XOR ``data[start:end]`` in place with ``key``."""
    if start < 0 or end > len(data):
        raise ValueError("range outside of the data")
    k0, k1, k2, k3 = key >> 24, key >> 16 & 0xFF, key >> 8 & 0xFF, key & 0xFF
    if end - start >= _TRANSLATE_FROM:
        data[start:end:4] = data[start:end:4].translate(_XOR[k0])
        data[start + 1 : end : 4] = data[start + 1 : end : 4].translate(_XOR[k1])
        data[start + 2 : end : 4] = data[start + 2 : end : 4].translate(_XOR[k2])
        data[start + 3 : end : 4] = data[start + 3 : end : 4].translate(_XOR[k3])
        return
    buf = data
    _xor(buf, start, end, key)


def unmasked(data: bytes, start: int, end: int, key: int) -> bytes:
    """Return ``data[start:end]``, at least two bytes, as ``unmask`` would leave them."""
    if _INTERPRETED:
        piece = bytearray(data[start:end])
        unmask(piece, 0, len(piece), key)
        return bytes(piece)
    # Hazard: compiled, this writes to bytes. A slice of a C pointer is always a new object, which nobody else has yet;
    # only those of one byte or none are shared.
    buf = data
    payload = buf[start:end]
    fresh = payload
    _xor(fresh, 0, end - start, key)  # type: ignore[arg-type]
    return payload


def _xor(buf: bytearray, start: int, end: int, key: int) -> None:
    k0, k1, k2, k3 = key >> 24, key >> 16 & 0xFF, key >> 8 & 0xFF, key & 0xFF
    i = start
    # Eight bytes a turn, and no branch: compilers make one vector operation of it.
    while i <= end - 8:
        buf[i] ^= k0
        buf[i + 1] ^= k1
        buf[i + 2] ^= k2
        buf[i + 3] ^= k3
        buf[i + 4] ^= k0
        buf[i + 5] ^= k1
        buf[i + 6] ^= k2
        buf[i + 7] ^= k3
        i += 8
    while i < end:
        buf[i] ^= k0
        k0, k1, k2, k3 = k1, k2, k3, k0
        i += 1
