"""``wire/response``: a response head that cannot hold what must not reach the wire."""

from __future__ import annotations

import string
from typing import Any

import pytest

from pronghorn.wire.response import Response, check_field

TOKEN = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
#: HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5).
VALUE = frozenset([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])


# -- what may be sent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [b"%b", b"x%b", b"%bx", b"x%bx"])
def test_each_byte_in_a_name(place: bytes) -> None:
    for byte in range(256):
        name = place % bytes([byte])
        if byte in TOKEN:
            check_field(name, b"")
        else:
            with pytest.raises(ValueError, match="invalid header name"):
                check_field(name, b"")


@pytest.mark.parametrize("place", [b"%b", b"x%b", b"%bx", b"x%bx"])
def test_each_byte_in_a_value(place: bytes) -> None:
    for byte in range(256):
        value = place % bytes([byte])
        if byte in VALUE:
            check_field(b"x-a", value)
        else:
            with pytest.raises(ValueError, match="invalid character in the value of header b'x-a'"):
                check_field(b"x-a", value)


def test_an_empty_name_is_none_and_an_empty_value_is_one() -> None:
    with pytest.raises(ValueError, match="invalid header name"):
        check_field(b"", b"x")
    check_field(b"x", b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a: 1\r\nx-b", b"2"),
        (b"x-a", b"1\r\nx-b: 2"),
        (b"x-a", b"1\r\n\r\n<html>"),
        (b"x-a", b"1\nx-b: 2"),
        (b"x-a", b"1\rx-b: 2"),
        (b"x-a", b"\r\n folded"),
        (b"x-a", b"1\0"),
        (b"x-a\0", b"1"),
        (b" x-a", b"1"),
        (b"x-a ", b"1"),
        (b"x-a:", b"1"),
        (b":status", b"200"),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"location", b"http://x/\r\nset-cookie: a=b"),
    ],
)
def test_nothing_can_be_injected(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        Response(200, [(name, value)])


@pytest.mark.parametrize(
    "pair",
    [
        ("x", b"1"),
        (b"x", "1"),
        (b"x", 1),
        (b"x", None),
        (None, b"1"),
        (bytearray(b"x"), b"1"),
        (b"x", memoryview(b"1")),
    ],
    ids=lambda pair: " ".join(type(one).__name__ for one in pair),
)
def test_a_field_is_of_bytes(pair: Any) -> None:
    with pytest.raises(TypeError, match="must be bytes"):
        Response(200, [pair])


@pytest.mark.parametrize("pair", [b"x", (b"x",), (b"x", b"1", b"2"), 5, None], ids=repr)
def test_a_field_is_a_pair(pair: Any) -> None:
    with pytest.raises(TypeError, match="pair"):
        Response(200, [pair])


@pytest.mark.parametrize("headers", [5, None], ids=repr)
def test_headers_are_iterable(headers: Any) -> None:
    with pytest.raises(TypeError):
        Response(200, headers)


def test_the_message_is_one_short_line() -> None:
    with pytest.raises(ValueError) as caught:
        Response(200, [(b"x\n" * 1000, b"1")])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


# -- as given -------------------------------------------------------------------------------------------------------

FIELDS = [(b"X-B", b"1"), (b"set-cookie", b"a"), (b"x-a", b""), (b"set-cookie", b"b")]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda pairs: ([*pair] for pair in pairs)])
def test_fields_keep_order_case_and_repeats(kind: Any) -> None:
    response = Response(200, kind(FIELDS))
    assert response.headers == FIELDS
    assert all(type(pair) is tuple for pair in response.headers)


def test_what_the_application_keeps_is_not_what_we_hold() -> None:
    headers = [*FIELDS]
    pair = [b"x-a", b"1"]
    response = Response(200, [*headers, pair])  # type: ignore[list-item]
    pair[1] = b"1\r\nx-b: 2"
    headers.clear()
    assert response.headers == [*FIELDS, (b"x-a", b"1")]


def test_defaults() -> None:
    response = Response(200, [])
    assert (response.status, response.headers, response.content_length) == (200, [], -1)
    assert not response.close
    assert not response.has_date
    assert not response.has_server
    assert not response.trailers
    assert Response(200, [], True).trailers


def test_which_statuses_have_no_content() -> None:
    assert [status for status in range(200, 600) if Response(status, []).has_no_content] == [204, 205, 304]


# -- fields with a meaning ------------------------------------------------------------------------------------------


def spellings(name: bytes) -> list[bytes]:
    return [name, name.title(), name.upper(), name[:3].upper() + name[3:]]


@pytest.mark.parametrize("name", [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"])
def test_fields_of_the_connection_are_left_out(name: bytes) -> None:
    """RFC 9110 section 7.6.1: they are the protocol's to write."""
    for spelling in spellings(name):
        response = Response(200, [(b"x-a", b"1"), (spelling, b"chunked"), (b"x-b", b"2")])
        assert response.headers == [(b"x-a", b"1"), (b"x-b", b"2")]


@pytest.mark.parametrize("name", [b"connectio", b"connections", b"keep-alivf", b"transfer-encodinh", b"x-date", b"dat"])
def test_other_fields_are_not(name: bytes) -> None:
    response = Response(200, [(name, b"close")])
    assert response.headers == [(name, b"close")]
    assert not response.close


@pytest.mark.parametrize("name", [b"connection", b"transfer-encoding", b"content-length"])
def test_what_is_left_out_is_checked_all_the_same(name: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        Response(200, [(name, b"5\r\n")])


@pytest.mark.parametrize(
    ("values", "close"),
    [
        ([b"close"], True),
        ([b"Close"], True),
        ([b"keep-alive, close"], True),
        ([b"keep-alive ,\tCLOSE "], True),
        ([b"close", b"keep-alive"], True),
        ([b"keep-alive"], False),
        ([b"closed"], False),
        ([b""], False),
    ],
)
def test_close(values: list[bytes], close: bool) -> None:
    for spelling in spellings(b"connection"):
        assert Response(200, [(spelling, value) for value in values]).close is close


@pytest.mark.parametrize(("name", "attribute"), [(b"date", "has_date"), (b"server", "has_server")])
def test_fields_that_replace_ours(name: bytes, attribute: str) -> None:
    for spelling in spellings(name):
        response = Response(200, [(spelling, b"x")])
        assert getattr(response, attribute)
        assert response.headers == [(spelling, b"x")]
    for other in (b"dates", b"etag", b"servers", b"accept"):
        assert not getattr(Response(200, [(other, b"x")]), attribute)


@pytest.mark.parametrize(
    ("value", "length"), [(b"0", 0), (b"5", 5), (b"0005", 5), (b"1234567890", 1234567890), (b"9" * 18, 10**18 - 1)]
)
def test_content_length(value: bytes, length: int) -> None:
    for spelling in spellings(b"content-length"):
        response = Response(200, [(b"x-a", b"1"), (spelling, value)])
        assert response.content_length == length
        assert response.headers == [(b"x-a", b"1")], "the writer's to write"


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b" 1", b"1 ", b"1.0", b"0x1", b"1,1", b"1, 1", b"one", b"\xb2", b"9" * 19, b"1" * 100],
    ids=repr,
)
def test_a_content_length_that_is_none(value: bytes) -> None:
    with pytest.raises(ValueError, match="invalid content-length"):
        Response(200, [(b"content-length", value)])


@pytest.mark.parametrize("second", [b"5", b"6"])
def test_two_content_lengths(second: bytes) -> None:
    with pytest.raises(ValueError, match="more than one content-length"):
        Response(200, [(b"content-length", b"5"), (b"Content-Length", second)])
