"""Malformed and oversized requests: the right status, a reason in the log, the connection closed in order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

HOST = b"Host: test\r\n"
#: Each refusal comes from an address of its own, for of one peer only the first ones are written whole.
PEERS = (f"127.1.{number // 250}.{number % 250 + 1}" for number in itertools.count())


def long_line(length: int) -> bytes:
    """A request whose request line has exactly ``length`` bytes without its CRLF."""
    return b"GET /" + b"a" * (length - len("GET / HTTP/1.1")) + b" HTTP/1.1\r\n" + HOST + b"\r\n"


def many_fields(count: int) -> bytes:
    """A request with exactly ``count`` field lines, Host among them."""
    return (
        b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-Field-%d: 1\r\n" % number for number in range(count - 1)) + b"\r\n"
    )


def long_field(length: int) -> bytes:
    """A request with a field line of exactly ``length`` bytes, its CRLF included."""
    return b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: " + b"v" * (length - len("X-Long: \r\n")) + b"\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in fields) + b"\r\n" + body


LIMITS = [
    pytest.param(long_line(5000), 414, id="request line of 5,000 bytes"),
    pytest.param(long_line(4095), 414, id="request line one byte over the limit"),
    pytest.param(b"GET /" + b"a" * 100_000, 414, id="request line without an end"),
    pytest.param(many_fields(101), 431, id="101 fields"),
    pytest.param(long_field(9000), 431, id="field of 9,000 bytes"),
    pytest.param(long_field(8191), 431, id="field one byte over the limit"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: " + b"v" * 100_000, 431, id="field without an end"),
]

MALFORMED = [
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="missing Host"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, id="two Host fields"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, id="space in Host"),
    pytest.param(b"complete garbage\r\n\r\n", 400, id="garbage"),
    pytest.param(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
        400,
        id="a TLS handshake",
    ),
    pytest.param(b"\x00" * 64 + b"\r\n\r\n", 400, id="zeros"),
    pytest.param(b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400, id="space after the version"),
    pytest.param(b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="space in the target"),
    pytest.param(b"GET / HTTP/x.y\r\n" + HOST + b"\r\n", 400, id="malformed version"),
    pytest.param(b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 505, id="another major version"),
    pytest.param(b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="method in lower case"),
    pytest.param(b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="method that is no token"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"No colon\r\n\r\n", 400, id="field without a colon"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X-Name : 1\r\n\r\n", 400, id="space before the colon"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b": nameless\r\n\r\n", 400, id="field without a name"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n folded\r\n\r\n", 400, id="folded field"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\x002\r\n\r\n", 400, id="NUL in a value"),
    pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r2\r\n\r\n", 400, id="bare CR in a value"),
    pytest.param(b"GET / HTTP/1.1\n" + b"Host: test\n\n", 400, id="bare LF"),
    pytest.param(
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
        id="Content-Length with Transfer-Encoding",
    ),
    pytest.param(post(b"Content-Length: 4", b"Content-Length: 5", body=b"body"), 400, id="two lengths"),
    pytest.param(post(b"Content-Length: +4", body=b"body"), 400, id="signed length"),
    pytest.param(post(b"Content-Length: 4x", body=b"body"), 400, id="length with a letter"),
    pytest.param(post(b"Content-Length:", body=b"body"), 400, id="empty length"),
    pytest.param(post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), 400, id="chunked not last"),
    pytest.param(post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, id="unknown coding"),
    pytest.param(
        b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        id="Transfer-Encoding with HTTP/1.0",
    ),
]

BAD_CHUNKS = [
    pytest.param(b"x\r\n", id="size that is no number"),
    pytest.param(b"-1\r\n\r\n", id="negative size"),
    pytest.param(b"0x4\r\nbody\r\n0\r\n\r\n", id="size with 0x"),
    pytest.param(b"4 \r\nbody\r\n0\r\n\r\n", id="space after the size"),
    pytest.param(b"4\r\nbodyXX0\r\n\r\n", id="no CRLF after a chunk"),
    pytest.param(b"4\nbody\r\n0\r\n\r\n", id="bare LF after the size"),
    pytest.param(b"11111111111111111\r\n", id="size of 17 digits"),
    pytest.param(b"0\r\nContent-Length: 4\r\n\r\n", id="framing field in the trailers"),
]


def refused(server: GunicornServer, data: bytes, status: int) -> str:
    """Send ``data``, expect exactly one ``status`` response and the end; the reason that was logged."""
    start = len(server.log())
    peer = next(PEERS)
    reason = re.compile(rf"Invalid request from ip={re.escape(peer)}: (.*\S)")
    with server.connect(source=peer) as client:
        client.send_until_refused(data)
        response = client.read_response()
        assert response.status == status
        assert "close" in response.connection
        assert response.framing == "length"
        client.assert_closed()
    lines = wait_until(lambda: reason.findall(server.log()[start:]), 3, lambda: f"a reason in {server.log()[start:]!r}")
    assert len(lines) == 1, f"one line per bad request, found {lines} in:\n{server.log()[start:]}"
    assert "Traceback" not in server.log()[start:]
    return str(lines[0])


@pytest.mark.parametrize(("data", "status"), LIMITS + MALFORMED)
def test_refused(server: GunicornServer, data: bytes, status: int) -> None:
    refused(server, data, status)


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunk(server: GunicornServer, body: bytes) -> None:
    refused(server, post(b"Transfer-Encoding: chunked", body=body), 400)


@pytest.mark.parametrize(
    "data",
    [long_line(4094), many_fields(100), long_field(8190)],
    ids=["request line", "number of fields", "field size"],
)
def test_exactly_at_the_limit(server: GunicornServer, data: bytes) -> None:
    with server.connect() as client:
        client.send(data)
        assert client.read_response().status in (200, 404)


def test_the_reason_tells_what_is_wrong(server: GunicornServer) -> None:
    reasons = {
        refused(server, data, status)
        for data, status in (
            (long_line(5000), 414),
            (many_fields(101), 431),
            (long_field(9000), 431),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (post(b"Content-Length: 4", b"Transfer-Encoding: chunked"), 400),
            (b"complete garbage\r\n\r\n", 400),
        )
    }
    assert len(reasons) == 6


def test_the_log_cannot_be_forged(server: GunicornServer) -> None:
    """What the peer sent may be quoted, but must not begin a line of its own or carry terminal codes."""
    start = len(server.log())
    with server.connect() as client:
        client.send(b"GET /\r[2026-01-01] [1] [INFO] forged\x1b[31m\r\nHost: test\r\n\r\n")
        assert client.read_response().status == 400
    logged = wait_until(lambda: server.log()[start:], message="a log line")
    assert "\x1b" not in logged
    assert not re.search(r"^\[2026-01-01\]", logged, re.MULTILINE)
    assert "\r" not in logged


def test_the_reply_survives_bytes_that_nobody_reads(server: GunicornServer) -> None:
    """A close with unread bytes sends RST, which can destroy the 400 before the client has read it."""
    for _ in range(10):
        with server.connect() as client:
            client.send_until_refused(b"complete garbage\r\n\r\n" + b"x" * 200_000)
            assert client.read_response().status == 400


def test_after_good_requests_on_the_same_connection(server: GunicornServer) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", "/slow?seconds=0.1") + request_bytes("GET", "/") + b"complete garbage\r\n\r\n")
        assert client.read_response().status == 200
        assert client.read_response().body == b"Hello, world!"
        assert client.read_response().status == 400
        client.assert_closed()


def test_byte_by_byte(server: GunicornServer) -> None:
    with server.connect() as client:
        for byte in b"GET / HTTP/1.1\r\nX-Name : 1\r\n":
            client.send_until_refused(bytes([byte]))
        assert client.read_response().status == 400


def test_the_head_ends_nowhere(server: GunicornServer) -> None:
    """No line ends the head, yet the limits are checked while it arrives: memory stays bounded."""
    with server.connect() as client:
        client.send_until_refused(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(5000)))
        assert client.read_response().status == 431


def test_configured_limits(serve: Callable[..., GunicornServer]) -> None:
    server = serve(limit_request_line=100, limit_request_fields=5, limit_request_field_size=60)
    for data, status in ((long_line(101), 414), (many_fields(6), 431), (long_field(61), 431)):
        refused(server, data, status)
    for data in (long_line(100), many_fields(5), long_field(60)):
        with server.connect() as client:
            client.send(data)
            assert client.read_response().status in (200, 404)


def test_the_worker_serves_on(server: GunicornServer) -> None:
    before = server.worker_pids()
    refused(server, b"complete garbage\r\n\r\n", 400)
    assert server.get("/").status == 200
    assert server.worker_pids() == before
