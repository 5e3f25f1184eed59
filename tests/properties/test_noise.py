"""Arbitrary bytes raise ``ProtocolError`` or nothing, never loop, and cost bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.transcript import Body, End, Error, Head
from tests.properties import strategies
from tests.properties.builds import INSTALLED, Reader

#: A chunk size line is bounded by a constant of the parser, whatever the settings.
MOST_CHUNK_LINE = 1024

#: The statuses a parser of requests may answer with (RFC 9110 section 15, RFC 6585).
STATUSES = {400, 413, 414, 417, 431, 501, 505}


@given(data=st.binary(max_size=300), settings=strategies.rules)
def test_bytes(data: bytes, settings: dict[str, Any]) -> None:
    assert_well_behaved(data, settings, [])


@given(data=strategies.anything, settings=strategies.rules, places=strategies.places)
def test_nearly_http(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> None:
    assert_well_behaved(data, settings, places)


def assert_well_behaved(data: bytes, settings: dict[str, Any], places: Sequence[int]) -> None:
    # Reader fails on any exception but ProtocolError, on events out of order and on events without end.
    reader = Reader(INSTALLED, settings)
    for piece in strategies.pieces(data, places):
        reader.feed(piece)
        assert reader.parser.buffered() <= most_buffered(settings)
        if reader.failed:
            assert reader.parser.buffered() == 0, "what will never be read is not kept"
    assert_grammar(reader)


def most_buffered(settings: dict[str, Any]) -> int:
    """Whatever arrives, no more than one unfinished line is kept, and a line has a limit."""
    head = settings.get("limit_request_head", 1024 * 1024)
    line = settings.get("limit_request_line", 4094) or head
    field = settings.get("limit_request_field_size", 8190) or head
    return max(line, field, MOST_CHUNK_LINE) + 2


def assert_grammar(reader: Reader) -> None:
    """``(HEAD [BODY] [END])* [ERROR]``, where END comes exactly to complete messages with a body."""
    body_due = False
    for event in reader.transcript:
        if isinstance(event, Head):
            assert not body_due
            body_due = event.has_body
            assert event.method.isascii()
            assert event.has_body == (event.chunked or event.length > 0)
            assert not (event.chunked and event.length >= 0)
            assert b"\n" not in event.target + event.raw_path + event.query + event.upgrade
            assert all(name and name == name.lower() for name, _ in event.fields)
            assert all(not set(value) & set(b"\0\r\n") for _, value in event.fields)
        elif isinstance(event, Body):
            assert body_due
        elif isinstance(event, End):
            assert body_due
            body_due = False
        else:
            assert isinstance(event, Error)
            assert event is reader.transcript[-1]
            assert event.status in STATUSES
            assert event.reason.isprintable()
            assert len(event.reason) < 240


@given(data=strategies.anything)
def test_a_refusal_is_for_ever(data: bytes) -> None:
    reader = Reader(INSTALLED, {})
    reader.feed(data + b"\0\0 no request \0\r\n\r\n" * 10)
    before = list(reader.transcript)
    if reader.failed:
        reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert reader.transcript == before
