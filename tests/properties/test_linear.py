"""The work that a peer can cause grows with what it sends, not with its square, however it cuts it.

Work is counted, not timed: the lines that the parser's uncompiled source executes, which is the same source as the
compiled build's, and the bytes that it copies together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.properties import pure
from tests.properties.builds import INSTALLED, PURE, Reader
from tests.properties.work import Work

WIRE = str(Path(str(pure.load("wire.http1_parser").__file__)).parent)
SMALL, LARGE = 1500, 3000
#: Twice the bytes may cost twice the work and a little; the square would be four times.
MOST_GROWTH = 2.4

UNLIMITED: dict[str, Any] = {
    "limit_request_line": 0,
    "limit_request_fields": 0,
    "limit_request_field_size": 0,
    "permit_unconventional_http_method": True,
    "permit_unconventional_http_version": True,
    "permit_obsolete_folding": True,
    "strip_header_spaces": True,
}

LINE = b"POST / HTTP/1.1\r\n"
HEAD = LINE + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def cost(pieces: Iterator[bytes], *, pending: bool = False) -> int:
    """Return lines executed and bytes copied for ``pieces``; ``pending``: events are asked for at the end only."""
    parser = PURE.parser(PURE.rules(**UNLIMITED))
    copied = 0
    data = parser._buffer.data
    with Work(WIRE) as work:
        for piece in pieces:
            parser.feed(piece)
            while not pending and parser.next() != PURE.event.NEED_DATA:
                pass
            if parser._buffer.data is not data:
                data = parser._buffer.data
                copied += len(data)
        while parser.next() != PURE.event.NEED_DATA:
            pass
    return work.lines + copied


def trickle(start: bytes, filling: bytes, size: int, end: bytes = b"") -> Iterator[bytes]:
    yield start
    for byte in filling * (size // len(filling)) + end:
        yield bytes([byte])


CASES = {
    "empty lines and a method": (b"\r\n\r\n", b"A", b" / HTTP/1.1\r\n"),
    "path": (b"GET /", b"a", b"?x HTTP/1.1\r\n"),
    "query": (b"GET /?", b"a", b" HTTP/1.1\r\n"),
    "absolute-form": (b"GET http://a/", b"a", b" HTTP/1.1\r\n"),
    "version": (b"GET / ", b"a", b""),
    "field name": (LINE, b"a", b": 1\r\n"),
    "field value": (LINE + b"Host: x\r\nX: ", b"a", b"\r\n\r\n"),
    "white space in a value": (LINE + b"X:", b" ", b"a\r\n"),
    "white space before the colon": (LINE + b"X", b" ", b": 1\r\n"),
    "many fields": (LINE, b"X: 1\r\n", b"Host: x\r\n\r\n"),
    "many dropped fields": (LINE, b"X_: 1\r\n", b"Host: x\r\n\r\n"),
    "many values of Connection": (LINE, b"Connection: x\r\n", b"Host: x\r\n\r\n"),
    "a long fold": (LINE + b"X: 1\r\n ", b"a", b"\r\n"),
    "many folds": (LINE + b"X: 1\r\n", b" a\r\n", b"Host: x\r\n\r\n"),
    "small chunks": (HEAD, b"1\r\na\r\n", b"0\r\n\r\n"),
    "a large chunk": (HEAD + b"fffff\r\n", b"a", b""),
    "zeros before chunk sizes": (HEAD, b"0" * 144 + b"1\r\na\r\n", b"0\r\n\r\n"),
    "chunk extensions": (HEAD, b"1;" + b"a" * 144 + b"\r\na\r\n", b"0\r\n\r\n"),
    "a trailer": (HEAD + b"0\r\nX: ", b"a", b"\r\n\r\n"),
    "small requests": (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", CASES)
def test_byte_by_byte(name: str) -> None:
    start, filling, end = CASES[name]
    growth = cost(trickle(start, filling, LARGE, end)) / cost(trickle(start, filling, SMALL, end))
    assert growth < MOST_GROWTH


@pytest.mark.parametrize("name", ["small chunks", "small requests", "many fields", "a large chunk"])
def test_byte_by_byte_while_nobody_reads(name: str) -> None:
    """As when the application is busy with an earlier request: what arrives is appended, and read in one go."""
    start, filling, end = CASES[name]
    large = cost(trickle(start, filling, LARGE, end), pending=True)
    assert large / cost(trickle(start, filling, SMALL, end), pending=True) < MOST_GROWTH


@pytest.mark.parametrize("name", ["small chunks", "small requests", "many fields"])
def test_one_large_read(name: str) -> None:
    start, filling, end = CASES[name]
    growth = [cost(iter([b"".join(trickle(start, filling, size, end))])) for size in (SMALL, LARGE)]
    assert growth[1] / growth[0] < MOST_GROWTH


def test_odd_versions_in_one_large_read() -> None:
    """The rest of the read is not copied for each of them."""
    request = b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"
    growth = [cost(iter([request * (size // len(request))])) for size in (SMALL, LARGE)]
    assert growth[1] / growth[0] < MOST_GROWTH


@pytest.mark.parametrize(
    ("start", "rules", "most"),
    [
        (b"GET /", {"limit_request_line": 500}, 500),
        (b"GET /?", {"limit_request_line": 500}, 500),
        (b"GET / ", {"limit_request_line": 500}, 501),
        (b"X", {"limit_request_line": 500}, 501),
        (LINE + b"X: ", {"limit_request_field_size": 500}, len(LINE) + 501),
        (LINE + b"X", {"limit_request_field_size": 500}, len(LINE) + 501),
        (HEAD + b"1;", {}, len(HEAD) + 1024),
    ],
)
def test_to_wait_lets_no_more_in_than_the_limit(start: bytes, rules: dict[str, Any], most: int) -> None:
    """Where a line may end within its limit, one byte more is waited for: the CR that would end it."""
    reader = Reader(INSTALLED, rules)
    reader.feed(start + b"a" * (most - len(start) - 10))
    sent = most - 10
    while not reader.failed:
        reader.feed(b"a")
        sent += 1
    assert sent == most + 1
