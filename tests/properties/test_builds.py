"""The compiled parser and its uncompiled source say the same about everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from tests.corpus.loader import Case, load
from tests.properties import strategies
from tests.properties.builds import COMPILED, INSTALLED, PURE, Reader, transcript_of

if not COMPILED:
    pytest.skip("the installed build is pure: there is nothing to compare", allow_module_level=True)

CASES = load()


def assert_same(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> None:
    compiled, pure = Reader(INSTALLED, settings), Reader(PURE, settings)
    for piece in strategies.pieces(data, places):
        compiled.feed(piece)
        pure.feed(piece)
        assert compiled.transcript == pure.transcript
        assert compiled.parser.buffered() == pure.parser.buffered()
        assert compiled.parser.state.name == pure.parser.state.name
        assert compiled.parser.is_between_messages() == pure.parser.is_between_messages()


def test_the_two_builds_are_two() -> None:
    assert INSTALLED.parser is not PURE.parser
    assert INSTALLED.protocol_error is not PURE.protocol_error
    assert hasattr(PURE.parser.next, "__code__")
    assert not hasattr(INSTALLED.parser.next, "__code__")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_corpus(case: Case) -> None:
    whole = transcript_of(INSTALLED, case.settings, [case.input])
    assert whole == transcript_of(PURE, case.settings, [case.input])
    assert_same(case.input, case.settings, range(0, len(case.input), 7))


@given(message=strategies.pipelines, places=strategies.places)
def test_valid_messages(message: strategies.Message, places: Sequence[int]) -> None:
    assert_same(message.raw, {}, places)


@given(data=strategies.anything, settings=strategies.rules, places=strategies.places)
def test_anything(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> None:
    assert_same(data, settings, places)
