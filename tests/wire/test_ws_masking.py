"""Masking: in place, into a fresh object, and into room that is filled piece by piece."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pronghorn.wire.ws_masking import room, turned, unmask, unmask_into, unmasked
from tests.support.frames import KEY, mask

KEY_NUMBER = int.from_bytes(KEY, "big")


@pytest.mark.parametrize("size", [*range(40), 63, 64, 65, 1000])
def test_unmask(size):
    original = random.Random(size).randbytes(size + 7)
    for start in range(4):
        data = bytearray(original)
        assert unmask(data, start, start + size, KEY_NUMBER) is None
        end = start + size
        assert bytes(data) == original[:start] + mask(original[start:end]) + original[end:]


def test_unmask_stays_inside():
    for start, end in ((-1, 2), (0, 5), (2, 1 << 40)):
        with pytest.raises(ValueError, match="outside"):
            unmask(bytearray(4), start, end, 1)
    data = bytearray(b"abcd")
    unmask(data, 3, 1, 1)
    assert data == b"abcd"


@pytest.mark.parametrize("size", [*range(2, 20), 1000])
def test_unmasked_returns_an_object_of_its_own(size):
    original = random.Random(size).randbytes(size + 7)
    before = bytes(bytearray(original))
    for start in range(4):
        assert unmasked(original, start, start + size, KEY_NUMBER) == mask(original[start : start + size])
    assert original == before


@given(
    st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)),
    st.binary(min_size=4, max_size=4),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(0, 9),
)
@settings(deadline=None)
def test_room_is_filled_in_any_pieces(payload, key, cuts, before):
    """Each piece with what stands before it in its read, and the key turned to where the piece begins."""
    whole = room(len(payload) + 2)
    places = sorted({0, len(payload), *(min(cut, len(payload)) for cut in cuts)})
    number = int.from_bytes(key, "big")
    masked = mask(payload, key)
    for start, end in itertools.pairwise(places):
        data = bytes(before) + masked[start:end] + b"behind"
        is_ascii = unmask_into(whole, start, data, before, before + end - start, turned(number, start))
        assert is_ascii is payload[start:end].isascii()
    assert bytes(whole) == payload + b"\0\0"


@pytest.mark.parametrize(
    ("at", "start", "end"), [(-1, 0, 1), (0, -1, 1), (0, 0, 9), (0, 2, 1), (1, 0, 4), (4, 0, 1), (5, 0, 0), (0, 8, 9)]
)
def test_room_is_not_left(at, start, end):
    with pytest.raises(ValueError, match="outside"):
        unmask_into(room(4), at, b"abcdefgh", start, end, 0)


def test_a_key_turns_with_what_it_was_used_for():
    assert [turned(0x01020304, count) for count in (0, 1, 2, 3, 4, 1 << 40)] == [
        0x01020304,
        0x02030401,
        0x03040102,
        0x04010203,
        0x01020304,
        0x01020304,
    ]
    assert turned(0xFFFEFDFC, 1) == 0xFEFDFCFF
