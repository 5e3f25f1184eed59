"""``wire/http1_parser`` as an interface: feed, next, buffered, take_rest, states. What it accepts is in the corpus."""

from __future__ import annotations

import pytest

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_parser import Event, Http1Parser, State
from pronghorn.wire.http1_rules import MOST_FIELDS, Rules

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def new_parser(data: bytes = b"", **rules: object) -> Http1Parser:
    parser = Http1Parser(Rules(**rules))  # type: ignore[arg-type]
    if data:
        parser.feed(data)
    return parser


# -- events ---------------------------------------------------------------------------------------------------------


def test_a_request_without_content() -> None:
    parser = new_parser(GET)
    assert parser.next() == Event.HEAD
    request = parser.request
    assert (request.method, request.target, request.http_version) == ("GET", b"/a%20b?c=d", "1.1")
    assert (request.path, request.raw_path, request.query_string) == ("/a b", b"/a%20b", b"c=d")
    assert request.headers == [(b"host", b"x"), (b"x-a", b"1")]
    assert not request.has_body
    assert parser.next() == Event.NEED_DATA


def test_content() -> None:
    parser = new_parser(POST + b"hello")
    assert parser.next() == Event.HEAD
    assert parser.request.content_length == 5
    assert parser.next() == Event.DATA
    assert parser.data == b"hello"
    assert parser.next() == Event.END
    assert parser.trailers == []
    assert parser.next() == Event.NEED_DATA


def test_chunked_content_and_trailers() -> None:
    parser = new_parser(CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\nx-b:\r\n\r\n")
    assert parser.next() == Event.HEAD
    assert parser.request.chunked
    assert parser.next() == Event.DATA
    assert parser.data == b"abc"
    assert parser.next() == Event.DATA
    assert parser.data == b"de"
    assert parser.next() == Event.END
    assert parser.trailers == [(b"x-sum", b"1"), (b"x-b", b"")]


def test_content_is_handed_out_as_it_comes() -> None:
    parser = new_parser(POST)
    parser.next()
    pieces = []
    for piece in (b"h", b"el", b"lo"):
        assert parser.next() == Event.NEED_DATA
        parser.feed(piece)
        assert parser.next() == Event.DATA
        pieces.append(parser.data)
    assert parser.next() == Event.END
    assert pieces == [b"h", b"el", b"lo"]


def test_data_is_never_empty() -> None:
    parser = new_parser(CHUNKED)
    parser.next()
    for byte in b"5\r\nhello\r\n0\r\n\r\n":
        parser.feed(bytes([byte]))
        while (event := parser.next()) != Event.NEED_DATA:
            assert event in (Event.DATA, Event.END)
            if event == Event.DATA:
                assert len(parser.data) == 1


def test_one_event_a_call() -> None:
    """Whoever reads decides how much is under way: nothing is parsed ahead."""
    parser = new_parser(GET * 3)
    for left in (2, 1, 0):
        assert parser.next() == Event.HEAD
        assert parser.buffered() == left * len(GET)
    assert parser.next() == Event.NEED_DATA


def test_requests_are_objects_of_their_own() -> None:
    parser = new_parser(GET + POST + b"hello" + GET)
    requests = []
    while (event := parser.next()) != Event.NEED_DATA:
        if event == Event.HEAD:
            requests.append(parser.request)
    assert [request.method for request in requests] == ["GET", "POST", "GET"]
    assert len({id(request) for request in requests}) == 3
    assert requests[0].headers is not requests[2].headers
    assert requests[0].headers == requests[2].headers


def test_names_and_methods_that_are_common_exist_once() -> None:
    parser = new_parser(GET * 2)
    parser.next()
    first = parser.request
    parser.next()
    assert parser.request.headers[0][0] is first.headers[0][0]
    assert parser.request.method is first.method


# -- bytes ----------------------------------------------------------------------------------------------------------


def test_feed_while_events_are_pending_only_appends() -> None:
    parser = new_parser(GET)
    parser.feed(GET[:10])
    parser.feed(GET[10:] + POST)
    parser.feed(b"hello")
    events = []
    while (event := parser.next()) != Event.NEED_DATA:
        events.append(event)
    assert events == [Event.HEAD, Event.HEAD, Event.HEAD, Event.DATA, Event.END]


def test_nothing_fed() -> None:
    parser = new_parser()
    assert parser.next() == Event.NEED_DATA
    parser.feed(b"")
    assert parser.next() == Event.NEED_DATA
    assert parser.buffered() == 0


def test_buffered() -> None:
    parser = new_parser(POST + b"hel")
    assert parser.buffered() == len(POST) + 3
    parser.next()
    assert parser.buffered() == 3
    parser.next()
    assert parser.buffered() == 0
    parser.feed(b"lo" + GET)
    assert parser.buffered() == 2 + len(GET)
    parser.next()
    assert parser.buffered() == len(GET)


def test_complete_lines_are_consumed_before_the_head_is() -> None:
    """What is kept between two reads is at most one unfinished line."""
    parser = new_parser(b"GET / HTTP/1.1\r\nhost: x\r\nx-a")
    assert parser.next() == Event.NEED_DATA
    assert parser.buffered() == 3


@pytest.mark.parametrize(
    ("data", "between"),
    [
        (b"", True),
        (b"G", False),
        (b"\r", False),
        (b"\r\n", True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", False),
        (GET, True),
        (GET + b"G", False),
        (POST, False),
        (POST + b"hell", False),
        (POST + b"hello", True),
        (CHUNKED, False),
        (CHUNKED + b"0\r\n", False),
        (CHUNKED + b"0\r\n\r\n", True),
    ],
    ids=repr,
)
def test_is_between_messages(data: bytes, between: bool) -> None:
    parser = new_parser(data)
    while parser.next() != Event.NEED_DATA:
        pass
    assert parser.is_between_messages() is between


def test_take_rest() -> None:
    parser = new_parser(GET + b"\x81\x00 not HTTP any more")
    assert parser.next() == Event.HEAD
    assert parser.take_rest() == b"\x81\x00 not HTTP any more"
    assert parser.buffered() == 0
    assert parser.take_rest() == b""
    parser.feed(b"more")
    assert parser.take_rest() == b"more"


def test_take_rest_of_what_came_in_pieces() -> None:
    parser = new_parser(GET[:-1])
    parser.next()
    parser.feed(GET[-1:] + b"one")
    parser.next()
    parser.feed(b"two")
    assert parser.take_rest() == b"onetwo"


# -- states ---------------------------------------------------------------------------------------------------------

STATES = [
    (b"", State.REQUEST_LINE),
    (b"GET / HT", State.REQUEST_LINE),
    (b"GET / HTTP/1.1\r\n", State.FIELDS),
    (b"GET / HTTP/1.1\r\nhost: x\r\n", State.FIELDS),
    (GET, State.REQUEST_LINE),
    (POST, State.LENGTH_BODY),
    (POST + b"hell", State.LENGTH_BODY),
    (POST + b"hello", State.REQUEST_LINE),
    (CHUNKED, State.CHUNK_SIZE),
    (CHUNKED + b"5", State.CHUNK_SIZE),
    (CHUNKED + b"5\r\n", State.CHUNK_DATA),
    (CHUNKED + b"5\r\nhell", State.CHUNK_DATA),
    (CHUNKED + b"5\r\nhello", State.CHUNK_END),
    (CHUNKED + b"5\r\nhello\r", State.CHUNK_END),
    (CHUNKED + b"5\r\nhello\r\n", State.CHUNK_SIZE),
    (CHUNKED + b"0\r\n", State.TRAILERS),
    (CHUNKED + b"0\r\nx: y\r\n", State.TRAILERS),
    (CHUNKED + b"0\r\n\r\n", State.REQUEST_LINE),
]


@pytest.mark.parametrize(("data", "state"), STATES, ids=lambda value: repr(value)[-40:])
def test_states(data: bytes, state: State) -> None:
    parser = new_parser(data)
    while parser.next() != Event.NEED_DATA:
        pass
    assert parser.state is state


#: For each state, what it cannot take.
FAULTS = [
    (b"", b"\x00", 400),
    (b"GET / HTTP/1.1\r\n", b"\x00\r\n", 400),
    (CHUNKED, b"x\r\n", 400),
    (CHUNKED + b"1\r\na", b"x", 400),
    (CHUNKED + b"0\r\n", b"host: y\r\n\r\n", 400),
    (b"", b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"", b"GET / HTTP/3.0\r\n\r\n", 505),
]


@pytest.mark.parametrize(("data", "fault", "status"), FAULTS, ids=repr)
def test_a_refusal_is_final(data: bytes, fault: bytes, status: int) -> None:
    parser = new_parser(data)
    while parser.next() != Event.NEED_DATA:
        pass
    parser.feed(fault)
    reasons = set()
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            parser.next()
        assert caught.value.status == status
        reasons.add(caught.value.reason)
        assert parser.state is State.FAILED
        parser.feed(GET)
    assert len(reasons) == 1
    assert not parser.is_between_messages()


def test_what_was_good_before_a_refusal_is_still_told() -> None:
    parser = new_parser(GET + POST + b"hello" + b"\x00")
    assert [parser.next() for _ in range(4)] == [Event.HEAD, Event.HEAD, Event.DATA, Event.END]
    with pytest.raises(ProtocolError):
        parser.next()


# -- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "data", "status"),
    [
        ({"limit_request_line": 20}, b"GET /aaaaaaaaaaaaaaaaaaa", 414),
        ({"limit_request_field_size": 20}, b"GET / HTTP/1.1\r\nx: " + b"y" * 30, 431),
        ({"limit_request_fields": 2}, b"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n", 431),
        ({"limit_request_head": 1024, "limit_request_line": 0}, b"GET /" + b"a" * 2000, 414),
        ({"limit_request_head": 1024, "limit_request_field_size": 0}, b"GET / HTTP/1.1\r\nx: " + b"y" * 2000, 431),
        ({"limit_request_head": 1024}, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200, 431),
    ],
)
def test_a_limit_holds_before_the_line_or_the_head_is_complete(
    rules: dict[str, object], data: bytes, status: int
) -> None:
    """However it arrives, what is buffered stays within the limit and two bytes."""
    parser = new_parser(**rules)
    with pytest.raises(ProtocolError) as caught:
        _feed_bytes(parser, data, 1026)
    assert caught.value.status == status


def _feed_bytes(parser: Http1Parser, data: bytes, most: int) -> None:
    for byte in data:
        parser.feed(bytes([byte]))
        parser.next()
        assert parser.buffered() <= most


def test_zero_is_no_limit_but_what_the_head_as_a_whole_may_have() -> None:
    rules = Rules(limit_request_line=0, limit_request_fields=0, limit_request_field_size=0, limit_request_head=5000)
    assert rules.limit_request_line == 5000
    assert rules.limit_request_field_size == 5000
    assert rules.limit_request_fields == MOST_FIELDS


def test_rules_default_to_gunicorns() -> None:
    rules = Rules()
    assert (rules.limit_request_line, rules.limit_request_fields, rules.limit_request_field_size) == (4094, 100, 8190)
    assert rules.header_map == "drop"
    assert rules.forwarder_headers == frozenset()
    for name in (
        "permit_unconventional_http_method",
        "permit_unconventional_http_version",
        "casefold_http_method",
        "permit_obsolete_folding",
        "strip_header_spaces",
    ):
        assert not getattr(rules, name)


def test_forwarder_headers_are_given_in_upper_case() -> None:
    assert Rules(forwarder_headers=frozenset(["SCRIPT_NAME"])).forwarder_headers == {b"script_name"}


def test_no_input_is_read_twice() -> None:
    """A head of 100 fields that comes byte by byte costs no more than its length, give or take a line."""
    parser = new_parser(b"GET / HTTP/1.1\r\nhost: x\r\n")
    for number in range(90):
        line = b"x-%d: value\r\n" % number
        for byte in line:
            parser.feed(bytes([byte]))
            assert parser.next() == Event.NEED_DATA
            assert parser.buffered() <= len(line)
    parser.feed(b"\r\n")
    assert parser.next() == Event.HEAD
    assert len(parser.request.headers) == 91
