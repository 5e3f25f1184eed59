"""Frames as a server writes them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pronghorn.wire import ws_writer
from pronghorn.wire.ws_vocabulary import CloseCode, is_close_code
from tests.support.frames import BINARY, CONT, PONG, TEXT, sent
from tests.wire.ws_frames import events


def test_the_examples_of_the_rfc_are_written():
    assert ws_writer.text("Hello") == bytes.fromhex("810548656c6c6f")
    assert ws_writer.frame(TEXT, b"Hel", fin=False) == bytes.fromhex("010348656c")
    assert ws_writer.frame(CONT, b"lo") == bytes.fromhex("80026c6f")
    assert ws_writer.ping(b"Hello") == bytes.fromhex("890548656c6c6f")
    assert ws_writer.binary(bytes(256)) == bytes.fromhex("827e0100") + bytes(256)
    assert ws_writer.binary(bytes(65536)) == bytes.fromhex("827f0000000000010000") + bytes(65536)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_headers_are_the_shortest(size):
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    payload = bytes(size)
    for opcode, fin, rsv1 in itertools.product((TEXT, BINARY, CONT, PONG), (True, False), (True, False)):
        header = bytes([opcode | fin << 7 | rsv1 << 6]) + length
        assert ws_writer.header(opcode, size, fin, rsv1) == header
        assert ws_writer.frame(opcode, payload, fin, rsv1) == header + payload


@given(st.text(max_size=300))
@settings(deadline=None)
def test_text_is_read_back(message):
    data = ws_writer.text(message)
    payload = message.encode()
    assert data == ws_writer.header(TEXT, len(payload)) + payload
    assert events(sent(TEXT, payload), max_size=0) == [("text", message)]


@pytest.mark.parametrize("payload", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc"), bytearray(1000)])
def test_binary_takes_any_buffer(payload):
    assert ws_writer.binary(payload) == ws_writer.header(BINARY, len(payload)) + bytes(payload)
    assert type(ws_writer.binary(payload)) is bytes


def test_control_frames():
    assert ws_writer.ping() == b"\x89\x00"
    assert ws_writer.pong() == b"\x8a\x00"
    assert ws_writer.pong(b"x" * 125) == b"\x8a\x7d" + b"x" * 125
    for write in (ws_writer.ping, ws_writer.pong):
        with pytest.raises(ValueError, match="126 bytes: at most 125"):
            write(b"x" * 126)


def test_close_frames():
    assert ws_writer.close() == b"\x88\x02\x03\xe8"
    assert ws_writer.close(None) == b"\x88\x00"
    assert ws_writer.close(4999, "späte") == b"\x88\x08\x13\x87" + "späte".encode()
    assert ws_writer.close(1012, "x" * 123) == b"\x88\x7d\x03\xf4" + b"x" * 123


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (1000, "x" * 124, "124 bytes: at most 123"),
        (1000, "é" * 62, "124 bytes: at most 123"),
        (1000, "\ud800", "surrogates"),
        (None, "why", "needs a close code"),
        *((code, "", "may not be sent") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536, -1)),
    ],
)
def test_what_may_not_be_sent_in_a_close_frame(code, reason, says):
    with pytest.raises(ValueError, match=says):
        ws_writer.close(code, reason)


def test_text_with_a_lone_surrogate_is_refused():
    with pytest.raises(ValueError, match="surrogates"):
        ws_writer.text("\udc80")


def test_close_codes_have_names():
    sendable = [code for code in CloseCode if is_close_code(code)]
    assert set(CloseCode) - set(sendable) == {CloseCode.NO_STATUS, CloseCode.ABNORMAL}
    assert len(sendable) == 12


@given(st.lists(st.tuples(st.sampled_from([CONT, TEXT, BINARY]), st.integers(0, 300), st.booleans()), max_size=5))
@settings(deadline=None)
def test_websockets_reads_what_is_written(frames):
    pytest.importorskip("websockets")
    from websockets.frames import Frame
    from websockets.streams import StreamReader

    reader = StreamReader()
    for opcode, size, fin in frames:
        reader.feed_data(ws_writer.frame(opcode, bytes(size), fin))
    reader.feed_eof()
    for opcode, size, fin in frames:
        parse = Frame.parse(reader.read_exact, mask=False)
        with pytest.raises(StopIteration) as done:
            next(parse)
        frame = done.value.value
        assert (frame.opcode, bytes(frame.data), frame.fin) == (opcode, bytes(size), fin)
