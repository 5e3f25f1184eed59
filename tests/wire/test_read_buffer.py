"""``wire/read_buffer``: what is fed is kept in order, and looked at again only when something can have changed."""

from __future__ import annotations

from pronghorn.wire.read_buffer import ReadBuffer

LETTERS = b"abc"


def waiting(data: bytes, filler: bytes = LETTERS, most: int = 10) -> ReadBuffer:
    buffer = ReadBuffer()
    buffer.feed(data)
    buffer.wait(filler, most)
    return buffer


def test_the_first_bytes_are_not_copied() -> None:
    buffer = ReadBuffer()
    data = b"some bytes that came in one read"
    buffer.feed(data)
    assert buffer.data is data
    assert buffer.size() == len(data)
    assert not buffer.take_more()


def test_later_bytes_wait_behind_the_first() -> None:
    buffer = ReadBuffer()
    for piece in (b"one ", b"two ", b"three"):
        buffer.feed(piece)
    assert buffer.data == b"one "
    assert buffer.size() == 13
    assert buffer.take_more()
    assert buffer.data == b"one two three"
    assert not buffer.take_more()
    assert buffer.size() == 13


def test_what_cannot_decide_is_undecided() -> None:
    buffer = waiting(b"a")
    assert buffer.is_undecided()
    buffer.feed(b"bc")
    buffer.feed(b"")
    assert buffer.is_undecided()
    assert buffer.data == b"a"
    buffer.feed(b"c:")
    assert not buffer.is_undecided()
    buffer.feed(b"a")
    assert not buffer.is_undecided()
    buffer.take_more()
    assert buffer.data == b"abcc:a"


def test_without_filler_every_byte_decides() -> None:
    buffer = waiting(b"\r", b"")
    assert buffer.is_undecided()
    buffer.feed(b"a")
    assert not buffer.is_undecided()


def test_too_many_bytes_are_looked_at_whatever_they_are() -> None:
    buffer = waiting(b"aaa", most=5)
    buffer.feed(b"aa")
    assert buffer.is_undecided()
    buffer.feed(b"a")
    assert not buffer.is_undecided()


def test_to_wait_ends_with_what_is_taken() -> None:
    buffer = waiting(b"a")
    buffer.feed(b":")
    assert buffer.take_more()
    buffer.feed(b"b")
    assert not buffer.is_undecided()


def test_take_all() -> None:
    buffer = waiting(b"ab")
    buffer.feed(b"c:")
    assert buffer.take_all() == b"abc:"
    assert buffer.size() == 0
    assert buffer.take_all() == b""
    buffer.feed(b"new")
    assert buffer.data == b"new"


def test_clear() -> None:
    buffer = waiting(b"ab")
    buffer.feed(b"c")
    buffer.clear()
    assert buffer.size() == 0
    assert buffer.data == b""
