"""``wire/http1_writer``: the framing of responses as a table, and every combination read back by h11."""

from __future__ import annotations

import itertools

import h11
import pytest

from pronghorn.wire.http1_writer import ContentError, Framing, Http1Writer, status_line
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response

DATE, SERVER = b"date: now\r\n", b"server: us\r\n"
DEFAULTS = [DATE, SERVER, DATE + SERVER]
NO_DEFAULTS = [b"", b"", b""]


def request_of(method: str = "GET", version: str = "1.1") -> Request:
    request = Request()
    request.method = method
    request.http_version = version
    request.is_1_0 = version == "1.0"
    return request


def response_of(status: int = 200, *fields: tuple[bytes, bytes], length: int = -1) -> Response:
    return Response(status, [*fields, *([(b"content-length", b"%d" % length)] if length >= 0 else [])])


class Bench:
    """A writer and what it has written of one response."""

    def __init__(self, method: str = "GET", version: str = "1.1", keep_alive: bool = True) -> None:
        self.writer = Http1Writer()
        self.writer.begin(keep_alive)
        self.request = request_of(method, version)
        self.out: list[bytes] = []

    def head(self, response: Response, data: bytes = b"", end: bool = True) -> Bench:
        self.writer.head(self.out, self.request, response, data, end, NO_DEFAULTS)
        return self

    def data(self, data: bytes, end: bool = False) -> Bench:
        self.writer.data(self.out, data, end)
        return self

    def trailers(self, *headers: tuple[bytes, bytes]) -> Bench:
        self.writer.trailers(self.out, [*headers])
        return self

    @property
    def written(self) -> bytes:
        return b"".join(self.out)

    @property
    def fields(self) -> dict[bytes, bytes]:
        lines = self.written.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        assert len(dict(fields)) == len(fields), fields
        return dict(fields)

    @property
    def rest(self) -> bytes:
        return self.written.partition(b"\r\n\r\n")[2]


# -- the framing table ----------------------------------------------------------------------------------------------

NONE, LENGTH, CHUNKED, CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE

#: (methods, versions, statuses, declared length, all at once) → (framing, Content-Length sent, connection goes on).
#: The content is always "hello". RFC 9112 section 6.3, RFC 9110 sections 8.6, 9.3.2, 15.3.5, 15.3.6, 15.4.5.
TABLE: list[tuple[str, str, str, int, bool, Framing, int | None, bool]] = [
    ("GET POST PUT OPTIONS", "1.0 1.1", "200 201 404 500 599 999", 5, True, LENGTH, 5, True),
    ("GET POST PUT OPTIONS", "1.0 1.1", "200 201 404 500 599 999", 5, False, LENGTH, 5, True),
    ("GET POST PUT OPTIONS", "1.0 1.1", "200 201 404 500 599 999", -1, True, LENGTH, 5, True),
    ("GET POST PUT OPTIONS", "1.1", "200 201 404 500 599 999", -1, False, CHUNKED, None, True),
    ("GET POST PUT OPTIONS", "1.0", "200 201 404 500 599 999", -1, False, CLOSE, None, False),
    ("HEAD", "1.0 1.1", "200 201 404 500", 5, True, NONE, 5, True),
    ("HEAD", "1.0 1.1", "200 201 404 500", 5, False, NONE, 5, True),
    ("HEAD", "1.0 1.1", "200 201 404 500", -1, True, NONE, 5, True),
    ("HEAD", "1.0 1.1", "200 201 404 500", -1, False, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "204", 5, True, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "204", 5, False, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "204", -1, True, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "204", -1, False, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "304", 5, True, NONE, 5, True),
    ("GET POST HEAD", "1.0 1.1", "304", 5, False, NONE, 5, True),
    ("GET POST HEAD", "1.0 1.1", "304", -1, True, NONE, None, True),
    ("GET POST HEAD", "1.0 1.1", "304", -1, False, NONE, None, True),
    ("GET POST", "1.0 1.1", "205", 5, True, NONE, 0, True),
    ("GET POST", "1.0 1.1", "205", 5, False, NONE, 0, True),
    ("GET POST", "1.0 1.1", "205", -1, True, NONE, 0, True),
    ("GET POST", "1.0 1.1", "205", -1, False, NONE, 0, True),
]
ROWS = [
    (method, version, int(status), declared, at_once, framing, sent, goes_on)
    for methods, versions, statuses, declared, at_once, framing, sent, goes_on in TABLE
    for method, version, status in itertools.product(methods.split(), versions.split(), statuses.split())
]


def test_framing() -> None:
    for row in ROWS:
        method, version, status, declared, at_once, framing, sent, goes_on = row
        bench = Bench(method, version).head(response_of(status, length=declared), b"hello", at_once)
        if not at_once:
            bench.data(b"", True)
        assert bench.writer.framing is framing, row
        assert bench.fields.get(b"content-length") == (None if sent is None else b"%d" % sent), row
        assert bench.fields.get(b"transfer-encoding") == (b"chunked" if framing is CHUNKED else None), row
        assert bench.writer.keep_alive is goes_on, row
        said = b"close" if not goes_on else b"keep-alive" if version == "1.0" else None
        assert bench.fields.get(b"connection") == said, row
        assert bench.rest == {NONE: b"", CHUNKED: b"5\r\nhello\r\n0\r\n\r\n"}.get(framing, b"hello"), row
        assert bench.writer.complete, row
        assert bench.writer.sent == (0 if framing is NONE else 5), row


def test_the_table_is_complete() -> None:
    """Every method, version, kind of status, length and way to send is decided."""
    decided = {row[:5] for row in ROWS}
    for method, version, status, declared, at_once in itertools.product(
        ("GET", "POST", "HEAD"), ("1.0", "1.1"), (200, 204, 205, 304, 404), (5, -1), (True, False)
    ):
        if (method, status) != ("HEAD", 205):
            assert (method, version, status, declared, at_once) in decided


SPLITS: dict[str, list[bytes]] = {
    "empty": [b""],
    "one": [b"hello"],
    "two": [b"he", b"llo"],
    "empty parts": [b"", b"he", b"", b"llo", b""],
    "bytes": [b"h", b"e", b"l", b"l", b"o"],
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_h11_reads_what_was_meant(method: str, version: str, keep_alive: bool, split: str) -> None:
    parts = SPLITS[split]
    whole = b"".join(parts)
    for status, declared in itertools.product((200, 204, 304, 404), (True, False)):
        bench = Bench(method, version, keep_alive)
        length = len(whole) if declared else -1
        bench.head(response_of(status, (b"x-a", b"1"), length=length), parts[0], len(parts) == 1)
        for number, part in enumerate(parts[1:], 2):
            bench.data(part, number == len(parts))
        assert bench.writer.complete
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(bench.written)
        if not bench.writer.keep_alive:
            client.receive_data(b"")
        head = client.next_event()
        assert isinstance(head, h11.Response)
        assert head.status_code == status
        assert (b"x-a", b"1") in head.headers
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event
        assert body == (b"" if method == "HEAD" or status in (204, 304) else whole)
        assert (client.their_state is h11.MUST_CLOSE) is (not bench.writer.keep_alive or (version == "1.0" and False))


# -- the head -------------------------------------------------------------------------------------------------------


def test_a_whole_small_response_is_one_piece() -> None:
    bench = Bench()
    bench.writer.head(bench.out, bench.request, response_of(200, (b"x-a", b"1")), b"hello", True, DEFAULTS)
    assert bench.out == [
        b"HTTP/1.1 200 OK\r\ndate: now\r\nserver: us\r\nx-a: 1\r\ncontent-length: 5\r\n\r\nhello",
    ]


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 16383, 16384, 1_000_000])
def test_any_size(size: int) -> None:
    bench = Bench().head(response_of(), b"x" * size)
    assert bench.fields[b"content-length"] == b"%d" % size
    assert bench.rest == b"x" * size
    assert bench.writer.sent == size
    assert bench.writer.complete


def test_large_content_is_not_copied() -> None:
    data = b"x" * 1_000_000
    assert any(part is data for part in Bench().head(response_of(), data).out)


@pytest.mark.parametrize(
    ("own", "lines"),
    [
        ([], DATE + SERVER),
        ([b"date"], SERVER),
        ([b"server"], DATE),
        ([b"date", b"server"], b""),
    ],
)
def test_defaults_give_way_to_the_applications_own(own: list[bytes], lines: bytes) -> None:
    bench = Bench()
    response = response_of(200, *[(name, b"mine") for name in own])
    bench.writer.head(bench.out, bench.request, response, b"", True, DEFAULTS)
    expected = b"HTTP/1.1 200 OK\r\n" + lines + b"".join(name + b": mine\r\n" for name in own)
    assert bench.written == expected + b"content-length: 0\r\n\r\n"


def test_a_field_line_is_as_it_was_given() -> None:
    bench = Bench().head(response_of(200, (b"X-Ab", b"1 \t2"), (b"set-cookie", b"\xe9"), (b"x-empty", b"")))
    assert b"\r\nX-Ab: 1 \t2\r\nset-cookie: \xe9\r\nx-empty: \r\n" in bench.written


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (100, b"HTTP/1.1 100 Continue\r\n"),
        (103, b"HTTP/1.1 103 Early Hints\r\n"),
        (200, b"HTTP/1.1 200 OK\r\n"),
        (413, b"HTTP/1.1 413 Content Too Large\r\n"),
        (414, b"HTTP/1.1 414 URI Too Long\r\n"),
        (416, b"HTTP/1.1 416 Range Not Satisfiable\r\n"),
        (418, b"HTTP/1.1 418 I'm a Teapot\r\n"),
        (422, b"HTTP/1.1 422 Unprocessable Content\r\n"),
        (431, b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (299, b"HTTP/1.1 299 \r\n"),
        (999, b"HTTP/1.1 999 \r\n"),
    ],
)
def test_status_line(status: int, line: bytes) -> None:
    """The same phrases on every Python (RFC 9110 section 15)."""
    assert status_line(status) == line


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_application_may_close(version: str, wanted: bool) -> None:
    bench = Bench(version=version).head(response_of(200, *([(b"Connection", b"close")] if wanted else [])))
    assert bench.writer.keep_alive is not wanted
    assert (bench.fields.get(b"connection") == b"close") is wanted


# -- parts ----------------------------------------------------------------------------------------------------------


def test_chunks() -> None:
    bench = Bench().head(response_of(), b"", False).data(b"x" * 26).data(b"").data(b"y", True)
    assert bench.rest == b"1a\r\n" + b"x" * 26 + b"\r\n1\r\ny\r\n0\r\n\r\n"
    assert bench.writer.sent == 27


def test_an_empty_part_is_no_last_chunk() -> None:
    bench = Bench().head(response_of(), b"", False).data(b"")
    assert bench.rest == b""
    assert not bench.writer.complete
    bench.data(b"", True)
    assert bench.rest == b"0\r\n\r\n"
    assert bench.writer.complete


@pytest.mark.parametrize(
    ("parts", "kept", "excess"),
    [
        ([b"abcd"], b"abc", 1),
        ([b"abcdef"], b"abc", 3),
        ([b"abc", b"d"], b"abc", 1),
        ([b"ab", b"cd"], b"abc", 1),
        ([b"", b"abcd"], b"abc", 1),
    ],
)
def test_content_beyond_its_length_never_reaches_the_wire(parts: list[bytes], kept: bytes, excess: int) -> None:
    for end in (True, False):
        bench = Bench()
        with pytest.raises(ContentError, match=f"{excess} bytes longer"):
            _write(bench, parts, end, 3)
        assert bench.rest == kept
        assert bench.writer.sent == 3
        assert bench.writer.complete is end
        with pytest.raises(ContentError, match="1 bytes longer"):
            bench.data(b"z")
        assert bench.rest == kept


def _write(bench: Bench, parts: list[bytes], end: bool, length: int) -> None:
    bench.head(response_of(length=length), parts[0], end and len(parts) == 1)
    for number, part in enumerate(parts[1:], 2):
        bench.data(part, end and number == len(parts))


@pytest.mark.parametrize(
    ("parts", "missing"), [([b""], 3), ([b"ab"], 1), ([b"a", b"b"], 1), ([b"a", b""], 2), ([b"", b"", b""], 3)]
)
def test_content_short_of_its_length_ends_the_connection(parts: list[bytes], missing: int) -> None:
    bench = Bench()
    with pytest.raises(ContentError, match=f"{missing} bytes shorter"):
        _write(bench, parts, True, 3)
    assert bench.writer.complete
    assert not bench.writer.keep_alive
    assert bench.rest == b"".join(parts)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204), ("GET", 205)])
@pytest.mark.parametrize("parts", [[b""], [b"abc"], [b"abcd", b"e"]])
def test_where_nothing_is_sent_no_length_is_wrong(method: str, status: int, parts: list[bytes]) -> None:
    bench = Bench(method)
    bench.head(response_of(status, length=3), parts[0], len(parts) == 1)
    for number, part in enumerate(parts[1:], 2):
        bench.data(part, number == len(parts))
    assert bench.rest == b""
    assert bench.writer.complete
    assert bench.writer.keep_alive


# -- trailers and interim responses ---------------------------------------------------------------------------------


def test_trailers() -> None:
    bench = Bench().head(response_of(), b"abc", False).trailers((b"x-sum", b"1"), (b"x-b", b""))
    assert bench.rest == b"3\r\nabc\r\n0\r\nx-sum: 1\r\nx-b: \r\n\r\n"
    assert bench.writer.complete
    assert bench.writer.keep_alive


def test_no_trailers_is_the_usual_end() -> None:
    assert Bench().head(response_of(), b"abc", False).trailers().rest == b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("bench", "response", "rest"),
    [
        (Bench(version="1.0"), response_of(), b"abc"),
        (Bench("HEAD"), response_of(), b""),
        (Bench(), response_of(204), b""),
        (Bench(), response_of(length=3), b"abc"),
    ],
    ids=["1.0", "HEAD", "204", "length"],
)
def test_trailers_where_there_is_no_place_for_them(bench: Bench, response: Response, rest: bytes) -> None:
    bench.head(response, b"abc", False).trailers((b"x-sum", b"1"))
    assert bench.rest == rest
    assert b"x-sum" not in bench.written
    assert bench.writer.complete


def test_trailers_after_too_little_content() -> None:
    bench = Bench().head(response_of(length=3), b"a", False)
    with pytest.raises(ContentError, match="2 bytes shorter"):
        bench.trailers()
    assert not bench.writer.keep_alive


def test_interim_responses() -> None:
    bench = Bench()
    bench.writer.informational(bench.out, 100, [])
    bench.writer.informational(bench.out, 103, [(b"link", b"</a>"), (b"link", b"</b>")])
    assert bench.written == (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
    )
    assert not bench.writer.complete
    bench.head(response_of(), b"x")
    assert bench.written.endswith(b"\r\n\r\nx")


# -- one after the other --------------------------------------------------------------------------------------------


def test_a_writer_starts_afresh_with_each_response() -> None:
    bench = Bench()
    with pytest.raises(ContentError):
        bench.head(response_of(length=3), b"a")
    assert not bench.writer.keep_alive
    bench.writer.begin(True)
    bench.out.clear()
    assert not bench.writer.complete
    assert bench.writer.sent == 0
    bench.head(response_of(), b"abc")
    assert bench.rest == b"abc"
    assert bench.writer.keep_alive
    assert bench.writer.sent == 3


@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 205), ("GET", 304), ("HEAD", 200), ("GET", 200)])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_framing_of_one_response_says_nothing_of_the_next(version: str, method: str, status: int) -> None:
    bench = Bench(version=version).head(response_of(), b"abc", False).data(b"", True)
    bench.writer.begin(True)
    bench.out.clear()
    bench.request = request_of(method, version)
    bench.head(response_of(status), b"abc", True)
    assert bench.rest == (b"abc" if (method, status) == ("GET", 200) else b"")


def test_before_the_first_request_nothing_is_open() -> None:
    writer = Http1Writer()
    assert writer.complete
    assert not writer.keep_alive
    assert writer.framing is NONE


@pytest.mark.parametrize("keep_alive", [True, False])
def test_begin(keep_alive: bool) -> None:
    bench = Bench(keep_alive=keep_alive)
    assert bench.writer.keep_alive is keep_alive
    assert (bench.head(response_of()).fields.get(b"connection") == b"close") is not keep_alive
