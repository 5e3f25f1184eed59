"""Where h11 and httptools read a message otherwise than we do, or refuse what we accept, and why we are
right.

Whatever is not in these two tables must be read alike (``test_peers.py``), and each row must be met by the
corpus, so that a row cannot outlive its difference. What peers accept and we refuse needs no row:
strictness is the point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.corpus.transcript import Fields, Head
from tests.properties.peers import Reading

BOTH = ("h11", "httptools")


@dataclass(frozen=True)
class Read:
    """The message is read, but not alike; ``level`` makes the two readings equal, in this respect only."""

    peers: tuple[str, ...]
    what: str
    reason: str
    level: Callable[[Reading, Mapping[str, Any]], Reading]


@dataclass(frozen=True)
class Refused:
    """The peer refuses, or leaves the body unread; ``explains`` says whether this row is why."""

    peers: tuple[str, ...]
    what: str
    reason: str
    explains: Callable[[Meeting], bool]


@dataclass(frozen=True)
class Meeting:
    """A message that we accepted and the peer did not.

    ``sent``: the input from the start of the message on. ``refusal``: the peer's words, empty where it read
    on.
    """

    head: Head
    sent: bytes
    settings: Mapping[str, Any]
    refusal: str


def _fields(reading: Reading, change: Callable[[Fields], Fields]) -> Reading:
    return replace(reading, fields=change(reading.fields), trailers=change(reading.trailers))


def _without_underscores(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    if settings.get("header_map", "drop") == "dangerous":
        return reading
    forwarded = {name.lower().encode() for name in settings.get("forwarder_headers", ())}

    def kept(fields: Fields, forwarded: set[bytes]) -> Fields:
        return tuple(f for f in fields if b"_" not in f[0] or f[0] in forwarded or b"*" in forwarded)

    return replace(reading, fields=kept(reading.fields, forwarded), trailers=kept(reading.trailers, set()))


def _host_of_target(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    match = re.match(rb"[a-z]+://([^/?]*)", reading.target, re.IGNORECASE)
    authority = match[1] if match else reading.target if reading.method == b"CONNECT" else None
    if authority is None:
        return reading
    fields = tuple((name, authority if name == b"host" else value) for name, value in reading.fields)
    return replace(reading, fields=fields)


def _trimmed(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    return _fields(reading, lambda fields: tuple((name, value.strip(b" \t")) for name, value in fields))


def _coding_in_lower_case(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    return _fields(
        reading,
        lambda fields: tuple((n, v.lower() if n == b"transfer-encoding" else v) for n, v in fields),
    )


def _one_space_for_folds(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    if not settings.get("permit_obsolete_folding"):
        return reading
    return _fields(reading, lambda fields: tuple((n, re.sub(rb"[ \t]+", b" ", v)) for n, v in fields))


def _upper_case_method(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    return replace(reading, method=reading.method.upper()) if settings.get("casefold_http_method") else reading


def _version_1_1(reading: Reading, settings: Mapping[str, Any]) -> Reading:
    if reading.version in (b"1.0", b"1.1") or not settings.get("permit_unconventional_http_version"):
        return reading
    return replace(reading, version=b"1.1")


#: The methods that llhttp has a number for; it knows no other.
_LLHTTP_METHODS = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE DESCRIBE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR "
    b"MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE "
    b"SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE".split()
)


def _unknown_method(meeting: Meeting) -> bool:
    return "method" in meeting.refusal and meeting.head.method.encode() not in _LLHTTP_METHODS


def _empty_line_before(meeting: Meeting) -> bool:
    return "no request line" in meeting.refusal and meeting.sent.startswith(b"\r\n")


def _space_before_extension(meeting: Meeting) -> bool:
    spaced = rb"\r\n[0-9A-Fa-f]+[ \t]+;|\r\n[0-9A-Fa-f]+;[^\r]*([ \t][;=]|[;=][ \t])"
    return "chunk" in meeting.refusal and re.search(spaced, meeting.sent) is not None


def _after_close(meeting: Meeting) -> bool:
    return "Connection: close" in meeting.refusal


def _space_behind_coding(meeting: Meeting) -> bool:
    spaced = rb"(?i)\r\ntransfer-encoding:[ \t]*chunked[ \t]+\r\n"
    return "Transfer-Encoding" in meeting.refusal and re.search(spaced, meeting.sent) is not None


def _many_zeros(meeting: Meeting) -> bool:
    """h11 takes twenty digits of either number, whatever they are."""
    if "Content-Length" in meeting.refusal:
        return re.search(rb"(?i)\r\ncontent-length:[ \t]*0+[0-9]{0,20}[ \t]*\r\n", meeting.sent) is not None
    return "chunk header" in meeting.refusal and re.search(rb"\r\n0+[0-9A-Fa-f]{0,20}[;\r]", meeting.sent) is not None


def _upgrade_with_body(meeting: Meeting) -> bool:
    return bool(meeting.head.upgrade) and meeting.head.has_body


def _setting(name: str, pattern: bytes) -> Callable[[Meeting], bool]:
    """The setting is on and the message has what it permits."""
    compiled = re.compile(pattern)
    return lambda meeting: bool(meeting.settings.get(name)) and compiled.search(meeting.sent) is not None


READ = (
    Read(
        BOTH,
        "Names with underscores are missing",
        "Gunicorn's header_map: CGI-style names cannot tell X_Y from X-Y, so one could pass for the other",
        _without_underscores,
    ),
    Read(
        BOTH,
        "Host is the authority of an absolute-form target",
        "RFC 9112 section 3.2.2: the received Host must be ignored in favour of the target's authority",
        _host_of_target,
    ),
    Read(
        ("httptools",),
        "Values have no white space at their end",
        "RFC 9112 section 5.1: OWS is excluded from the value; llhttp removes it in front only",
        _trimmed,
    ),
    Read(
        ("h11",),
        "Transfer-Encoding is as sent",
        "RFC 9112 section 7 compares codings without case, which is no reason to change what was sent",
        _coding_in_lower_case,
    ),
    Read(
        ("h11",),
        "A permitted fold is one space, whatever white space surrounds it",
        "RFC 9112 section 5.2: one or more spaces; Gunicorn's permit_obsolete_folding makes it one",
        _one_space_for_folds,
    ),
    Read(
        ("h11",),
        "Methods are in upper case",
        "Gunicorn's casefold_http_method, only when set",
        _upper_case_method,
    ),
    Read(
        ("h11",),
        "HTTP/1.2 and later are processed as 1.1",
        "RFC 9110 section 2.5, only with Gunicorn's permit_unconventional_http_version",
        _version_1_1,
    ),
)

REFUSED = (
    Refused(
        ("h11",),
        "Empty lines before the request line",
        "RFC 9112 section 2.2: a server should ignore at least one",
        _empty_line_before,
    ),
    Refused(
        BOTH,
        "White space around the semicolon or equals sign of a chunk extension",
        "RFC 9112 section 7.1.1 with RFC 9110 section 5.6.3: BWS must be accepted",
        _space_before_extension,
    ),
    Refused(
        ("h11",),
        "More than twenty digits of a Content-Length or chunk size, most of them leading zeros",
        "RFC 9110 section 8.6, RFC 9112 section 7.1: 1*DIGIT and 1*HEXDIG, whose value zeros do not change",
        _many_zeros,
    ),
    Refused(
        ("httptools",),
        "Methods that llhttp has no number for",
        "RFC 9110 section 9.1: methods are extensible, and whether one is known is the application's to say",
        _unknown_method,
    ),
    Refused(
        ("httptools",),
        "A request behind one with Connection: close",
        "RFC 9112 section 9.6: it must not be answered, which is the connection's to see, not the parser's",
        _after_close,
    ),
    Refused(
        ("httptools",),
        "White space behind the coding of Transfer-Encoding",
        "RFC 9112 section 5.1: OWS is excluded from the value before it is evaluated",
        _space_behind_coding,
    ),
    Refused(
        ("httptools",),
        "The body of a request that asks for an upgrade",
        "RFC 9110 section 7.8: the request is sent completely before the protocol changes",
        _upgrade_with_body,
    ),
    Refused(
        BOTH,
        "White space before the colon",
        "Gunicorn's strip_header_spaces, only when set",
        _setting("strip_header_spaces", rb"[ \t]:"),
    ),
    Refused(
        ("httptools",),
        "Folded lines",
        "Gunicorn's permit_obsolete_folding, only when set",
        _setting("permit_obsolete_folding", rb"\r\n[ \t]"),
    ),
    Refused(
        ("httptools",),
        "Methods in lower case",
        "Gunicorn's casefold_http_method, only when set",
        _setting("casefold_http_method", rb"^[^ ]*[a-z]"),
    ),
    Refused(
        ("httptools",),
        "HTTP/1.2 and later",
        "RFC 9110 section 2.5, only with Gunicorn's permit_unconventional_http_version",
        _setting("permit_unconventional_http_version", rb" HTTP/1\.[2-9]\r\n"),
    ),
)
