"""``net/refusal``: the line about a peer that is refused names the setting, the request and the client."""

from __future__ import annotations

import socket
from typing import Any

from pronghorn.net.ends import ends_of
from pronghorn.proxies import ForwardedPolicy, TrustList
from pronghorn.wire.http1_rules import Rules
from tests.asgi.apps import hello
from tests.asgi.doubles import in_loop
from tests.net.support import Wire, post
from tests.net.transport import CLIENT

IP = CLIENT[0]
HEAD = b"GET /a?b=c HTTP/1.1\r\nhost: x\r\n"
RULES = Rules(limit_request_line=60, limit_request_fields=3, limit_request_field_size=50, limit_request_head=1024)
CLOSED_RULES = Rules(limit_request_line=0, limit_request_field_size=0, limit_request_head=1024, header_map="refuse")

#: What is sent, under which rules, and how the line goes on behind the peer.
REFUSALS: list[tuple[bytes, Rules, str]] = [
    (
        b"GET /" + b"x" * 91 + b" HTTP/1.1\r\n",
        RULES,
        f"Request line is too large (limit_request_line=60), in 'GET /{'x' * 91}'",
    ),
    (b"GET /" + b"x" * 5000, RULES, f"Request line is too large (limit_request_line=60), in 'GET /{'x' * 92}...'"),
    (
        b"GET /" + b"x" * 5000,
        CLOSED_RULES,
        f"Request line is too large (max_head_size=1024), in 'GET /{'x' * 92}...'",
    ),
    (
        HEAD + b"long: " + b"y" * 60,
        RULES,
        "Field 'long' is too large (limit_request_field_size=50), in 'GET /a?b=c HTTP/1.1'",
    ),
    (
        HEAD + b"a: b\r\n" * 3,
        RULES,
        "Too many fields (limit_request_fields=3), in 'GET /a?b=c HTTP/1.1'",
    ),
    (
        HEAD + (b"a: " + b"b" * 500 + b"\r\n") * 3,
        CLOSED_RULES,
        "Header section is too large (max_head_size=1024), in 'GET /a?b=c HTTP/1.1'",
    ),
    (
        HEAD + b"a_b: c\r\n",
        CLOSED_RULES,
        "Field name 'a_b' has an underscore (header_map=refuse), in 'GET /a?b=c HTTP/1.1'",
    ),
    (HEAD + b" folded\r\n", RULES, "Obsolete line folding (permit_obsolete_folding=False), in 'GET /a?b=c HTTP/1.1'"),
    (
        HEAD + b"a : b\r\n",
        RULES,
        "Whitespace after field name 'a' (strip_header_spaces=False), in 'GET /a?b=c HTTP/1.1'",
    ),
    (b"get / HTTP/1.1\r\n", RULES, "Unconventional method (casefold_http_method=False), in 'get /'"),
    (b"X / HTTP/1.1\r\n", RULES, "Unconventional method (permit_unconventional_http_method=False), in 'X /'"),
    (
        b"GET / HTTP/1.7\r\n",
        RULES,
        "Unconventional HTTP version (permit_unconventional_http_version=False), in 'GET / HTTP/1.7'",
    ),
    (b"GET / HTTP/2.0\r\n", RULES, "HTTP version 2.0 is not served here, in 'GET / HTTP/2.0'"),
    (b"\x16\x03\x01\x02", RULES, "TLS handshake on a plain-text port, in '\\x16\\x03\\x01\\x02'"),
    (b"\r\n\r\nG\x1b[31mET\xe9\r\n", RULES, "Invalid method, in 'G\\x1b[31mET\\xe9'"),
    (b"GET /a b HTTP/1.1\r\n", RULES, "Invalid HTTP version, in 'GET /a b'"),
    (post(b"", declared=101), RULES, "Content-Length 101 is over the limit (max_body_size=100), in 'POST / HTTP/1.1'"),
    (
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n65\r\n" + b"z" * 101,
        RULES,
        "Request content is over the limit (max_body_size=100), in 'POST / HTTP/1.1'",
    ),
]


@in_loop
async def test_the_setting_and_the_request_are_named(eager: bool) -> None:
    for data, rules, line in REFUSALS:
        wire = Wire(hello, eager=eager, rules=rules, max_body_size=100)
        wire.send(data)
        await wire.answered()
        assert wire.log.of("warning") == [f"Invalid request from ip={IP}: {line}"]


@in_loop
async def test_what_comes_too_late(eager: bool) -> None:
    for data, line in (
        (b"GET /slow HT", "Request head is not complete in time (header_timeout=10), in 'GET /slow HT'"),
        (HEAD, "Request head is not complete in time (header_timeout=10), in 'GET /a?b=c HTTP/1.1'"),
        (post(b"x", declared=9), "Request content is not complete in time (body_timeout=30), in 'POST / HTTP/1.1'"),
    ):
        wire = Wire(reads_all, eager=eager)
        wire.send(data)
        wire.take_turn()
        wire.advance(31)
        await wire.answered()
        assert wire.log.of("warning") == [f"Invalid request from ip={IP}: {line}"]


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass


def trusting(**options: Any) -> dict[str, Any]:
    policy = ForwardedPolicy(TrustList([IP]), **options)
    return {"is_trusted": lambda client: True, "forwarded": policy}


#: Fields behind those of ``HEAD``, and who the line then says it is.
FORWARDED: list[tuple[dict[str, Any], bytes, str]] = [
    ({}, b"x-forwarded-for: 203.0.113.9\r\n\r\n", f"203.0.113.9 (through ip={IP})"),
    ({}, b"x-forwarded-for: 203.0.113.9\r\nbad : 1\r\n", f"{IP} (for ip=203.0.113.9, as far as the head was read)"),
    ({}, b"bad : 1\r\nx-forwarded-for: 203.0.113.9\r\n\r\n", IP),
    ({}, b"x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: http\r\nx-forwarded-ssl: on\r\n\r\n",
     f"203.0.113.9 (through ip={IP})"),
    ({"family": "forwarded"}, b"forwarded: for=203.0.113.9\r\n\r\n", f"203.0.113.9 (through ip={IP})"),
    ({"family": "forwarded"}, b"forwarded: nonsense!\r\n\r\n", IP),
    ({"family": "none"}, b"x-forwarded-for: 203.0.113.9\r\n\r\n", IP),
]  # fmt: skip


@in_loop
async def test_behind_a_proxy_both_are_named(eager: bool) -> None:
    for options, fields, peer in FORWARDED:
        seen: list[Any] = []
        wire = Wire(hello, eager=eager, max_body_size=1, observer=seen.append, **trusting(**options))
        wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n" + fields)
        await wire.answered()
        (line,) = wire.log.of("warning")
        assert line.startswith(f"Invalid request from ip={peer}: "), line
        (exchange,) = seen
        said = exchange.endpoint.client[0]
        assert said == (IP if "as far as" in peer else peer.partition(" ")[0])


@in_loop
async def test_on_a_unix_socket_it_is_named(eager: bool) -> None:
    for fields, peer in (
        (b"", "unix:/run/app.sock"),
        (b"x-forwarded-for: 203.0.113.9\r\n", "203.0.113.9 (through ip=unix:/run/app.sock)"),
    ):
        ends = ends_of(socket.AF_UNIX, "", "/run/app.sock")
        wire = Wire(hello, eager=eager, max_body_size=1, ends=ends, **trusting())
        wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n" + fields + b"\r\n")
        await wire.answered()
        (line,) = wire.log.of("warning")
        assert line.startswith(f"Invalid request from ip={peer}: Content-Length 2 is over the limit"), line


@in_loop
async def test_the_access_log_has_the_request_of_what_was_refused(eager: bool) -> None:
    for data, method, target in (
        (HEAD + b"bad : 1\r\n", "GET", b"/a?b=c"),
        (b"GET /" + b"x" * 5000, "GET", b"/" + b"x" * 192 + b"..."),
        (b"complete garbage?a=b\x07\r\n", "complete", b"garbage?a=b\\x07"),
        (b"\x00\x01\x02\r\n", "\\x00\\x01\\x02", b"-"),
    ):
        seen: list[Any] = []
        wire = Wire(hello, eager=eager, observer=seen.append)
        wire.send(data)
        await wire.answered()
        (request,) = [exchange.request for exchange in seen]
        assert (request.method, request.target) == (method, target)
        assert request.raw_path + b"?" * (b"?" in target) + request.query_string == target

