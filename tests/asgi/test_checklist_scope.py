"""ASGI HTTP 2.5, rules 12 to 19 of the checklist: the connection scope."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import AF_INET, AF_UNIX
from typing import Any

import pytest

from pronghorn.net.ends import ends_of
from tests.asgi.apps import Receive, Send, body, hello, read_all, reply, start
from tests.asgi.doubles import in_loop, until
from tests.asgi.support import Conversation, scope_of
from tests.net.support import Wire
from tests.net.transport import CLIENT, SERVER

Talk = Callable[..., Conversation]
Scope = dict[str, Any]

KEYS = {
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "headers",
    "client",
    "server",
    "extensions",
}


async def scope_on_wire(request: bytes, **kwargs: Any) -> Scope:
    """The scope of a request that is given as bytes."""
    scopes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send)

    wire = Wire(app, **kwargs)
    wire.send(request)
    await until(lambda: scopes, "the application is called")
    return scopes[0]


@in_loop
async def test_rule_12_the_keys_and_their_types(talk: Talk) -> None:
    scope = await scope_of(talk, "POST", b"/a?b=c", body=b"x")
    assert set(scope) == KEYS
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "POST", "http")
    for key in ("http_version", "method", "scheme", "path", "root_path"):
        assert type(scope[key]) is str
    for key in ("raw_path", "query_string"):
        assert type(scope[key]) is bytes


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@in_loop
async def test_rule_12_http_version(version: str) -> None:
    scope = await scope_on_wire(b"GET / HTTP/%b\r\nhost: x\r\n\r\n" % version.encode())
    assert scope["http_version"] == version


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "QUERY", "M-SEARCH", "BREW"])
@in_loop
async def test_rule_12_method(talk: Talk, method: str) -> None:
    assert (await scope_of(talk, method))["method"] == method


@pytest.mark.parametrize(("tls", "scheme"), [(None, "http"), (object(), "https")])
@in_loop
async def test_rule_12_scheme(tls: object, scheme: str) -> None:
    scope = await scope_on_wire(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", extra={"ssl_object": tls})
    assert scope["scheme"] == scheme


TARGETS = [
    (b"/", "/", b"/", b""),
    (b"/a/b", "/a/b", b"/a/b", b""),
    (b"/a?b=c", "/a", b"/a", b"b=c"),
    (b"/a?", "/a", b"/a", b""),
    (b"/a?b?c", "/a", b"/a", b"b?c"),
    (b"/?a=%20+&b=%zz", "/", b"/", b"a=%20+&b=%zz"),
    (b"/a%20b", "/a b", b"/a%20b", b""),
    (b"/a+b", "/a+b", b"/a+b", b""),
    (b"/a%2Fb", "/a/b", b"/a%2Fb", b""),
    (b"/a%2fb", "/a/b", b"/a%2fb", b""),
    (b"/%C3%A9", "/é", b"/%C3%A9", b""),
    (b"/%E2%82%AC?%E2%82%AC", "/€", b"/%E2%82%AC", b"%E2%82%AC"),
    (b"/%FF", "/�", b"/%FF", b""),
    (b"/%", "/%", b"/%", b""),
    (b"/%4", "/%4", b"/%4", b""),
    (b"/%zz", "/%zz", b"/%zz", b""),
    (b"/%25%32%30", "/%20", b"/%25%32%30", b""),
    (b"/%3Fa", "/?a", b"/%3Fa", b""),
    (b"/%00", "/\0", b"/%00", b""),
    (b"//a//b/", "//a//b/", b"//a//b/", b""),
    (b"/a/../b/./c", "/a/../b/./c", b"/a/../b/./c", b""),
    (b"/a;b=c", "/a;b=c", b"/a;b=c", b""),
    (b"http://example.org/a%20b?c", "/a b", b"/a%20b", b"c"),
    (b"http://example.org", "/", b"/", b""),
    (b"http://example.org?c", "/", b"/", b"c"),
]


@pytest.mark.parametrize(("target", "path", "raw_path", "query"), TARGETS, ids=[repr(case[0]) for case in TARGETS])
@in_loop
async def test_rule_13_path_raw_path_and_query(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    """``path`` is percent-decoded and then UTF-8; ``raw_path`` and ``query_string`` are as received."""
    scope = await scope_on_wire(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


@in_loop
async def test_rule_13_asterisk(talk: Talk) -> None:
    scope = await scope_on_wire(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (scope["path"], scope["raw_path"]) == ("*", b"*")


@in_loop
async def test_rule_14_root_path_is_empty_by_default(talk: Talk) -> None:
    scope = await scope_of(talk, "GET", b"/a")
    assert scope["root_path"] == ""
    assert scope["path"] == "/a"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a", "/app/a"),
        (b"/", "/app/"),
        (b"/app", "/app"),
        (b"/app/", "/app/"),
        (b"/app/a", "/app/a"),
        (b"/apple", "/app/apple"),
    ],
)
@in_loop
async def test_rule_14_path_includes_root_path_once(talk: Talk, target: bytes, path: str) -> None:
    """Whether the proxy in front took the prefix off or left it on."""
    scope = await scope_of(talk, "GET", target, root_path="/app")
    assert scope["root_path"] == "/app"
    assert scope["path"] == path
    assert scope["raw_path"] == target, "as received"
    assert scope["path"].removeprefix(scope["root_path"]) in ("", "/", "/a", "/apple")


@in_loop
async def test_rule_14_asterisk_is_under_no_root() -> None:
    """RFC 9112 section 3.2.4: the target is the server, not a path."""
    scope = await scope_on_wire(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", root_path="/app")
    assert scope["path"] == "*"


@in_loop
async def test_rule_15_headers_are_pairs_of_bytes_in_order(talk: Talk) -> None:
    sent = [
        (b"host", b"x"),
        (b"x-b", b"2"),
        (b"x-a", b"1, one"),
        (b"x-b", b""),
        (b"cookie", b"a=1"),
        (b"x-b", b"\xe9"),
        (b"cookie", b"b=2"),
    ]
    headers = (await scope_of(talk, "GET", b"/", sent))["headers"]
    assert [tuple(pair) for pair in headers] == sent
    for name, value in headers:
        assert type(name) is bytes
        assert type(value) is bytes


@in_loop
async def test_rule_15_names_are_lower_case_and_values_stripped() -> None:
    scope = await scope_on_wire(
        b"GET / HTTP/1.1\r\nHOST: x\r\nX-CamelCase:\t Va Lue \r\ncontent-TYPE: A/B\r\nX-Empty:\r\nDNT: 1\r\n\r\n"
    )
    assert scope["headers"] == [
        (b"host", b"x"),
        (b"x-camelcase", b"Va Lue"),
        (b"content-type", b"A/B"),
        (b"x-empty", b""),
        (b"dnt", b"1"),
    ]


@pytest.mark.parametrize("host", [b"host: other\r\n", b"Host: example.org\r\n"])
@in_loop
async def test_rule_15_the_authority_of_the_target_is_the_host(host: bytes) -> None:
    """What ``:authority`` is in HTTP/2, absolute-form is here (RFC 9112 section 3.2.2)."""
    scope = await scope_on_wire(b"GET http://example.org/ HTTP/1.1\r\nx-a: 1\r\n%b\r\n" % host)
    assert scope["headers"] == [(b"x-a", b"1"), (b"host", b"example.org")]


@pytest.mark.parametrize(
    ("peername", "sockname", "client", "server"),
    [
        (CLIENT, SERVER, CLIENT, SERVER),
        (("::1", 5000, 0, 0), ("::1", 80, 0, 0), ("::1", 5000), ("::1", 80)),
        ("", "/run/app.sock", None, ("/run/app.sock", None)),
        (None, "/run/app.sock", None, ("/run/app.sock", None)),
        (b"", b"\0abstract", None, ("\0abstract", None)),
        ("", "", None, None),
        (None, None, None, None),
    ],
    ids=["ipv4", "ipv6", "unix", "unix without peer", "abstract", "unnamed", "nothing known"],
)
@in_loop
async def test_rule_16_client_and_server(peername: Any, sockname: Any, client: Any, server: Any) -> None:
    family = AF_INET if isinstance(peername, tuple) else AF_UNIX
    ends = ends_of(family, peername, sockname)
    scope = await scope_on_wire(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", ends=ends)
    assert scope["client"] == client
    assert scope["server"] == server


@in_loop
async def test_rule_17_state_is_absent_without_lifespan(talk: Talk) -> None:
    assert "state" not in await scope_of(talk)


@in_loop
async def test_rule_17_state_is_a_shallow_copy(talk: Talk) -> None:
    pool = object()
    numbers = [1]
    namespace = {"pool": pool, "numbers": numbers}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        assert type(state) is dict
        assert state == {"pool": pool, "numbers": numbers}
        assert state["pool"] is pool
        assert state["numbers"] is numbers
        state["user"] = "one"
        del state["pool"]
        await reply(send)

    for _ in range(2):
        conversation = talk(app, state=namespace)
        assert (await conversation.finish()).status == 200
        assert conversation.log.entries == []
    assert namespace == {"pool": pool, "numbers": numbers}


@in_loop
async def test_rule_18_the_request_is_de_chunked() -> None:
    bodies = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append(await read_all(receive))
        await reply(send)

    wire = Wire(app)
    wire.send(
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n1;ext=1\r\n,\r\n00006\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n"
    )
    await until(lambda: wire.responses())
    assert bodies == [b"hello, world"]


@pytest.mark.parametrize("name", [b"transfer-encoding", b"Transfer-Encoding"])
@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity"])
@in_loop
async def test_rule_18_transfer_encoding_of_the_application_is_ignored(
    talk_on_the_wire: Talk, name: bytes, value: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (name, value), (b"x-a", b"1")))
        await send(body(b"5\r\nhello\r\n0\r\n\r\n", True))
        await send(body(b"more"))

    answer = await talk_on_the_wire(app).finish()
    assert answer.body == b"5\r\nhello\r\n0\r\n\r\nmore"
    assert answer.header(b"transfer-encoding") in (None, b"chunked")
    assert answer.header(b"x-a") == b"1"


@in_loop
async def test_rule_18_content_of_unknown_length_is_chunked_on_http_1_1() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"one", True))
        await send(body(b"", True))
        await send(body(b"two" * 1000))

    wire = Wire(app)
    wire.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await until(lambda: wire.responses())
    (answer,) = wire.responses()
    assert answer.header(b"transfer-encoding") == b"chunked"
    assert answer.header(b"content-length") is None
    assert answer.body == b"one" + b"two" * 1000
    assert answer.complete
    assert not wire.closed


@in_loop
async def test_rule_19_each_request_has_its_scope_and_its_response(eager: bool) -> None:
    """Pipelined here; HTTP/2 multiplexes."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        if len(scopes) % 2:
            await asyncio.sleep(0)
        await reply(send, scope["raw_path"])

    wire = Wire(app, eager=eager)
    wire.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(10)))
    await until(lambda: len(wire.responses()) == 10)
    assert [answer.body for answer in wire.responses()] == [b"/%d" % number for number in range(10)]
    assert len({id(scope) for scope in scopes}) == 10
    assert len({id(scope["headers"]) for scope in scopes}) == 10


@in_loop
async def test_the_scope_belongs_to_the_application(talk: Talk) -> None:
    """Nothing that an application does to its scope reaches the server's own view of the request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        scope.clear()
        scope["method"] = "HEAD"
        await hello({"method": method}, receive, send)

    answer = await talk(app).finish()
    assert (answer.status, answer.body) == (200, b"hello")
