"""However the input is cut, the same is said: events, body, and the status of a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given

from tests.corpus.transcript import Transcript, without_wording
from tests.properties import strategies
from tests.properties.builds import INSTALLED, Reader, transcript_of


def said(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> Transcript:
    return without_wording(transcript_of(INSTALLED, settings, strategies.pieces(data, places)))


@given(message=strategies.pipelines, places=strategies.places)
def test_valid_messages(message: strategies.Message, places: Sequence[int]) -> None:
    assert said(message.raw, {}, places) == said(message.raw, {}, [])


# Where two things are wrong with a line, the one that is met first is the one that is said.
@example(b"GET /" + b"a" * 40 + b"\0", {"limit_request_line": 16}, [30])
@example(b"GET / HTTP/1.1 and much more behind it\r\n", {"limit_request_line": 16}, [30])
@example(b"GET / HTTP/1.0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaa\0", {"limit_request_field_size": 8}, [30])
@example(b"GET / HTTP/1.0\r\nXXXXXXXXXXXXXXXXXXXXXXXXXXX\0", {"limit_request_field_size": 8}, [30])
@given(data=strategies.anything, settings=strategies.rules, places=strategies.places)
def test_anything(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> None:
    assert said(data, settings, places) == said(data, settings, [])


@given(data=strategies.anything, settings=strategies.rules)
def test_byte_by_byte(data: bytes, settings: dict[str, Any]) -> None:
    assert said(data, settings, range(len(data))) == said(data, settings, [])


@given(data=strategies.anything, places=strategies.places)
def test_feeding_while_events_are_pending(data: bytes, places: Sequence[int]) -> None:
    """Bytes may be fed before the events of the bytes before them are taken: feeding only appends."""
    reader = Reader(INSTALLED, {})
    *early, last = strategies.pieces(data, places)
    fed = 0
    for piece in early:
        reader.hand_over(piece)
        fed += len(piece)
        assert reader.parser.buffered() == fed
    reader.feed(last)
    assert without_wording(reader.transcript) == said(data, {}, [])
