"""The opening handshake: RFC 6455's example, each rule broken once, and what an application may add."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pronghorn.wire import ws_handshake
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.ws_handshake import Extension, Handshake, accept, accept_key, read

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = {
    b"host": b"server.example.com",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": KEY,
    b"origin": b"http://example.com",
    b"sec-websocket-protocol": b"chat, superchat",
    b"sec-websocket-version": b"13",
}


def changed(*more: tuple[bytes, bytes], **fields: bytes | None) -> list[tuple[bytes, bytes]]:
    """The example of RFC 6455 section 1.2 with other fields; None leaves one out, ``more`` are added."""
    new = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return [(name, value) for name, value in {**REQUEST, **new}.items() if value is not None] + list(more)


def refused(method: str, version: str, headers: list[tuple[bytes, bytes]]) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        read(method, version, headers)
    return caught.value


def test_the_example_of_the_rfc():
    handshake = read("GET", "1.1", changed())
    assert handshake == Handshake(KEY, ("chat", "superchat"), ())
    assert accept(handshake, "chat") == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"sec-websocket-protocol", b"chat"),
    ]


def test_a_handshake_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read("GET", "1.1", changed()).key = b""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upgrade", b"WebSocket"),
        ("upgrade", b"h2c, websocket"),
        ("connection", b"keep-alive, Upgrade"),
        ("upgrade", b"h2c , WebSocket,foo/2.3"),
        ("connection", b"upgrade,keep-alive"),
        ("connection", b",, \tUPGRADE ,"),
        ("sec_websocket_version", b" 13 "),
        ("sec_websocket_protocol", None),
        ("content_length", b"0"),
        ("sec_websocket_key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
    ],
)
def test_what_may_vary(name, value):
    handshake = read("GET", "1.1", changed(**{name: value}))
    assert handshake.key == (value if name == "sec_websocket_key" else KEY)


def test_lists_go_over_several_lines():
    lines = [(b"connection", b"close"), (b"upgrade", b"h2c"), (b"sec-websocket-protocol", b"third,chat")]
    assert read("GET", "1.1", lines + changed()).subprotocols == ("third", "chat", "superchat")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (changed(upgrade=None), "without Upgrade"),
        (changed(upgrade=b"h2c"), "without Upgrade"),
        (changed(upgrade=b"websocket/13"), "without Upgrade"),
        (changed(connection=None), "without Connection"),
        (changed(connection=b"keep-alive"), "without Connection"),
        (changed(connection=b"upgrades"), "without Connection"),
        (changed(sec_websocket_key=None), "Sec-WebSocket-Key missing"),
        (changed((b"sec-websocket-key", KEY)), "Sec-WebSocket-Key given more than once"),
        (changed(sec_websocket_key=b""), "not 16 bytes"),
        (changed(sec_websocket_key=b"dGhlIHNhbXBsZSBub25jZQ="), "not 16 bytes"),
        (changed(sec_websocket_key=b"dGhlIHNhbXBsZSBub25jZQ"), "not 16 bytes"),
        (changed(sec_websocket_key=b"dGhlIHNhbXBsZSBub25jZXM="), "not 16 bytes"),
        (changed(sec_websocket_key=b"dGhlIHNhbXBsZSBub25j"), "not 16 bytes"),
        (changed(sec_websocket_key=b"dGhl IHNhbXBsZSBub25jZQ=="), "not 16 bytes"),
        (changed(sec_websocket_key=b"\xff" * 24), "not 16 bytes"),
        (changed(sec_websocket_version=None), "Sec-WebSocket-Version missing"),
        (changed((b"sec-websocket-version", b"13")), "Sec-WebSocket-Version given more than once"),
        (changed(sec_websocket_protocol=b"a b"), "not a list of tokens"),
        (changed(sec_websocket_protocol=b"a;b"), "not a list of tokens"),
        (changed(sec_websocket_protocol=b"\xe9"), "not a list of tokens"),
        (changed(content_length=b"5"), "with a body"),
        (changed(transfer_encoding=b"chunked"), "with a body"),
        (changed(sec_websocket_extensions=b"a b"), "malformed"),
        (changed(sec_websocket_extensions=b";x"), "malformed"),
        (changed(sec_websocket_extensions=b"a; b=;"), "malformed"),
        (changed(sec_websocket_extensions=b"a; b="), "malformed"),
        (changed(sec_websocket_extensions=b"a; =b"), "malformed"),
        (changed(sec_websocket_extensions=b'a; b="'), "malformed"),
        (changed(sec_websocket_extensions=b'a; b=""'), "malformed"),
        (changed(sec_websocket_extensions=b'a; b="x y"'), "malformed"),
        (changed(sec_websocket_extensions=b'a; b="x,y"'), "malformed"),
        (changed(sec_websocket_extensions=b'a; b="x\\"'), "malformed"),
        (changed(sec_websocket_extensions=b"a;"), "malformed"),
        (changed(sec_websocket_extensions=b"a=b"), "malformed"),
    ],
)
def test_each_fault_is_named(headers, says):
    error = refused("GET", "1.1", headers)
    assert error.status == 400
    assert says in error.reason
    assert error.headers == ()
    assert error.reason.isprintable()


@pytest.mark.parametrize(
    ("method", "version", "says"),
    [
        ("POST", "1.1", "GET"),
        ("CONNECT", "1.1", "GET"),
        ("GET", "1.0", "HTTP/1.1"),
        ("GET", "2", "CONNECT"),
    ],
)
def test_method_and_version_of_http(method, version, says):
    error = refused(method, version, changed())
    assert error.status == 400
    assert says in error.reason


@pytest.mark.parametrize("value", [b"8", b"7", b"0", b"14", b"13, 8", b"", b"x"])
def test_another_version_is_told_ours(value):
    """RFC 6455 section 4.4."""
    error = refused("GET", "1.1", changed(sec_websocket_version=value))
    assert error.status == 426
    assert error.headers == ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"))


# HTTP/2 (RFC 8441 section 5).

OVER_HTTP2 = [
    (b"sec-websocket-protocol", b"chat, superchat"),
    (b"sec-websocket-extensions", b"permessage-deflate"),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"http://www.example.com"),
]


def test_over_http2():
    handshake = read("CONNECT", "2", OVER_HTTP2)
    assert handshake == Handshake(b"", ("chat", "superchat"), (Extension("permessage-deflate"),))
    assert accept(handshake, "chat", [(b"x-more", b"1")], b"permessage-deflate") == [
        (b"sec-websocket-protocol", b"chat"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"x-more", b"1"),
    ]


def test_over_http2_another_version():
    error = refused("CONNECT", "2", [(b"sec-websocket-version", b"12")])
    assert (error.status, error.headers) == (426, ((b"sec-websocket-version", b"13"),))
    assert refused("CONNECT", "2", []).status == 400


# Extensions (RFC 6455 section 9.1).


@pytest.mark.parametrize(
    ("value", "offers"),
    [
        (b"", ()),
        (b" , ", ()),
        (b"foo", (Extension("foo"),)),
        (b"foo, bar; baz=2", (Extension("foo"), Extension("bar", (("baz", "2"),)))),
        (b"foo;bar ;baz= 2 ,x", (Extension("foo", (("bar", None), ("baz", "2"))), Extension("x"))),
        (b'foo; bar="2"; baz="\\x\\y"', (Extension("foo", (("bar", "2"), ("baz", "xy"))),)),
        (
            b"permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate",
            (
                Extension("permessage-deflate", (("client_max_window_bits", None), ("server_max_window_bits", "10"))),
                Extension("permessage-deflate"),
            ),
        ),
    ],
)
def test_offers(value, offers):
    assert read("GET", "1.1", changed(sec_websocket_extensions=value)).extensions == offers


# Accepting.

HANDSHAKE = Handshake(KEY, ("chat",), ())


def test_accepting_with_everything():
    response = accept(HANDSHAKE, "chat", [(b"X-Id", b"caf\xe9"), (b"set-cookie", b"a=1"), (b"set-cookie", b"")], b"x")
    assert response[3:] == [
        (b"sec-websocket-protocol", b"chat"),
        (b"sec-websocket-extensions", b"x"),
        (b"x-id", b"caf\xe9"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b""),
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"sec-websocket-protocol",
        b"Sec-WebSocket-Protocol",
        b"sec-websocket-extensions",
        b"sec-websocket-accept",
        b"sec-websocket-version",
        b"upgrade",
        b"connection",
        b"transfer-encoding",
        b"content-length",
        b":status",
        b"",
        b"a b",
        b"a\r\nb",
    ],
)
def test_headers_that_an_application_may_not_set(name):
    with pytest.raises(ValueError, match="header"):
        accept(HANDSHAKE, None, [(name, b"x")])


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\x00", b"\x7f", b"\n"])
def test_values_that_would_end_the_header(value):
    with pytest.raises(ValueError, match="x-more has a control character"):
        accept(HANDSHAKE, None, [(b"x-more", value)])


@pytest.mark.parametrize("subprotocol", ["superchat", "Chat", "", "chat\r\n"])
def test_a_subprotocol_must_have_been_offered(subprotocol):
    with pytest.raises(ValueError, match="was not offered"):
        accept(HANDSHAKE, subprotocol)
    with pytest.raises(ValueError, match="offered: none"):
        accept(Handshake(KEY, (), ()), subprotocol)


@given(
    st.binary(min_size=1, max_size=60),
    st.sampled_from(["sec_websocket_extensions", "sec_websocket_protocol"]),
)
@settings(deadline=None)
def test_any_value_is_read_or_refused(value, name):
    try:
        handshake = read("GET", "1.1", changed(**{name: value}))
    except ProtocolError as error:
        handshake, status = Handshake(KEY, (), ()), error.status
    else:
        status = 400
    assert status == 400
    assert all(word.isascii() and word.isprintable() for word in handshake.subprotocols)
    assert all(offer.name for offer in handshake.extensions)


def test_websockets_accepts_the_answer():
    pytest.importorskip("websockets")
    from websockets.client import ClientProtocol
    from websockets.datastructures import Headers
    from websockets.http11 import Response
    from websockets.uri import parse_uri

    client = ClientProtocol(parse_uri("ws://localhost/"), subprotocols=["chat"])
    request = client.connect()
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()]
    handshake = read("GET", "1.1", headers)
    assert handshake.subprotocols == ("chat",)
    answer = [(name.decode(), value.decode()) for name, value in accept(handshake, "chat")]
    client.process_response(Response(101, "Switching Protocols", Headers(answer)))
    assert client.subprotocol == "chat"
    assert accept_key(handshake.key) == dict(accept(handshake))[b"sec-websocket-accept"]


def test_the_version_is_thirteen():
    assert ws_handshake.VERSION == b"13"
