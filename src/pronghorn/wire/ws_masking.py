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


def turned(key: int, count: int) -> int:
    """Return ``key`` as it applies ``count`` bytes further on."""
    turn = 8 * (count & 3)
    return (key << turn | key >> (32 - turn)) & 0xFFFFFFFF if turn else key


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


def room(size: int) -> bytes | bytearray:
    """Return what ``unmask_into`` fills with a payload of ``size`` bytes, at least two: compiled, bytes already."""
    return bytearray(size) if _INTERPRETED else bytes(size)


def unmask_into(to: bytes | bytearray, at: int, data: bytes | bytearray, start: int, end: int, key: int) -> bool:
    """Write ``data[start:end]``, unmasked, to what ``room`` returned, from ``at`` on; return whether it is ASCII."""
    if at < 0 or start < 0 or start > end or end > len(data) or end - start > len(to) - at:
        raise ValueError("range outside of the data or the room")
    if _INTERPRETED:
        piece = bytearray(data[start:end])
        unmask(piece, 0, len(piece), key)
        to[at : at + len(piece)] = piece  # type: ignore[index]
        return piece.isascii()
    # Hazard: compiled, this writes to bytes, which nobody else may have yet.
    buf = data
    target = to
    return _xor_into(target, at, buf, start, end, key)  # type: ignore[arg-type]


def _xor_into(to: bytearray, at: int, buf: bytes, start: int, end: int, key: int) -> bool:
    k0, k1, k2, k3 = key >> 24, key >> 16 & 0xFF, key >> 8 & 0xFF, key & 0xFF
    h0 = h1 = h2 = h3 = h4 = h5 = h6 = h7 = 0
    i = start
    j = at
    # As in _xor; all is read before anything is written, for compilers cannot know that the two are apart, and each
    # byte of a turn has a sum of its own, for one would make the next byte wait for it: 35 µs a MiB instead of 81.
    while i <= end - 8:
        a0, a1, a2, a3 = buf[i] ^ k0, buf[i + 1] ^ k1, buf[i + 2] ^ k2, buf[i + 3] ^ k3
        a4, a5, a6, a7 = buf[i + 4] ^ k0, buf[i + 5] ^ k1, buf[i + 6] ^ k2, buf[i + 7] ^ k3
        to[j] = a0
        to[j + 1] = a1
        to[j + 2] = a2
        to[j + 3] = a3
        to[j + 4] = a4
        to[j + 5] = a5
        to[j + 6] = a6
        to[j + 7] = a7
        h0 |= a0
        h1 |= a1
        h2 |= a2
        h3 |= a3
        h4 |= a4
        h5 |= a5
        h6 |= a6
        h7 |= a7
        i += 8
        j += 8
    while i < end:
        a0 = buf[i] ^ k0
        to[j] = a0
        h0 |= a0
        k0, k1, k2, k3 = k1, k2, k3, k0
        i += 1
        j += 1
    return (h0 | h1 | h2 | h3 | h4 | h5 | h6 | h7) < 0x80


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
