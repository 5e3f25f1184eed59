"""Frames: RFC 6455's examples and rules, every input whole, split and followed by more."""

from __future__ import annotations

import itertools
import random
import re
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pronghorn.wire import ws_writer
from pronghorn.wire.ws_frames import Event, FrameParser, State
from pronghorn.wire.ws_vocabulary import FrameError, is_close_code
from tests.support.frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, sent
from tests.wire.ws_frames import MAX_SIZE, ask, each_way, events, pull, reading

GOOD = {
    "RFC 5.7, masked text": (bytes.fromhex("818537fa213d7f9f4d5158"), [("text", "Hello")]),
    "RFC 5.7, masked pong": (bytes.fromhex("8a8537fa213d7f9f4d5158"), [("pong", b"Hello")]),
    "RFC 5.7, fragmented text": (
        sent(TEXT, b"Hel", fin=False) + sent(CONT, b"lo"),
        [("text", "Hello")],
    ),
    "RFC 5.7, 256 bytes": (sent(BINARY, bytes(range(256))), [("binary", bytes(range(256)))]),
    "empty text": (sent(TEXT), [("text", "")]),
    "empty binary": (sent(BINARY), [("binary", b"")]),
    "empty fragments": (sent(BINARY, fin=False) + sent(CONT, fin=False) + sent(CONT), [("binary", b"")]),
    "several messages": (
        sent(TEXT, b"a") + sent(BINARY, b"b") + sent(TEXT, b"c" * 130),
        [("text", "a"), ("binary", b"b"), ("text", "c" * 130)],
    ),
    "control frames between fragments": (
        sent(TEXT, b"\xce", fin=False)
        + sent(PING, b"1" * 125)
        + sent(CONT, b"\xba\xe1", fin=False)
        + sent(PONG)
        + sent(CONT, b"\xbd\xb9"),
        [("ping", b"1" * 125), ("pong", b""), ("text", b"\xce\xba\xe1\xbd\xb9".decode())],
    ),
    "characters of each length, cut": (
        sent(TEXT, "aé€".encode()[:2], fin=False) + sent(CONT, "aé€😀".encode()[2:]),
        [("text", "aé€😀")],
    ),
    "close without code": (sent(CLOSE), [("close", 1005, "")]),
    "close with code": (sent(CLOSE, b"\x03\xe8"), [("close", 1000, "")]),
    "close with reason": (
        sent(CLOSE, b"\x0f\xa1" + "später".encode()),
        [("close", 4001, "später")],
    ),
    "what follows a close is dropped": (
        sent(CLOSE, b"\x03\xe8") + sent(TEXT, b"x") + b"\xff\xff",
        [("close", 1000, "")],
    ),
    "close between fragments": (sent(TEXT, b"a", fin=False) + sent(CLOSE), [("close", 1005, "")]),
    "a message of just the limit": (sent(TEXT, b"x" * MAX_SIZE), [("text", "x" * MAX_SIZE)]),
    "fragments of just the limit": (
        sent(BINARY, b"x" * 600, fin=False) + sent(CONT, b"y" * 400),
        [("binary", b"x" * 600 + b"y" * 400)],
    ),
    "the limit counts each message": (
        sent(BINARY, b"x" * 600, fin=False) + sent(CONT, b"y" * 400) + sent(TEXT, b"x" * MAX_SIZE),
        [("binary", b"x" * 600 + b"y" * 400), ("text", "x" * MAX_SIZE)],
    ),
}

BAD = {
    "not masked": (b"\x81\x05Hello", 1002),
    "RSV1 without extension": (sent(TEXT, b"x", rsv=4), 1002),
    "RSV2": (sent(TEXT, b"x", rsv=2), 1002),
    "RSV3": (sent(BINARY, b"x", rsv=1), 1002),
    "RSV1 on a ping": (sent(PING, b"x", rsv=4), 1002),
    "RSV3 on a close": (sent(CLOSE, b"", rsv=1), 1002),
    **{f"reserved opcode {opcode:#x}": (sent(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (sent(PING, b"x", fin=False), 1002),
    "fragmented close": (sent(CLOSE, fin=False), 1002),
    "ping of 126 bytes": (sent(PING, b"x" * 126), 1002),
    "close of 126 bytes": (sent(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "close of one byte": (sent(CLOSE, b"\x03"), 1002),
    "continuation of nothing": (sent(CONT, b"x"), 1002),
    "final continuation of nothing": (sent(CONT, b"x", fin=False), 1002),
    "continuation after the end": (sent(TEXT, fin=False) + sent(CONT) + sent(CONT), 1002),
    "message inside a message": (sent(TEXT, b"a", fin=False) + sent(TEXT, b"b"), 1002),
    "binary inside a text": (sent(TEXT, b"a", fin=False) + sent(BINARY, b"b"), 1002),
    "length 125 in 16 bits": (b"\x82\xfe\x00\x7d" + KEY + bytes(125), 1002),
    "length 0 in 16 bits": (b"\x82\xfe\x00\x00" + KEY, 1002),
    "length 65535 in 64 bits": (b"\x82\xff" + struct.pack("!Q", 65535) + KEY, 1002),
    "length 2^63": (b"\x82\xff" + struct.pack("!Q", 1 << 63) + KEY, 1002),
    "length 2^64 - 1": (b"\x82\xff" + b"\xff" * 8 + KEY, 1002),
    "length 2^63 - 1": (b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1) + KEY, 1009),
    "over the limit": (sent(BINARY, b"x" * (MAX_SIZE + 1)), 1009),
    "over the limit in fragments": (sent(TEXT, b"x" * 600, fin=False) + sent(CONT, b"y" * 401), 1009),
    "invalid UTF-8": (sent(TEXT, b"\xff"), 1007),
    "UTF-8 cut at the end": (sent(TEXT, "€".encode()[:2]), 1007),
    "UTF-8 cut at the end of fragments": (sent(TEXT, b"\xe2", fin=False) + sent(CONT, b"\x82"), 1007),
    "UTF-8 broken between fragments": (sent(TEXT, b"\xe2", fin=False) + sent(CONT, b"\x28\xa1"), 1007),
    "a surrogate": (sent(TEXT, b"\xed\xa0\x80"), 1007),
    "close reason not UTF-8": (sent(CLOSE, b"\x03\xe8\xff"), 1007),
    "close reason cut": (sent(CLOSE, b"\x03\xe8\xe2\x82"), 1007),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_input_whole_split_and_trailed(name):
    data, expected = GOOD[name]
    for pieces in each_way(data):
        assert events(*pieces) == expected
    closed = expected[-1][0] == "close"
    for trailing in (b"\x89", b"\x89\x80" + KEY[:3], b"\x82\xfe\x01\x00" + KEY + b"x"):
        assert events(data + trailing) == expected
    assert events(data + sent(PING, b"?")) == expected + ([] if closed else [("ping", b"?")])


@pytest.mark.parametrize("name", BAD)
def test_bad_input_whole_split_and_trailed(name):
    data, code = BAD[name]
    for pieces in each_way(data):
        found = events(*pieces)
        assert found[-1] == ("error", code)
        assert [event for event in found[:-1] if event[0] != "text"] == []
    assert events(data + sent(TEXT, b"x"))[-1] == ("error", code)


def test_the_empty_text_before_a_wrong_continuation_is_delivered():
    assert events(BAD["continuation after the end"][0]) == [("text", ""), ("error", 1002)]


def test_close_codes():
    for code in range(0x10000):
        allowed = code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999
        assert is_close_code(code) is allowed
        expected = ("close", code, "") if allowed else ("error", 1002)
        assert events(sent(CLOSE, struct.pack("!H", code))) == [expected]
    assert not is_close_code(-1)
    assert not is_close_code(1 << 70)


@pytest.mark.parametrize("size", [125, 126, 127, 65535, 65536, 200_000])
def test_each_form_of_length(size):
    payload = random.Random(size).randbytes(size)
    data = sent(BINARY, payload)
    assert events(data, max_size=0) == [("binary", payload)]
    assert events(data[:70_000], data[70_000:], max_size=size) == [("binary", payload)]
    assert events(data, max_size=size - 1) == [("error", 1009)]


def test_the_limit_is_checked_before_the_payload_comes():
    head = b"\x82\xff" + struct.pack("!Q", 1 << 40)
    assert events(head, max_size=1 << 30) == [("error", 1009)]
    assert events(head, max_size=0) == []


def test_an_error_is_raised_again_and_what_is_fed_then_is_dropped():
    parser = FrameParser(MAX_SIZE)
    parser.feed(sent(TEXT, b"ok") + b"\x83\x80")
    assert parser.next() == Event.MESSAGE
    for _ in range(3):
        with pytest.raises(FrameError, match="reserved opcode") as caught:
            parser.next()
        assert caught.value.code == 1002
        assert str(caught.value) == caught.value.reason
        parser.feed(sent(TEXT, b"late"))
        assert parser.buffered() == 0
        assert parser.state is State.FAILED


def test_after_a_close_nothing_comes_and_nothing_is_kept():
    parser = FrameParser(MAX_SIZE)
    parser.feed(sent(TEXT, b"a", fin=False) + sent(CLOSE, b"\x03\xe9bye"))
    assert ask(parser) == Event.CLOSE
    assert (parser.close_code, parser.close_reason, parser.state) == (1001, "bye", State.CLOSED)
    parser.feed(sent(TEXT, b"late"))
    assert parser.next() == Event.NEED_DATA
    assert parser.buffered() == 0


def test_whoever_pulls_sets_the_pace():
    parser = FrameParser(MAX_SIZE)
    one = sent(TEXT, b"12345")
    parser.feed(one * 3)
    assert parser.buffered() == 3 * len(one)
    assert parser.next() == Event.MESSAGE
    assert parser.buffered() == 2 * len(one)
    parser.feed(one + one[:3])
    assert [parser.next() for _ in range(4)] == [Event.MESSAGE] * 3 + [Event.NEED_DATA]
    assert parser.buffered() == 3
    assert parser.state is State.HEADER
    parser.feed(one[3:-1])
    assert parser.next() == Event.NEED_DATA
    assert parser.state is State.PAYLOAD
    assert parser.buffered() == 4
    parser.feed(one[-1:])
    assert parser.next() == Event.MESSAGE
    assert parser.text == "12345"
    assert parser.next() == Event.NEED_DATA
    assert parser.text == ""
    assert parser.buffered() == 0


def test_fragments_count_as_buffered():
    parser = FrameParser(MAX_SIZE)
    parser.feed(sent(BINARY, b"x" * 100, fin=False) + sent(CONT, b"y" * 50, fin=False))
    assert [parser.next() for _ in range(3)] == [Event.FRAGMENT, Event.FRAGMENT, Event.NEED_DATA]
    assert parser.buffered() == 150
    parser.feed(sent(CONT, b""))
    assert parser.next() == Event.MESSAGE
    assert parser.buffered() == 0


def test_what_has_begun_is_under_way():
    parser = FrameParser(MAX_SIZE, True)
    whole = sent(TEXT, b"abc")
    for data in (whole[:1], whole[:6], whole[:-1], sent(TEXT, fin=False), sent(TEXT, fin=False, rsv=RSV1)):
        parser = FrameParser(MAX_SIZE, True)
        assert not parser.is_under_way()
        parser.feed(sent(PING) + data)
        assert parser.next() == Event.PING
        assert ask(parser) == Event.NEED_DATA
        assert parser.is_under_way(), data
        parser.feed(whole[len(data) :] if data == whole[: len(data)] else sent(PING) + sent(CONT))
        while ask(parser) != Event.MESSAGE:
            assert parser.is_under_way()
        assert not parser.is_under_way()


@pytest.mark.parametrize("piece", [bytearray, memoryview])
def test_any_buffer_can_be_fed_and_is_copied(piece):
    source = bytearray(sent(BINARY, b"x" * 100))
    parser = FrameParser()
    parser.feed(piece(source)[:50])
    parser.feed(piece(source)[50:])
    source[:] = bytes(len(source))
    assert parser.next() == Event.MESSAGE
    assert parser.data == b"x" * 100
    assert type(parser.data) is bytes


# UTF-8: RFC 3629 section 4, as an expression over whole characters and their beginnings.

CHARACTER = (
    rb"[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]"
    rb"|(?:\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f])[\x80-\xbf]"
    rb"|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}"
)
BEGINNING = (
    rb"[\xc2-\xf4]|\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f]"
    rb"|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]?"
)
SO_FAR_UTF8 = re.compile(rb"(?:%b)*(?:%b)?" % (CHARACTER, BEGINNING))


def first_bad_byte(data: bytes) -> int | None:
    """The index of the byte with which ``data`` can no longer be the beginning of a text."""
    return next((i for i in range(len(data)) if not SO_FAR_UTF8.fullmatch(data[: i + 1])), None)


def test_the_expression_agrees_with_the_codec():
    for code in (*range(0x110000), 0x10FFFF):
        if code % 97 == 0 and not 0xD800 <= code < 0xE000:
            assert first_bad_byte(chr(code).encode()) is None


nearly_utf8 = st.lists(
    st.one_of(
        st.text(max_size=4).map(str.encode),
        st.binary(min_size=1, max_size=2),
        st.sampled_from(
            [
                b"\xf4\x90\x80\x80",
                b"\xed\xa0\x80",
                b"\xc0\xaf",
                b"\xe0\x80\x80",
                b"\xf0\x8f\xbf\xbf",
                b"\xf4\x8f\xbf\xbf",
            ]
        ),
        st.sampled_from([b"\xf4", b"\xf0\x9f", b"\xe2\x82", b"\xc3", b"\xf4\x8f\xbf", b"\x80"]),
    ),
    max_size=5,
).map(b"".join)


@given(nearly_utf8, st.integers(0, 20), st.booleans())
@example("κόσμε".encode() + b"\xf4\x90\x80\x80edited", 11, False)
@example("κόσμε".encode() + b"\xf4\x90\x80\x80edited", 30, True)
@settings(deadline=None)
def test_invalid_text_fails_with_its_first_byte(data, cut, whole):
    """Byte by byte, in one frame and over two: the error comes with the byte that makes it, not at an end."""
    cut = min(cut, len(data))
    frames = sent(TEXT, data) if whole else sent(TEXT, data[:cut], fin=False) + sent(CONT, data[cut:])
    # Where each byte of the text stands on the wire.
    at = [i + (6 if whole or i < cut else 12) for i in range(len(data))]
    bad = first_bad_byte(data)
    parser = FrameParser()
    for i in range(len(frames)):
        parser.feed(frames[i : i + 1])
        if bad is not None and i == at[bad]:
            with pytest.raises(FrameError) as caught:
                ask(parser)
            assert caught.value.code == 1007
            return
        if i < len(frames) - 1:
            assert ask(parser) == Event.NEED_DATA
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        expected = None
    found: list = []
    pull(reading(parser), found)
    assert found == [("error", 1007) if expected is None else ("text", expected)]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.lists(st.integers(0, 300), max_size=4))
@settings(deadline=None)
def test_a_payload_unmasks_the_same_in_any_pieces(payload, key, cuts):
    data = sent(BINARY, payload, key=key)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    assert events(*(data[a:b] for a, b in itertools.pairwise(places))) == [("binary", payload)]


# Compressed messages are handed over as they came: what ``ws_deflate`` does is tested there.

RSV1 = 4


def payloads(*pieces, max_size=6):
    """The messages, compressed or not, as a parser that takes both hands them over."""
    parser = FrameParser(max_size, True)
    found = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (event := parser.next()) != Event.NEED_DATA:
                if event == Event.MESSAGE and parser.payload is not None:
                    assert (parser.text, parser.data) == ("", b"")
                    found.append((parser.is_text, parser.is_deflated, bytes(parser.payload)))
                elif event != Event.FRAGMENT:
                    found.append(parser.data)
    except FrameError as error:
        found.append(error.code)
    return found


def test_compressed_messages_are_handed_over_as_they_came():
    data = (
        sent(TEXT, b"a\xff", fin=False, rsv=RSV1)
        + sent(PING, b"plain")
        + sent(CONT, b"c", fin=False)
        + sent(CONT)
        + sent(BINARY, b"d")
        + sent(BINARY, b"e", rsv=RSV1)
        + sent(TEXT, rsv=RSV1)
        + sent(BINARY, b"f")
    )
    expected = [b"plain", (True, True, b"a\xffc"), b"d", (False, True, b"e"), (True, True, b""), b"f"]
    for pieces in each_way(data):
        assert payloads(*pieces) == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sent(TEXT, b"a", fin=False, rsv=RSV1) + sent(CONT, b"b", rsv=RSV1), 1002),
        (sent(BINARY, b"x" * 2000, rsv=RSV1)[:8], 1009),
        (sent(BINARY, fin=False, rsv=RSV1) + sent(CONT, b"x" * 2000)[:8], 1009),
        (sent(BINARY, b"x" * 1030, fin=False, rsv=RSV1) + sent(CONT, b"x")[:6], 1009),
    ],
)
def test_compressed_messages_that_fail(data, code):
    for pieces in each_way(data):
        assert payloads(*pieces) == [code]


class Halving:
    """A deflater that drops every other byte."""

    threshold = 4

    def deflate(self, payload):
        return payload[: len(payload) // 2]


def test_messages_from_the_threshold_on_are_compressed():
    assert ws_writer.text("abcd", Halving()) == b"\xc1\x02ab"
    assert ws_writer.binary(b"abcd", Halving()) == b"\xc2\x02ab"
    assert ws_writer.text("abc", Halving()) == b"\x81\x03abc"
    assert ws_writer.binary(bytes(200_000), Halving())[:2] == b"\xc2\x7f"


@pytest.mark.parametrize("name", BAD)
def test_every_error_fits_a_close_frame(name):
    parser = FrameParser(MAX_SIZE)
    parser.feed(BAD[name][0])
    if name == "continuation after the end":
        assert ask(parser) == Event.MESSAGE
    with pytest.raises(FrameError) as caught:
        ask(parser)
    assert ws_writer.close(caught.value.code, caught.value.reason)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_what_was_fed_is_not_written_to(opcode: int) -> None:
    """Unmasking is in place, of a copy. Sizes about each limit: of a fresh object, and of the lengths' encodings."""
    for size in (0, 1, 2, 3, 8, 125, 126, 127, 0xFFFF, 0x10000):
        payload = bytes(97 + i % 23 for i in range(size))
        data = sent(opcode, payload)
        before = bytes(bytearray(data))
        found = events(data, max_size=0)
        assert data == before, size
        assert found == [("text", payload.decode()) if opcode == TEXT else ("binary", payload)], size


def test_a_message_that_is_not_asked_for_waits_in_its_order() -> None:
    parser = FrameParser()
    for text in (b"first", b"second", b"third"):
        parser.feed(sent(TEXT, text))
    found: list = []
    pull(reading(parser), found)
    assert found == [("text", "first"), ("text", "second"), ("text", "third")]
