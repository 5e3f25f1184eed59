"""``Unpacker``: what is kept as it came becomes a message by the piece, within two bounds."""

from __future__ import annotations

import random

import pytest

from pronghorn.wire.ws_deflate import Deflater, Inflater
from pronghorn.wire.ws_messages import FREELY_INFLATED, Unpacker
from pronghorn.wire.ws_vocabulary import FrameError

NOISE = random.Random(1).randbytes(3000)


def deflated(data: bytes) -> bytes:
    return Deflater(15, False, 9).deflate(data)


def unpack(unpacker: Unpacker, payload: bytes, is_text: bool = False, is_deflated: bool = True, budget: int = 50_000):
    """What comes of a message: text, bytes, or the code of its error."""
    unpacker.begin(payload, is_text, is_deflated)
    assert unpacker.text is None
    assert unpacker.data is None
    try:
        while unpacker.is_busy:
            assert unpacker.go_on(budget) > 0 or not unpacker.is_busy
    except FrameError as error:
        return error.code
    assert (unpacker.text is None) is not is_text
    assert (unpacker.data is None) is is_text
    return unpacker.text if is_text else unpacker.data


@pytest.mark.parametrize("budget", [1, 100, 1 << 20])
def test_messages_one_after_the_other(budget):
    unpacker = Unpacker(5000, 0, Inflater())
    text = "aé€😀" * 100
    for _ in range(2):
        assert unpack(unpacker, deflated(text.encode()), True, budget=budget) == text
        assert unpack(unpacker, text.encode(), True, False, budget) == text
        assert unpack(unpacker, bytearray(text.encode()), True, False, budget) == text
        assert unpack(unpacker, deflated(NOISE), budget=budget) == NOISE
        assert unpack(unpacker, deflated(b""), budget=budget) == b""
        assert unpack(unpacker, deflated(b""), True, budget=budget) == ""


def test_what_is_not_valid():
    for payload, code in ((deflated(b"a\xff"), 1007), (deflated("é".encode()[:1]), 1007), (b"\x06", 1007)):
        assert unpack(Unpacker(100, 0, Inflater()), payload, True) == code
    assert unpack(Unpacker(100, 0, Inflater()), deflated(bytes(101)), True) == 1009


def test_the_limit_and_the_ratio():
    """Up to 1 MiB anything goes that the limit allows; from there on the ratio counts as well."""
    for size, limit, ratio, taken in (
        (FREELY_INFLATED, 1 << 24, 1, True),
        (FREELY_INFLATED + 1, 1 << 24, 100, False),
        (FREELY_INFLATED + 1, 1 << 24, 2000, True),
        (FREELY_INFLATED + 1, 1 << 24, 0, True),
        (FREELY_INFLATED + 1, 0, 0, True),
        (FREELY_INFLATED + 1, 0, 100, False),
        (5000, 5000, 1, True),
        (5001, 5000, 2000, False),
    ):
        found = unpack(Unpacker(limit, ratio, Inflater()), deflated(bytes(size)))
        assert found == (bytes(size) if taken else 1009), (size, limit, ratio)


def test_the_ratio_counts_from_what_came():
    """A message of noise and zeros: as many times as there is noise."""
    payload = deflated(NOISE * 10 + bytes(4 << 20))
    ratio = (4 << 20) // len(payload)
    assert isinstance(unpack(Unpacker(1 << 24, ratio + 20, Inflater()), payload), bytes)
    assert unpack(Unpacker(1 << 24, ratio - 20, Inflater()), payload) == 1009


def test_work_follows_the_budget():
    payload = deflated(bytes(1 << 20))
    unpacker = Unpacker(1 << 20, 0, Inflater())
    for budget in (10_000, 100_000):
        unpacker.begin(payload, False, True)
        turns = 0
        while unpacker.is_busy:
            assert unpacker.go_on(budget) < budget + 20_000
            turns += 1
        assert turns >= (1 << 20) // (budget + 20_000)
