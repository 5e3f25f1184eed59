"""Inputs for the properties: valid messages with what they must mean, spoiled messages, and plain noise.

A ``Message`` is written to bytes and into the expected transcript from the same description, without any
code of the parser: the two meet only in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.corpus.loader import load
from tests.corpus.transcript import Body, End, Fields, Head, Transcript

TOKEN_CHARS = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONVENTIONAL = "".join(char for char in TOKEN_CHARS if not char.islower() and char != "#")
_PATH_CHARS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "#?%")
_QUERY_CHARS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")

#: Names with a meaning for framing or the connection; generated fields must not bring it in by chance.
MEANINGFUL = {
    "host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te",
    "keep-alive", "trailer", "cookie", "range", "pragma", "authorization", "cache-control", "max-forwards",
    "forwarded", "content-type", "content-range", "content-encoding", "if-match", "if-range",
    "proxy-connection", "proxy-authorization", "if-none-match", "if-modified-since", "if-unmodified-since",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix",
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A request as sent (``raw``) and what it means (``expected``)."""

    raw: bytes
    expected: Transcript


def percent_decoded(raw: bytes) -> str:
    """An oracle for ``path``, written differently than the parser's."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw).decode("utf-8", "replace")


# --- parts of a message ---

methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH"]),
    st.text(_CONVENTIONAL, min_size=3, max_size=20).filter(lambda method: method != "CONNECT"),
)
_escapes = st.integers(0, 255).map(lambda byte: b"%%%02X" % byte)


def _joined(*parts: st.SearchStrategy[bytes], most: int = 12) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*parts), max_size=most).map(b"".join)


paths = _joined(st.text(_PATH_CHARS, max_size=8).map(str.encode), _escapes).map(lambda rest: b"/" + rest)
queries = _joined(st.text(_QUERY_CHARS, max_size=8).map(str.encode))
names = st.text(TOKEN_CHARS, min_size=1, max_size=20).filter(lambda name: name.lower() not in MEANINGFUL)
_value_bytes = st.binary(max_size=30).map(
    lambda raw: bytes(byte for byte in raw if byte == 9 or 0x20 <= byte <= 0x7E or byte >= 0x80).strip(b" \t")
)
white_space = st.text(" \t", max_size=3).map(str.encode)
_fields = st.lists(st.tuples(names, _value_bytes), max_size=6)
hosts = st.sampled_from([b"example.org", b"a", b"[::1]:80", b"127.0.0.1:8000", b"x-y.example:1"])


@st.composite
def _field_lines(draw: st.DrawFn) -> tuple[bytes, Fields]:
    """Some field lines, and the fields they mean."""
    raw = b""
    meant = []
    for name, value in draw(_fields):
        raw += name.encode() + b":" + draw(white_space) + value + draw(white_space) + b"\r\n"
        meant.append((name.lower().encode(), value))
    return raw, tuple(meant)


@st.composite
def _chunked(draw: st.DrawFn, body: bytes) -> tuple[bytes, Fields]:
    """``body`` in chunks with extensions and trailers, and the trailers."""
    raw = b""
    rest = body
    extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b; c\\""', b";a=b;c", b" ; a = b"])
    while rest:
        size = draw(st.integers(1, len(rest)))
        digits = b"%0*x" % (draw(st.integers(1, 8)), size)
        raw += draw(st.sampled_from([digits, digits.upper()])) + draw(extensions) + b"\r\n" + rest[:size] + b"\r\n"
        rest = rest[size:]
    trailer_lines, trailers = draw(_field_lines())
    return raw + b"0" * draw(st.integers(1, 3)) + draw(extensions) + b"\r\n" + trailer_lines + b"\r\n", trailers


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A valid request with or without a body."""
    method = draw(methods)
    raw_path = draw(paths)
    query = draw(st.none() | queries)
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    target = raw_path if query is None else raw_path + b"?" + query
    lines, fields = draw(_field_lines())
    host = draw(hosts)
    meant = [(b"host", host), *fields]
    raw = b"%b %b HTTP/%b\r\nHost: %b\r\n" % (method.encode(), target, version.encode(), host) + lines
    option = draw(st.sampled_from([None, b"close", b"keep-alive", b"Keep-Alive, x", b"x,CLOSE"]))
    if option is not None:
        raw += b"Connection: " + option + b"\r\n"
        meant.append((b"connection", option))
    body = draw(st.binary(max_size=80))
    length, trailers, framed = -1, None, b""
    kind = draw(st.sampled_from(["none", "length"] if version == "1.0" else ["none", "length", "chunked"]))
    if kind == "length":
        length, framed = len(body), body
        raw += b"Content-Length: %d\r\n" % length
        meant.append((b"content-length", b"%d" % length))
    elif kind == "chunked":
        framed, trailers = draw(_chunked(body))
        raw += b"Transfer-Encoding: chunked\r\n"
        meant.append((b"transfer-encoding", b"chunked"))
    keeps = {None: version == "1.1", b"close": False, b"x,CLOSE": False}.get(option, True)
    head = Head(
        method, target, version, percent_decoded(raw_path), raw_path, query or b"", tuple(meant),
        length, kind == "chunked", kind == "chunked" or length > 0, keeps,
    )  # fmt: skip
    expected: Transcript = [head]
    if head.has_body:
        expected += [Body(body)] if body else []
        expected.append(End(trailers or ()))
    return Message(raw + b"\r\n" + framed, expected)


pipelines = st.lists(messages(), min_size=1, max_size=3).map(
    lambda several: Message(
        b"".join(message.raw for message in several),
        [event for message in several for event in message.expected],
    )
)

# --- spoiled messages and noise ---

#: What is worth inserting where it does not belong.
FRAGMENTS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"#", b"%", b"?", b"*", b"_",
    b'"', b"\\", b"\x7f", b"\x80", b"\xff", b"\x0b", b"\xc3\xa9", b"0", b"1", b"9", b"a", b"F", b"g", b"-",
    b"+", b"GET ", b"POST ", b"CONNECT ", b"OPTIONS * ", b"GET / HTTP/1.1\r\n", b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"HTTP/1.2", b"http://a.example/", b"Host: a\r\n", b"Host: ",
    b"Content-Length: ", b"X_Y: 1\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: ", b"chunked", b"gzip, ",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"TE: trailers\r\n", b" folded\r\n", b"X : 1\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff",
    b"00000000000000000", b"5;ext=\"v\"\r\n", b"18446744073709551616", b"PRI * HTTP/2.0\r\n\r\n",
]  # fmt: skip

_corpus_inputs = [case.input for case in load() if len(case.input) <= 400]
noise = st.one_of(
    st.binary(max_size=120),
    st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=20).map(b"".join),
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A valid message or a corpus input with a few edits."""
    data = draw(st.sampled_from(_corpus_inputs) | pipelines.map(lambda message: message.raw))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 4)))
        data = data[:at] + draw(st.sampled_from([b"", data[at:until] * 2, *FRAGMENTS])) + data[until:]
    return data


anything = st.one_of(pipelines.map(lambda message: message.raw), spoiled(), noise)

# --- settings and splits ---

#: Limits are small here so that generated messages reach them.
rules: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "limit_request_line": st.sampled_from([0, 16, 30, 60]),
        "limit_request_fields": st.sampled_from([0, 1, 2, 4]),
        "limit_request_field_size": st.sampled_from([0, 8, 20, 40]),
        "limit_request_head": st.sampled_from([40, 80, 160]),
        "permit_unconventional_http_method": st.booleans(),
        "permit_unconventional_http_version": st.booleans(),
        "casefold_http_method": st.booleans(),
        "permit_obsolete_folding": st.booleans(),
        "strip_header_spaces": st.booleans(),
        "header_map": st.sampled_from(["drop", "refuse", "dangerous"]),
        "forwarder_headers": st.sampled_from([frozenset(), frozenset({"X_Y"})]),
    },
)


def pieces(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut ``data`` at ``places`` (taken modulo its length)."""
    if not data:
        return [data]
    cuts = sorted({place % len(data) for place in places} | {0})
    return [data[start:end] for start, end in zip(cuts, [*cuts[1:], len(data)], strict=True)]


places = st.lists(st.integers(0, 1000), max_size=8)
