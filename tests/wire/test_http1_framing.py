"""``wire/http1_framing``: what the fields of a request say of its body and its connection, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_framing import settle
from pronghorn.wire.request import Request

HOST = (b"host", b"x")
Fields = list[tuple[bytes, bytes]]


def settled(*fields: tuple[bytes, bytes], version: str = "1.1", authority: bytes | None = None) -> Request:
    request = Request()
    request.http_version = version
    request.is_1_0 = version == "1.0"
    request.headers = [*fields]
    settle(request, authority)
    return request


def refusal(*fields: tuple[bytes, bytes], **kwargs: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        settled(*fields, **kwargs)
    assert caught.value.reason.isprintable()
    return caught.value


def test_nothing_said() -> None:
    request = settled(HOST)
    assert request.headers == [HOST]
    assert request.content_length == -1
    assert not request.has_body
    assert not request.chunked
    assert request.keep_alive
    assert not request.expect_continue
    assert not request.accepts_trailers
    assert request.upgrade == b""


# -- Host -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [b"x", b"example.org", b"example.org:8000", b"[::1]:80", b"x_y", b"a%41", b"1.2.3.4:000080", b"[::1]:000080"],
)
def test_host(host: bytes) -> None:
    assert settled((b"host", host)).headers == [(b"host", host)]


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"u@x",
        b"x:y",
        b"x:65536",
        b"x:123456",
        b"x:00065536",
        b"x:4294967376",
        b"x:18446744073709551696",
        b"a%41:18446744073709551696",
        b"",
        b"x:1:2",
        b":80",
        b"[::1",
        b"::1",
        b"\xe9",
        b"x?",
        b"x#",
    ],
    ids=repr,
)
def test_a_host_that_is_none(host: bytes) -> None:
    assert refusal((b"host", host)).status == 400
    assert refusal((b"host", host), version="1.0").status == 400


@pytest.mark.parametrize("second", [b"x", b"y"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_two_hosts(second: bytes, version: str) -> None:
    assert refusal(HOST, (b"host", second), version=version).status == 400


def test_no_host() -> None:
    """RFC 9112 section 3.2: 1.1 must send it, 1.0 need not."""
    assert refusal().status == 400
    assert refusal(authority=b"y").status == 400
    assert settled(version="1.0").headers == []


def test_the_authority_of_the_target_wins() -> None:
    """RFC 9112 section 3.2.2: and in place, so that the order of fields stays."""
    request = settled((b"a", b"1"), HOST, (b"b", b"2"), authority=b"y:80")
    assert request.headers == [(b"a", b"1"), (b"host", b"y:80"), (b"b", b"2")]
    assert settled(HOST, authority=b"x").headers == [HOST]
    assert settled((b"a", b"1"), version="1.0", authority=b"y").headers == [(b"host", b"y"), (b"a", b"1")]


# -- Content-Length and Transfer-Encoding ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"0", 0), (b"1", 1), (b"00012", 12), (b"9" * 18, 10**18 - 1), (b"0" * 17 + b"1", 1), (b"0" * 9000 + b"12", 12)],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_content_length(value: bytes, length: int, version: str) -> None:
    request = settled(HOST, (b"content-length", value), version=version)
    assert request.content_length == length
    assert request.has_body is (length > 0)
    assert not request.chunked


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b"1 2", b"1,1", b"1, 1", b"0x10", b"1.0", b"1e3", b"one", b"\xb2", b"1\t", b"1;"],
    ids=repr,
)
def test_a_content_length_that_is_none(value: bytes) -> None:
    assert refusal(HOST, (b"content-length", value)).status == 400


@pytest.mark.parametrize("second", [b"5", b"6"])
def test_two_content_lengths(second: bytes) -> None:
    """Identical ones too: a recipient before us may have read but one (RFC 9112 section 6.3)."""
    assert refusal(HOST, (b"content-length", b"5"), (b"content-length", second)).status == 400


@pytest.mark.parametrize("value", [b"9" * 19, b"1" * 100, b"0" * 19 + b"1" * 19])
def test_more_digits_than_any_body_has(value: bytes) -> None:
    assert refusal(HOST, (b"content-length", value)).status in (400, 413)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b" chunked\t"])
def test_chunked(value: bytes) -> None:
    request = settled(HOST, (b"transfer-encoding", value))
    assert request.chunked
    assert request.has_body
    assert request.content_length == -1


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([b"gzip, chunked"], 501),
        ([b"gzip", b"chunked"], 501),
        ([b"identity, chunked"], 501),
        ([b"gzip"], 400),
        ([b"identity"], 400),
        ([b""], 400),
        ([b"chunked, gzip"], 400),
        ([b"chunked, chunked"], 400),
        ([b"chunked", b"chunked"], 400),
        ([b"gzip, chunked, chunked"], 400),
        ([b",chunked"], 400),
        ([b"chunked,"], 400),
        ([b"x, , chunked"], 400),
        ([b"xchunked"], 400),
        ([b"chunked;q=1"], 400),
        ([b"chunked x"], 400),
        ([b"\x0bchunked"], 400),
        ([b"chunked\xff"], 400),
        ([b'"chunked"'], 400),
    ],
    ids=repr,
)
def test_transfer_codings_that_are_not_served(values: list[bytes], status: int) -> None:
    assert refusal(HOST, *[(b"transfer-encoding", value) for value in values]).status == status


@pytest.mark.parametrize("coding", [b"chunked", b"gzip", b""])
def test_transfer_encoding_and_content_length(coding: bytes) -> None:
    for fields in (
        [(b"transfer-encoding", coding), (b"content-length", b"5")],
        [(b"content-length", b"5"), (b"transfer-encoding", coding)],
    ):
        assert refusal(HOST, *fields).status == 400


def test_transfer_encoding_on_1_0() -> None:
    assert refusal(HOST, (b"transfer-encoding", b"chunked"), version="1.0").status == 400


# -- Connection and Upgrade -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "on_1_0", "on_1_1"),
    [
        ([], False, True),
        ([b"keep-alive"], True, True),
        ([b"Keep-Alive"], True, True),
        ([b"close"], False, False),
        ([b"CLOSE"], False, False),
        ([b"keep-alive, close"], False, False),
        ([b"close", b"keep-alive"], False, False),
        ([b"x", b"keep-alive"], True, True),
        ([b"x ,\tkeep-alive "], True, True),
        ([b"closed"], False, True),
        ([b"keep-alives"], False, True),
        ([b""], False, True),
    ],
)
def test_keep_alive(values: list[bytes], on_1_0: bool, on_1_1: bool) -> None:
    fields = [HOST, *[(b"connection", value) for value in values]]
    assert settled(*fields, version="1.0").keep_alive is on_1_0
    assert settled(*fields, version="1.1").keep_alive is on_1_1


@pytest.mark.parametrize(
    ("connection", "upgrade", "expected"),
    [
        ([b"upgrade"], [b"websocket"], b"websocket"),
        ([b"Upgrade"], [b"WebSocket"], b"websocket"),
        ([b"keep-alive, Upgrade"], [b"websocket"], b"websocket"),
        ([b"keep-alive", b"upgrade"], [b"websocket"], b"websocket"),
        ([b"upgrade"], [b"h2c", b"websocket"], b"h2c,websocket"),
        ([b"upgrade"], [], b""),
        ([], [b"websocket"], b""),
        ([b"keep-alive"], [b"websocket"], b""),
        ([b"upgrades"], [b"websocket"], b""),
    ],
)
def test_upgrade(connection: list[bytes], upgrade: list[bytes], expected: bytes) -> None:
    fields = [*[(b"connection", one) for one in connection], *[(b"upgrade", one) for one in upgrade]]
    assert settled(HOST, *fields).upgrade == expected
    assert settled(HOST, *fields, version="1.0").upgrade == b"", "RFC 9110 section 7.8"


# -- Expect and TE --------------------------------------------------------------------------------------------------

LENGTH = (b"content-length", b"5")


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_expect(value: bytes) -> None:
    assert settled(HOST, LENGTH, (b"expect", value)).expect_continue
    assert settled(HOST, (b"transfer-encoding", b"chunked"), (b"expect", value)).expect_continue
    assert not settled(HOST, (b"expect", value)).expect_continue, "there is nothing to wait for"
    assert not settled(HOST, LENGTH, (b"expect", value), version="1.0").expect_continue


@pytest.mark.parametrize("value", [b"", b"x", b"100-continue, x", b"100-continue;x", b"200-ok"])
def test_an_expectation_that_cannot_be_met(value: bytes) -> None:
    """RFC 9110 section 10.1.1."""
    assert refusal(HOST, LENGTH, (b"expect", value)).status == 417
    assert not settled(HOST, LENGTH, (b"expect", value), version="1.0").expect_continue


@pytest.mark.parametrize(
    ("values", "accepts"),
    [
        ([b"trailers"], True),
        ([b"Trailers"], True),
        ([b"gzip, trailers"], True),
        ([b"gzip;q=0.5 ,\ttrailers"], True),
        ([b"gzip", b"trailers"], True),
        ([b"gzip"], False),
        ([b"trailer"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_te(values: list[bytes], accepts: bool) -> None:
    assert settled(HOST, *[(b"te", value) for value in values]).accepts_trailers is accepts


# -- what is like it and is not -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"hosts",
        b"hos",
        b"x-host",
        b"connections",
        b"content-lengt",
        b"content_length",
        b"transfer_encoding",
        b"tee",
        b"expects",
    ],
)
def test_names_that_only_resemble(name: bytes) -> None:
    request = settled(HOST, (name, b"chunked"), (name, b"close"))
    assert not request.has_body
    assert request.keep_alive
    assert request.headers == [HOST, (name, b"chunked"), (name, b"close")]
