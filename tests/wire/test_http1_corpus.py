"""Each case of ``tests/corpus/http1`` four ways: whole, byte by byte, split in two everywhere, with
trailing bytes.

The cases are described in ``tests/corpus/README.md``. How input is cut must never change what is said about
it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pronghorn.wire import errors, http1_parser, http1_rules
from tests.corpus.loader import Case, by_file, load
from tests.corpus.transcript import Build, Error, Head, Reader, Transcript, transcript_of

INSTALLED = Build.of("installed", http1_parser, http1_rules, errors)
CASES = load()

#: A valid request short enough for the limits that cases set.
NEXT = b"GET /n HTTP/1.1\r\nHost: n\r\n\r\n"
NEXT_HEAD = Head("GET", b"/n", "1.1", "/n", b"/n", b"", ((b"host", b"n"),))

#: Longer inputs are split at this many places, spread evenly, and around every line end.
MOST_SPLITS = 400

#: One test a file: a failure names the line of its case.
each_file = pytest.mark.parametrize("cases", by_file(CASES).values(), ids=by_file(CASES))


def assert_as_expected(case: Case, said: Transcript) -> None:
    """Compare exactly, but for the reason of a refusal, of which the case names a part."""
    where = case.where
    if case.refusal is None:
        assert said == case.expected, where
        return
    assert said, where
    last = said[-1]
    assert said[:-1] == case.expected[:-1], where
    assert isinstance(last, Error), where
    assert last.status == case.refusal.status, f"{where}: {last}"
    assert case.refusal.reason.lower() in last.reason.lower(), where
    assert last.reason.isprintable(), where


def splits(data: bytes) -> Iterable[int]:
    """Return the places at which ``data`` is cut in two: all of them, unless it is long."""
    if len(data) <= MOST_SPLITS:
        return range(1, len(data))
    step = len(data) // (MOST_SPLITS // 2)
    near_line_ends = (
        place
        for at, byte in enumerate(data)
        if byte in b"\r\n"
        for place in range(at - 1, at + 3)
        if 0 < place < len(data)
    )
    return sorted({*range(1, len(data), step), *list(near_line_ends)[:MOST_SPLITS]})


@each_file
def test_whole(cases: list[Case]) -> None:
    for case in cases:
        reader = Reader(INSTALLED, case.settings)
        reader.feed(case.input)
        assert_as_expected(case, reader.transcript)
        if case.complete:
            assert reader.parser.buffered() == 0, case.where


@each_file
def test_byte_by_byte(cases: list[Case]) -> None:
    for case in cases:
        pieces = [case.input[at : at + 1] for at in range(len(case.input))]
        assert_as_expected(case, transcript_of(INSTALLED, case.settings, pieces))


@each_file
def test_split_in_two(cases: list[Case]) -> None:
    for case in cases:
        for at in splits(case.input):
            said = transcript_of(INSTALLED, case.settings, [case.input[:at], case.input[at:]])
            assert_as_expected(case, said)


@each_file
def test_trailing_bytes(cases: list[Case]) -> None:
    for case in cases:
        assert_trailing_bytes_change_nothing(case)


def assert_trailing_bytes_change_nothing(case: Case) -> None:
    if case.refusal is not None:
        # At once, so that a refusal cannot hang on where the read ended, and later, so that it cannot be
        # undone.
        assert_as_expected(case, transcript_of(INSTALLED, case.settings, [case.input + NEXT]))
        assert_as_expected(case, transcript_of(INSTALLED, case.settings, [case.input, NEXT]))
    elif case.complete:
        expected = [*case.expected, NEXT_HEAD]
        assert transcript_of(INSTALLED, case.settings, [case.input + NEXT]) == expected, case.where
        assert transcript_of(INSTALLED, case.settings, [case.input, NEXT]) == expected, case.where
    else:
        assert_is_beginning(case, transcript_of(INSTALLED, case.settings, [case.input + NEXT]))


def assert_is_beginning(case: Case, after: Transcript) -> None:
    """More bytes continue what was said and take nothing back."""
    before = case.expected
    assert len(after) >= len(before), case.where
    for position, event in enumerate(before):
        if position == len(before) - 1 and not isinstance(event, Head):
            assert after[position].data.startswith(event.data), case.where  # type: ignore[union-attr]  # a Body
        else:
            assert after[position] == event, case.where


def test_a_refusal_stays() -> None:
    reader = Reader(INSTALLED, {})
    reader.feed(b"nonsense\r\n")
    assert reader.failed
    refusal = reader.transcript[-1]
    for _ in range(3):
        reader.feed(NEXT)
    assert reader.transcript == [refusal]


def test_the_corpus_does_not_shrink() -> None:
    assert len(CASES) >= 600
