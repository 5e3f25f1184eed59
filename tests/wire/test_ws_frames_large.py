"""Large frames, which get room of their own: split everywhere that matters, bounded, and checked as they come."""

from __future__ import annotations

import itertools
import random
import sys
import tracemalloc

import pytest

from pronghorn.wire.ws_deflate import Deflater
from pronghorn.wire.ws_frames import Event, FrameError, FrameParser
from tests.support.frames import BINARY, CONT, PING, TEXT, sent
from tests.wire.ws_frames import ask, deflating, events, pull

SIZE = 100_000
BYTES = random.Random(1).randbytes(SIZE)
ASCII = bytes(97 + i % 23 for i in range(SIZE))
#: Characters of one to four bytes; of up to three; accents in ASCII; and in ASCII a character of four now and then.
WIDE, MIXED, ACCENTS, FAR = (
    (part * SIZE).encode()[:SIZE].decode(errors="ignore").encode().ljust(SIZE, b".")
    for part in ("aé€😀", "aé€", "a" * 33 + "é", "a" * 1001 + "😀")
)
TEXTS = {"ascii": ASCII, "wide": WIDE, "mixed": MIXED, "accents": ACCENTS, "far": FAR}
HEADER = 14
RSV1 = 4


def split(data: bytes, *places: int) -> list[bytes]:
    return [data[a:b] for a, b in itertools.pairwise((0, *places, len(data)))]


def parts(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


#: About the header, the eighth from which on there is room, what is no multiple of the key, and the end.
PLACES = (1, 2, 9, 10, 13, 14, 15, 17, 1000, 12_500, 12_513, 12_514, 12_515, 12_517, 50_001, SIZE + 10, SIZE + 13)


@pytest.mark.parametrize(
    ("opcode", "payload"),
    [(BINARY, BYTES), *((TEXT, payload) for payload in TEXTS.values())],
    ids=["binary", *TEXTS],
)
def test_a_large_message_split_in_two_and_three(opcode, payload):
    data = sent(opcode, payload)
    behind = sent(PING, b"?")
    expected = [("binary", payload) if opcode == BINARY else ("text", payload.decode()), ("ping", b"?")]
    for place in PLACES:
        assert events(*split(data, place), behind, max_size=SIZE) == expected, place
        assert events(*split(data + behind, place), max_size=SIZE) == expected, place
        assert events(behind, *split(data, place), max_size=SIZE) == [expected[1], expected[0]], place
    for places in itertools.combinations(PLACES, 2):
        assert events(*split(data + behind, *places), max_size=0) == expected, places


@pytest.mark.parametrize("size", [3, 1000, 16_383, 65_537])
def test_large_messages_in_many_pieces(size):
    payloads = [*TEXTS.values(), MIXED]
    data = sent(BINARY, BYTES) + b"".join(sent(TEXT, payload) for payload in payloads) + sent(BINARY, BYTES[::-1])
    texts = [("text", payload.decode()) for payload in payloads]
    expected = [("binary", BYTES), *texts, ("binary", BYTES[::-1])]
    assert events(*parts(data, size), max_size=SIZE) == expected


def test_what_was_delivered_stays_as_it_was():
    """The room of one message is not that of the next."""
    parser = FrameParser()
    found = []
    for payload in (BYTES, BYTES[::-1], BYTES):
        for piece in parts(sent(BINARY, payload), 30_000):
            parser.feed(piece)
            if parser.next() == Event.MESSAGE:
                assert type(parser.data) is bytes
                found.append(parser.data)
    assert found == [BYTES, BYTES[::-1], BYTES]


def test_fragments_with_a_ping_between():
    data = (
        sent(TEXT, MIXED[:70_001], fin=False)
        + sent(PING, b"1")
        + sent(CONT, MIXED[70_001:70_002], fin=False)
        + sent(CONT, MIXED[70_002:] + WIDE)
        + sent(BINARY, BYTES[:66_000], fin=False)
        + sent(CONT)
        + sent(TEXT, MIXED)
    )
    texts = [("text", (MIXED + WIDE).decode()), ("text", MIXED.decode())]
    expected = [("ping", b"1"), texts[0], ("binary", BYTES[:66_000]), texts[1]]
    assert events(data, max_size=2 * SIZE) == expected
    for size in (999, 20_001, 70_015):
        assert events(*parts(data, size), max_size=2 * SIZE) == expected, size
    assert events(*parts(data, 30_000), max_size=2 * SIZE - 1) == [("ping", b"1"), ("error", 1009)]


def test_compressed_frames_are_handed_over_as_they_came():
    deflater = Deflater()
    payloads = [deflater.deflate(WIDE), deflater.deflate(BYTES)]
    data = sent(TEXT, payloads[0], rsv=RSV1) + sent(BINARY, payloads[1][:70_000], fin=False, rsv=RSV1)
    data += sent(CONT, payloads[1][70_000:])
    expected = [("text", WIDE.decode()), ("binary", BYTES)]
    for size in (1000, 20_001, len(data)):
        reader = deflating(2 * SIZE)
        found: list = []
        for piece in parts(data, size):
            reader[0].feed(piece)
            pull(reader, found)
        assert found == expected, size


def test_a_frame_over_the_limit_is_refused_at_its_header():
    for place in (HEADER, 20_000):
        assert events(sent(BINARY, BYTES)[:place], max_size=SIZE - 1) == [("error", 1009)]


@pytest.mark.parametrize("length", [0, 1, 0xFFFF, 1 << 63, (1 << 64) - 1])
def test_a_wrong_length_is_refused_whatever_came_with_it(length):
    """Not in its shortest form, or of 2^63 and more."""
    data = b"\x82\xff" + length.to_bytes(8, "big") + bytes(4) + bytes(70_000)
    assert events(data, max_size=0) == [("error", 1002)]


@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82a", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
@pytest.mark.parametrize("at", [0, 12_498, 50_000, 99_990])
def test_invalid_text_fails_while_its_frame_is_on_its_way(bad, at):
    """In one piece, and cut within the bad bytes, so that the next piece alone is right."""
    data = sent(TEXT, ASCII[:at] + bad + ASCII[at + len(bad) :])
    end = HEADER + at + len(bad)
    for places in ((), (at // 2 + 1,), (end - 1,), (HEADER + at,), (HEADER + at // 2, end - 1)):
        parser = FrameParser(SIZE)
        with pytest.raises(FrameError) as caught:  # noqa: PT012 - the last piece it is
            for piece in split(data[:end], *places):
                parser.feed(piece)
                assert parser.next() == Event.NEED_DATA
        assert caught.value.code == 1007
        assert parser.buffered() == 0


def test_what_has_come_counts_as_buffered():
    parser = FrameParser(SIZE)
    data = sent(BINARY, BYTES)
    for piece in parts(data[:-1], 9_999):
        parser.feed(piece)
        parser.next()
    assert parser.buffered() == SIZE - 1
    parser.feed(data[-1:] + b"\x89")
    assert parser.buffered() == SIZE + 1
    assert parser.next() == Event.MESSAGE
    assert parser.buffered() == 1


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_can_be_fed_and_is_copied(kind):
    source = bytearray(sent(BINARY, BYTES))
    parser = FrameParser()
    parser.feed(kind(source)[:40_000])
    assert parser.next() == Event.NEED_DATA
    parser.feed(kind(source)[40_000:])
    source[:] = bytes(len(source))
    assert parser.next() == Event.MESSAGE
    assert parser.data == BYTES


def memory_of(*pieces: bytes) -> tuple[int, int]:
    """The bytes that a parser holds which is asked after each piece, at the end and at most."""
    tracemalloc.start()
    parser = FrameParser(1 << 26)
    for piece in pieces:
        parser.feed(piece)
        assert parser.next() == Event.NEED_DATA
    held = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def held_of(*pieces: bytes) -> int:
    return memory_of(*pieces)[0]


def peak_of(*pieces: bytes) -> int:
    return memory_of(*pieces)[1]


def test_what_is_announced_takes_no_memory():
    """Neither a header alone nor a first piece makes the parser hold what may never come."""
    announced = sent(BINARY, bytes(1 << 24))
    assert peak_of(announced[:HEADER]) < 10_000
    for came in (1000, 100_000, 1 << 20, 1 << 21, 1 << 22):
        assert peak_of(announced[:came]) < 10 * came + 10_000, came
        assert peak_of(*parts(announced[:came], 4096)) < 10 * came + 10_000, came


@pytest.mark.parametrize(("kind", "size"), [("mixed", 1), *((kind, size) for kind in TEXTS for size in (50, 20_000))])
def test_a_text_takes_little_more_than_its_bytes(kind, size):
    """However small the pieces: there is no object for each."""
    data = sent(TEXT, TEXTS[kind])
    came = SIZE // 4
    assert peak_of(*parts(data[: HEADER + came], size)) < 12 * came + 10_000
    assert held_of(*parts(data[:-1], size)) < (5.3 if kind == "far" else 3.2) * SIZE


@pytest.mark.parametrize("size", [1000, 20_000, 262_144])
@pytest.mark.parametrize("fragments", [1, 3])
def test_a_long_text_is_held_as_it_came_until_somebody_asks(size, fragments):
    """Whole it takes four bytes for each character, because of one of them; all that while it is on its way."""
    payload = (FAR * 40)[:-1] + b"."
    step = len(payload) // fragments + 1
    frames = [
        sent(CONT if at else TEXT, payload[at : at + step], fin=at + step >= len(payload))
        for at in range(0, len(payload), step)
    ]
    data = b"".join(frames)
    pieces = parts(data, size)
    tracemalloc.start()
    parser = FrameParser(1 << 23)
    for piece in pieces:
        parser.feed(piece)
        event = ask(parser)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert event == Event.MESSAGE
    assert parser.is_text
    assert parser.text == ""
    assert bytes(parser.payload) == payload
    assert held < 1.3 * len(payload) + len(pieces[-1])
    assert most < 3.5 * len(payload)
    assert events(*pieces, max_size=0) == [("text", payload.decode())]


@pytest.mark.parametrize("limit", [100_000, 1 << 20, 1 << 24, 0])
def test_what_a_text_takes_is_bounded_by_what_a_message_may_have(limit):
    """Decoded at once is what takes no more, and ASCII, which never does."""
    for size, text in itertools.product((60_000, 99_999, 300_000, 3_000_000), ("a", "é", "€", "😀", "a" * 999 + "😀")):
        payload = (text * (size // len(text.encode()))).encode()
        if limit and len(payload) > limit:
            continue
        parser = FrameParser(limit)
        parser.feed(sent(TEXT, payload))
        assert ask(parser) == Event.MESSAGE
        if parser.payload is None:
            assert parser.text.encode() == payload
            assert sys.getsizeof(parser.text) <= max(limit or 1 << 22, 1 << 18, len(payload)) + 100, (size, text)
        else:
            assert bytes(parser.payload) == payload
            assert size > 60_000
            assert text != "a"


def test_a_long_text_that_is_not_valid_fails_though_it_is_not_decoded():
    for bad in (b"\xff", b"\xe2\x82", b"\xed\xa0\x80"):
        payload = "é".encode() * 200_000 + bad
        for pieces in ([sent(TEXT, payload)], parts(sent(TEXT, payload), 100_000)):
            assert events(*pieces, max_size=1 << 20) == [("error", 1007)], bad
        cut = sent(TEXT, payload[:-1], fin=False) + sent(CONT, payload[-1:])
        assert events(cut, max_size=1 << 20) == [("error", 1007)], bad
