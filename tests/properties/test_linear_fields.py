"""What the fields, path and PROXY header of a request cost grows with their size, at the largest size that is let in.

Each source is counted at a tenth and at the whole of the largest size; ``Work`` says what is counted. What is bounded
by a number instead costs little at any size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.properties import pure
from tests.properties.work import Work

SOURCES = str(Path(str(pure.load("wire.percent").__file__)).parent.parent)
#: A whole head where all of Gunicorn's limits are 0 (``max_head_size``), and the fields it may have then.
LARGEST = 1024 * 1024
MOST_FIELDS = pure.load("wire.http1_rules").MOST_FIELDS
#: Ten times the bytes may cost ten times the work and a little; the square would be a hundred times.
MOST_GROWTH = 14

errors = pure.load("wire.errors")
scope: ModuleType = pure.load("asgi.scope")
request_module = pure.load("wire.request")


def growth(call: Callable[[int], Any], size: int) -> float:
    """How many times the work of a tenth of ``size`` the work of ``size`` is."""
    costs = []
    for part in (size // 10, size):
        prepared = call(part)
        with Work(SOURCES) as work:
            try:
                prepared()
            except errors.ProtocolError:
                pass
        costs.append(work.total)
    return costs[1] / costs[0]


def request_with(headers: list[tuple[bytes, bytes]], raw_path: bytes = b"/") -> Any:
    request = request_module.Request()
    request.method, request.target, request.raw_path, request.headers = "GET", raw_path, raw_path, headers
    return request


def endpoint() -> Any:
    template = {"scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}
    return scope.Endpoint(("127.0.0.1", 1), "http", template, False)


def of_environ(name: bytes) -> Callable[[int], Any]:
    """Many fields of one name, which CGI joins."""

    def prepare(size: int) -> Callable[[], Any]:
        request = request_with([(name, b"a" * 500)] * (size // 512))
        return lambda: pure.load("environ").cgi_environ(request, endpoint())

    return prepare


def of_log_line(name: bytes, text: str) -> Callable[[int], Any]:
    line_format = pure.load("logline").LineFormat(text, lambda environ: None)

    def prepare(size: int) -> Callable[[], Any]:
        class Exchange:
            request = request_with([(name, b"a" * 500)] * (size // 512))

        return lambda: line_format.line(Exchange)

    return prepare


def of_path(pattern: bytes) -> Callable[[int], Any]:
    def prepare(size: int) -> Callable[[], Any]:
        path = b"/" + pattern * (size // len(pattern))
        return lambda: pure.load("wire.percent").unquoted(path)

    return prepare


def of_framing(name: bytes, value: bytes) -> Callable[[int], Any]:
    settle = pure.load("wire.http1_framing").settle

    def prepare(size: int) -> Callable[[], Any]:
        request = request_with([(b"host", b"x"), (b"upgrade", b"x"), *[(name, value)] * (size // len(value))])
        return lambda: settle(request, None)

    return prepare


#: Where lines are executed, and traced, for each byte or value: a smaller size shows the same.
PATHS = 1 << 14
VALUES = 1 << 16
CASES: dict[str, tuple[Callable[[int], Any], int]] = {
    "User-Agent in the environ": (of_environ(b"user-agent"), LARGEST),
    "Cookie in the environ": (of_environ(b"cookie"), LARGEST),
    "User-Agent in the access log": (of_log_line(b"user-agent", '"%(a)s"'), LARGEST),
    "Referer in the access log": (of_log_line(b"referer", '"%(f)s"'), LARGEST),
    "any field's variable in the access log": (of_log_line(b"x-a", "%({http_x_a}e)s"), LARGEST),
    "a field in the access log": (of_log_line(b"x-a", "%({x-a}i)s"), LARGEST),
    "credentials in the access log": (of_log_line(b"authorization", "%(u)s"), LARGEST),
    "an encoded path": (of_path(b"%41"), PATHS),
    "a path that is encoded here and there": (of_path(b"a%41"), PATHS),
    "a path of percent signs": (of_path(b"%"), PATHS),
    "Connection": (of_framing(b"connection", b"a,upgrade"), VALUES),
    "Transfer-Encoding": (of_framing(b"transfer-encoding", b"chunked"), VALUES),
    "TE": (of_framing(b"te", b"trailers"), VALUES),
    "Upgrade": (of_framing(b"upgrade", b"a,websocket"), VALUES),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_times_as_large(name: str) -> None:
    prepare, size = CASES[name]
    assert growth(prepare, size) < MOST_GROWTH


# -- bounded by a number ---------------------------------------------------------------------------------------------

#: Lines executed for the largest input, where only its first part is looked at.
FEW_LINES = 40_000


def lines_of(call: Callable[[], Any]) -> int:
    """Lines that are executed until the input is refused."""
    with Work(SOURCES) as work, pytest.raises(errors.ProtocolError):
        call()
    return work.lines


@pytest.mark.parametrize(
    "part", [b";", b",", b";,", b"for=_a;", b"for=_a,", b"a=b;,", b" ; ", b'a="";', b",;for=1.2.3.4;"]
)
def test_forwarded(part: bytes) -> None:
    read = pure.load("wire.forwarded").read_forwarded
    value = part * (LARGEST // len(part))
    assert lines_of(lambda: read(value)) < FEW_LINES


@pytest.mark.parametrize("name", [b"sec-websocket-extensions", b"sec-websocket-protocol", b"connection", b"upgrade"])
def test_a_handshake(name: bytes) -> None:
    read = pure.load("wire.ws_handshake").read
    fields = {
        b"host": b"x",
        b"connection": b"upgrade",
        b"upgrade": b"websocket",
        b"sec-websocket-version": b"13",
        b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    }
    for part in (b"a,", b",", b"a;b;,", b";" * 20 + b",", b"permessage-deflate;a=1,"):
        in_one_line = [part * (LARGEST // len(part))]
        in_many_lines = [part] * 1000
        for values in (in_one_line, in_many_lines):
            headers = [*fields.items(), *((name, value) for value in values)]
            assert lines_of(lambda headers=headers: read("GET", "1.1", headers)) < FEW_LINES


def test_extensions_of_a_proxy_header() -> None:
    """Each checksum that is right in itself would be one more pass over the whole header."""
    proxy = pure.load("wire.proxy_protocol")
    block = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)
    one = struct.pack("!BHI", 3, 4, 0)
    extensions = one * ((proxy.V2_MOST - 16 - len(block)) // len(one))

    def header(sums: bytes) -> bytes:
        fixed = struct.pack("!BBH", 0x21, 0x11, len(block) + len(sums))
        return bytes(proxy.V2_SIGNATURE + fixed + block + sums)

    # The first is right, and all after it are refused unread.
    first = proxy.crc32c(header(extensions))
    data = header(struct.pack("!BHI", 3, 4, first) + extensions[len(one) :])
    parser = proxy.ProxyHeaderParser("auto")
    assert lines_of(lambda: parser.feed(data)) < 4 * len(data)


@pytest.mark.parametrize("part", [b"", b"\0", b"\0\0\0\0"])
def test_small_extensions_of_a_proxy_header(part: bytes) -> None:
    proxy = pure.load("wire.proxy_protocol")
    block = bytes(12)
    one = struct.pack("!BH", 0x04, len(part)) + part
    extensions = one * ((proxy.V2_MOST - 16 - len(block)) // len(one))
    data = proxy.V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(block) + len(extensions)) + block + extensions
    parser = proxy.ProxyHeaderParser("auto")
    with Work(SOURCES) as work:
        assert parser.feed(data) == len(data)
    assert work.lines < 8 * len(data)
