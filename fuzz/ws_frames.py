"""Fuzzes the WebSocket frame parser.

Invariant: however the input is cut, the parser gives the same events, holds no more than it was fed, and what
it makes of a message or a close frame can be written as a frame again. Allowed errors: ``FrameError`` with a
code that may stand in a close frame.

    python fuzz/ws_frames.py --seconds 60 --seed 1          random input; it needs no fuzzer
    python fuzz/ws_frames.py --atheris --seconds 60 DIR     guided by coverage, on the uncompiled build
    python fuzz/ws_frames.py --replay FILE                  one input again
"""

from __future__ import annotations

import random

import driver

with driver.instrumented():
    from pronghorn.wire import ws_frames, ws_masking, ws_vocabulary, ws_writer

#: What a message may hold: with the greater, frames can be large enough to have room of their own.
MAX_SIZES = (100_000, 5000)
#: From this first byte on an input is cut in large pieces.
LARGE_STEPS = 150


def events(pieces: list[bytes], max_size: int) -> list[tuple[object, ...]]:
    parser = ws_frames.FrameParser(max_size)
    found: list[tuple[object, ...]] = []
    fed = 0
    for piece in pieces:
        parser.feed(piece)
        fed += len(piece)
        while True:
            try:
                event = parser.next()
            except ws_vocabulary.FrameError as error:
                assert ws_writer.close(error.code, error.reason), error  # noqa: PT017
                return [*found, ("error", error.code, parser.buffered())]
            # At most a message, a control frame within it, its header, and what was fed last.
            assert parser.buffered() <= min(fed, max_size + ws_vocabulary.MOST_CONTROL + 14 + len(piece))
            if event == ws_frames.Event.NEED_DATA:
                break
            if event == ws_frames.Event.FRAGMENT:
                continue
            found.append(what_it_is(event, parser, max_size))
    return found


def what_it_is(event: int, parser: ws_frames.FrameParser, max_size: int) -> tuple[object, ...]:
    if event == ws_frames.Event.MESSAGE:
        text = parser.text if parser.payload is None else parser.payload.decode()
        payload = text.encode() if parser.is_text else parser.data
        assert len(payload) <= max_size
        written = ws_writer.text(text) if parser.is_text else ws_writer.binary(parser.data)
        assert written.endswith(payload)
        return ("message", parser.is_text, payload)
    if event == ws_frames.Event.CLOSE:
        code = None if parser.close_code == ws_vocabulary.CloseCode.NO_STATUS else parser.close_code
        assert ws_writer.close(code, parser.close_reason)
        return ("close", parser.close_code, parser.close_reason)
    assert ws_writer.ping(parser.data)[2:] == parser.data
    return (event, parser.data)


def test_one_input(data: bytes) -> None:
    """The first byte says how to cut the rest, and how much a message may hold."""
    if not data:
        return
    first, data = data[0], data[1:]
    max_size = MAX_SIZES[first & 1]
    step = (first or 256) if first < LARGE_STEPS else (first - LARGE_STEPS) * 1021 + 16_001
    cut = [data[i : i + step] for i in range(0, len(data), step)]
    whole, parted = events([data], max_size), events(cut, max_size)
    assert whole == parted, (whole, parted)


def random_input(rng: random.Random) -> bytes:
    """Frames, most of them right, of which some bytes are then changed."""
    large = rng.random() < 0.3
    cuts = (2, 50, 0, 148, rng.randrange(LARGE_STEPS, 256, 2)) if large else (1, 1, 2, 3, 7, 50, 0)
    data = bytearray([rng.choice(cuts)])
    for _ in range(rng.randrange(1, 7)):
        opcode = rng.choice((0, 0, 1, 1, 1, 2, 8, 9, 10))
        if large and rng.random() < 0.5:
            part = rng.choice((b"ascii", "aé€😀".encode(), "é".encode(), rng.randbytes(3)))
            size = rng.choice((65_534, 65_536, rng.randrange(65_000, 101_000)))
            payload = part * (size // len(part)) + rng.choice((b"", b"", rng.randbytes(2)))
        else:
            size = rng.choice((0, 1, 2, 3, 10, 125, 126, 127, 1000, rng.randrange(6000)))
            payload = "aé€😀".encode()[: rng.randrange(11)] * (size // 10) + rng.randbytes(size % 3)
        if opcode == 8:
            payload = rng.randrange(5100).to_bytes(2, "big") + payload
        header = bytearray(ws_writer.header(opcode, len(payload), rng.random() < 0.7))
        header[1] |= 0x80
        key = rng.randbytes(4)
        masked = bytearray(payload)
        ws_masking.unmask(masked, 0, len(masked), int.from_bytes(key, "big"))
        data += header + key + masked
    for _ in range(rng.choice((0, 0, 0, 1, 2, 5))):
        data[rng.randrange(1, len(data))] = rng.randrange(256)
    return bytes(data)


if __name__ == "__main__":
    driver.main("ws-frames", test_one_input, random_input, ws_frames.__file__)
