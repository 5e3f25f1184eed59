"""Each state × each kind of input: a grid that can be read, checked cell by cell.

A row is a place in a message, reached by its prefix. A column is one byte. A cell says what the parser
makes of it:

    .  nothing yet: it waits for more      e  400
    h  a head                              d  data
    E  the end of a message                D  data, and the end
    t  414                                 F  431
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.corpus.transcript import Body, End, Error, Head
from tests.properties.builds import INSTALLED, Reader

COLUMNS = {
    "NUL": b"\0", "TAB": b"\t", "LF": b"\n", "VT": b"\x0b", "CR": b"\r", "SP": b" ", "!": b"!", '"': b'"',
    "#": b"#", "%": b"%", ",": b",", "/": b"/", "0": b"0", "1": b"1", ":": b":", ";": b";", "=": b"=",
    "?": b"?", "@": b"@", "A": b"A", "_": b"_", "g": b"g", "DEL": b"\x7f", "80": b"\x80", "FF": b"\xff",
}  # fmt: skip

_LINE = b"POST / HTTP/1.1\r\n"
_CHUNKED = _LINE + b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"

#: name of the state, name of the place, the bytes that lead there, and the cells in the order of COLUMNS.
#:                                                   N T L V C S ! " # % , / 0 1 : ; = ? @ A _ g D 8 F
GRID = [
    ("REQUEST_LINE", "nothing", b"",                "e e e e . e . e . . e e . . e e e e e . . . e e e"),
    ("REQUEST_LINE", "CR before", b"\r",            "e e . e e e e e e e e e e e e e e e e e e e e e e"),
    ("REQUEST_LINE", "method", b"GE",               "e e e e e . . e . . e e . . e e e e e . . . e e e"),
    ("REQUEST_LINE", "before target", b"GET ",      "e e e e e . . . e . . . . . . . . . . . . . e e e"),
    ("REQUEST_LINE", "target", b"GET /",            "e e e e e . . . e . . . . . . . . . . . . . e e e"),
    ("REQUEST_LINE", "query", b"GET /?",            "e e e e e . . . e . . . . . . . . . . . . . e e e"),
    ("REQUEST_LINE", "version", b"GET / HTTP/1.",   ". . e . . . . . . . . . . . . . . . . . . . . . ."),
    ("REQUEST_LINE", "CR behind", _LINE[:-1],       ". . . . . . . . . . . . . . . . . . . . . . . . ."),
    ("FIELDS", "line start", _LINE,                 "e e e e . e . e . . e e . . e e e e e . . . e e e"),
    ("FIELDS", "line start CR", _LINE + b"\r",      "e e e e e e e e e e e e e e e e e e e e e e e e e"),
    ("FIELDS", "name", _LINE + b"Hos",              "e e e e e e . e . . e e . . . e e e e . . . e e e"),
    ("FIELDS", "before value", _LINE + b"Host:",    "e . e e . . . . . . . . . . . . . . . . . . e . ."),
    ("FIELDS", "value", _LINE + b"Host: a",         "e . e e . . . . . . . . . . . . . . . . . . e . ."),
    ("FIELDS", "value CR", _LINE + b"Host: a\r",    "e e . e e e e e e e e e e e e e e e e e e e e e e"),
    ("FIELDS", "last CR", _LINE + b"Host: a\r\n\r", "e e h e e e e e e e e e e e e e e e e e e e e e e"),
    ("LENGTH_BODY", "body", _LINE + b"Host: a\r\nContent-Length: 2\r\n\r\n",
                                                    "d d d d d d d d d d d d d d d d d d d d d d d d d"),
    ("LENGTH_BODY", "last byte", _LINE + b"Host: a\r\nContent-Length: 2\r\n\r\nx",
                                                    "D D D D D D D D D D D D D D D D D D D D D D D D D"),
    ("CHUNK_SIZE", "size", _CHUNKED,                "e e e e e e e e e e e e . . e e e e e . e e e e e"),
    ("CHUNK_SIZE", "digits", _CHUNKED + b"1",       "e . e e . . e e e e e e . . e . e e e . e e e e e"),
    ("CHUNK_SIZE", "size CR", _CHUNKED + b"1\r",    "e e . e e e e e e e e e e e e e e e e e e e e e e"),
    ("CHUNK_SIZE", "extension", _CHUNKED + b"1;a",  ". . e . . . . . . . . . . . . . . . . . . . . . ."),
    ("CHUNK_DATA", "data", _CHUNKED + b"2\r\n",     "d d d d d d d d d d d d d d d d d d d d d d d d d"),
    ("CHUNK_DATA", "last byte", _CHUNKED + b"1\r\n", "d d d d d d d d d d d d d d d d d d d d d d d d d"),
    ("CHUNK_END", "end", _CHUNKED + b"1\r\nx",      "e e e e . e e e e e e e e e e e e e e e e e e e e"),
    ("CHUNK_END", "end CR", _CHUNKED + b"1\r\nx\r", "e e . e e e e e e e e e e e e e e e e e e e e e e"),
    ("TRAILERS", "line start", _CHUNKED + b"0\r\n", "e e e e . e . e . . e e . . e e e e e . . . e e e"),
    ("TRAILERS", "last CR", _CHUNKED + b"0\r\n\r",  "e e E e e e e e e e e e e e e e e e e e e e e e e"),
    ("TRAILERS", "name", _CHUNKED + b"0\r\nX",      "e e e e e e . e . . e e . . . e e e e . . . e e e"),
    ("TRAILERS", "value", _CHUNKED + b"0\r\nX: a",  "e . e e . . . . . . . . . . . . . . . . . . e . ."),
]  # fmt: skip

#: A limit, a prefix that has just reached it, and the letter of what goes beyond.
LIMITS = {
    "limit_request_line": (b"GET /aaaaaaaaa", 14, "t"),
    "limit_request_field_size": (_LINE + b"Host: aaaaaa", 12, "F"),
}


def outcome(reader: Reader, byte: bytes) -> str:
    """Feed ``byte`` and return the letter of what happened."""
    before = len(reader.transcript)
    body = sum(len(event.data) for event in reader.transcript if isinstance(event, Body))
    reader.feed(byte)
    more = sum(len(event.data) for event in reader.transcript if isinstance(event, Body)) > body
    new = reader.transcript[before:]
    letters = {Head: "h", End: "E", Body: "d"}
    said = "".join(
        {400: "e", 414: "t", 431: "F"}[event.status] if isinstance(event, Error) else letters[type(event)]
        for event in new
    )
    if more:
        return "D" if "E" in said else "d"
    return said or "."


@pytest.mark.parametrize(("state", "place", "prefix", "cells"), GRID, ids=[f"{row[0]}, {row[1]}" for row in GRID])
def test_a_byte_in_a_state(state: str, place: str, prefix: bytes, cells: str) -> None:
    wanted = dict(zip(COLUMNS, cells.split(), strict=True))
    found = {}
    for name, byte in COLUMNS.items():
        reader = Reader(INSTALLED, {})
        reader.feed(prefix)
        assert reader.parser.state.name == state
        found[name] = outcome(reader, byte)
        if found[name] == "e":
            assert reader.parser.state.name == "FAILED"
    assert found == wanted


@pytest.mark.parametrize(("state", "place", "prefix", "cells"), GRID, ids=[f"{row[0]}, {row[1]}" for row in GRID])
def test_nothing_in_a_state(state: str, place: str, prefix: bytes, cells: str) -> None:
    """No bytes change nothing and say nothing, however often."""
    reader = Reader(INSTALLED, {})
    reader.feed(prefix)
    before = list(reader.transcript)
    for _ in range(3):
        assert outcome(reader, b"") == "."
        assert reader.parser.state.name == state
    assert reader.transcript == before


def test_every_state_has_a_row() -> None:
    states = {state.name for state in type(Reader(INSTALLED, {}).parser.state)}
    assert states == {row[0] for row in GRID} | {"FAILED"}


@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0"])
def test_a_failed_parser_stays_failed(data: bytes) -> None:
    reader = Reader(INSTALLED, {})
    reader.feed(b"\0")
    refusal = reader.transcript[-1]
    reader.feed(data)
    assert reader.transcript == [refusal]
    assert reader.parser.state.name == "FAILED"


@pytest.mark.parametrize("name", LIMITS)
def test_a_byte_at_the_limit(name: str) -> None:
    prefix, limit, letter = LIMITS[name]
    settings: dict[str, Any] = {name: limit}
    reader = Reader(INSTALLED, settings)
    reader.feed(prefix)
    # The byte behind the limit could have been the line's CR: the one behind that is surely too much.
    assert letter in (outcome(reader, b"a"), outcome(reader, b"a"))
    reader = Reader(INSTALLED, settings)
    reader.feed(prefix)
    assert outcome(reader, b"\0") == "e"
