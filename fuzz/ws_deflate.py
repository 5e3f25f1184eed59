"""Fuzzes compressed WebSocket messages, through the frame parser.

Invariant: no input inflates to more than the limit, two parsers agree on it however it is cut and whatever may be
inflated at once, and what is
deflated with any parameters comes back as it was.
Allowed errors: ``FrameError`` with a code that may stand in a close frame.

    python fuzz/ws_deflate.py --seconds 60 --seed 1          random input; it needs no fuzzer
    python fuzz/ws_deflate.py --atheris --seconds 60 DIR     guided by coverage, on the uncompiled build
    python fuzz/ws_deflate.py --replay FILE                  one input again
"""

from __future__ import annotations

import random

import driver

with driver.instrumented():
    from pronghorn.wire import ws_deflate, ws_frames, ws_messages, ws_vocabulary, ws_writer

MAX_SIZE = 5000
FRAMES = (0x41, 0xC1, 0x42, 0xC2, 0x00, 0x80, 0x81, 0x89)


def frames(data: bytes) -> list[bytes]:
    """Frames whose kind and size the data says itself: a byte each, then the payload."""
    found = []
    i = 0
    while i + 1 < len(data):
        first, size = FRAMES[data[i] % len(FRAMES)], data[i + 1]
        payload = data[i + 2 : i + 2 + size]
        if first < 0x88:
            payload *= data[i] // 64 + 1
        header = bytearray(ws_writer.header(first & 0x0F, len(payload), first & 0x80 != 0, first & 0x40 != 0))
        header[1] |= 0x80
        found.append(bytes(header) + bytes(4) + (payload if first < 0x88 else payload[:125]))
        i += 2 + size
    return found


def events(pieces: list[bytes], takeover: bool, budget: int) -> list[tuple[object, ...]]:
    parser = ws_frames.FrameParser(MAX_SIZE, True)
    unpacker = ws_messages.Unpacker(MAX_SIZE, 0, ws_deflate.Inflater(12, takeover))
    found: list[tuple[object, ...]] = []
    for piece in pieces:
        parser.feed(piece)
        while True:
            try:
                event = parser.next()
                if event == ws_frames.Event.MESSAGE:
                    found.append(message(parser, unpacker, budget))
            except ws_vocabulary.FrameError as error:
                assert ws_writer.close(error.code, error.reason), error  # noqa: PT017
                return [*found, ("error", error.code)]
            if event == ws_frames.Event.NEED_DATA:
                break
            if event != ws_frames.Event.MESSAGE:
                found.append((event, parser.data))
    return found


def message(parser: ws_frames.FrameParser, unpacker: ws_messages.Unpacker, budget: int) -> tuple[object, ...]:
    whole: str | bytes | None
    if parser.payload is None:
        whole = parser.text if parser.is_text else parser.data
    else:
        unpacker.begin(parser.payload, parser.is_text, parser.is_deflated)
        while unpacker.is_busy:
            assert unpacker.go_on(budget) > 0 or not unpacker.is_busy
        whole = unpacker.text if parser.is_text else unpacker.data
    assert whole is not None
    assert len(whole.encode() if isinstance(whole, str) else whole) <= MAX_SIZE
    return (parser.is_text, whole)


def test_one_input(data: bytes) -> None:
    """The first byte says how to cut the rest, and the parameters."""
    if not data:
        return
    how, data = data[0], data[1:]
    whole = b"".join(frames(data))
    step = how or 256
    cut = [whole[i : i + step] for i in range(0, len(whole), step)]
    takeover = how % 2 == 0
    found, parted = events([whole], takeover, 1 << 20), events(cut, takeover, step)
    assert found == parted, (found, parted)

    bits = 8 + how % 8
    deflater = ws_deflate.Deflater(bits, takeover, how % 10, 1 + how % 9)
    inflater = ws_deflate.Inflater(bits, takeover)
    half = len(data) // 2
    for payload in (data, data[:half], b"", data[half:], data):
        assert inflater.inflate(deflater.deflate(payload), len(payload)) == payload


def random_input(rng: random.Random) -> bytes:
    """Compressed messages in fragments, of which some bytes are then changed."""
    data = bytearray([rng.randrange(256)])
    deflater = ws_deflate.Deflater(12, data[0] % 2 == 0, rng.randrange(10))
    for _ in range(rng.randrange(1, 6)):
        size = rng.choice((0, 1, 10, 100, 1000, 4999, 5000, 5001, 20000))
        kind = rng.randrange(3)
        message = (rng.randbytes(size), bytes(size), "aé€😀".encode() * (size // 10))[kind]
        payload = deflater.deflate(message)
        if rng.random() < 0.1:
            payload = b"\x03\x00" * rng.randrange(100)
        parts = [payload[i : i + 255] for i in range(0, len(payload), 255)] or [b""]
        for i, part in enumerate(parts[:40]):
            first = (0x02 if kind == 0 else 0x01) | 0x40 if i == 0 else 0x00
            first |= 0x80 if i == len(parts) - 1 else 0
            data += bytes([FRAMES.index(first), len(part)]) + part
    for _ in range(rng.choice((0, 0, 0, 1, 2, 5))):
        data[rng.randrange(1, len(data))] = rng.randrange(256)
    return bytes(data)


if __name__ == "__main__":
    driver.main("ws-deflate", test_one_input, random_input, ws_deflate.__file__)
