"""Forwarded (RFC 7239) and the addresses of X-Forwarded-For."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.forwarded import (
    MOST_ELEMENTS,
    Element,
    Node,
    pack,
    read_address,
    read_forwarded,
    with_host,
)

V4 = ipaddress.IPv4Address("192.0.2.43").packed
V6 = ipaddress.IPv6Address("2001:db8:cafe::17").packed


def node(name: str, port: int = 0) -> Node:
    try:
        packed = ipaddress.ip_address(name).packed
    except ValueError:
        packed = b""
    return Node(name, port, packed)


def element(source: Node | None = None, by: Node | None = None, host: bytes | None = None, proto: str | None = None):
    return Element(source, by, host, proto)


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.43", "192.0.2.43", 0),
        ("192.0.2.43:0", "192.0.2.43", 0),
        ("192.0.2.43:65535", "192.0.2.43", 65535),
        ("2001:db8:cafe::17", "2001:db8:cafe::17", 0),
        ("2001:DB8:CAFE:0:0:0:0:17", "2001:db8:cafe::17", 0),
        ("[2001:db8:cafe::17]", "2001:db8:cafe::17", 0),
        ("[2001:db8:cafe::17]:4711", "2001:db8:cafe::17", 4711),
        ("::1", "::1", 0),
        ("::", "::", 0),
    ],
)
def test_an_address_with_or_without_port(text: str, host: str, port: int) -> None:
    assert read_address(text) == Node(host, port, ipaddress.ip_address(host).packed)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "unknown", "_hidden", "localhost", "example.com:80", "192.0.2", "192.0.2.256", "192.0.2.043",
        "192.0.2.43:", "192.0.2.43:x", "192.0.2.43:65536", "192.0.2.43:-1", "192.0.2.43:+1", "192.0.2.43:123456",
        "192.0.2.43 ", "192.0.2.43\0", "192.0.2.43,192.0.2.44", "[192.0.2.43]", "[192.0.2.43]:80", "[::1", "::1]",
        "[::1]80", "[::1]:", "[::1]:x", "[::1]x", "[]", "[]:80", "[[::1]]", "fe80::1%eth0", "[fe80::1%eth0]",
        "2001:db8::17:65536:x", ":80", "1", "0x7f000001", "192.0.2.43:８０", "١.1.1.1",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert read_address(text) is None


@given(st.ip_addresses(), st.one_of(st.none(), st.integers(0, 65535)))
def test_every_address_is_read_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None) -> None:
    text = str(address)
    if port is not None:
        text = f"{text}:{port}" if address.version == 4 else f"[{text}]:{port}"
    found = read_address(text)
    assert found is not None
    assert ipaddress.ip_address(found.name) == address
    assert found.port == (port or 0)
    assert found.packed == pack(str(address))


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = read_address(text)
    assert found is None or (ipaddress.ip_address(found.name) and 0 <= found.port <= 65535)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_address(address: ipaddress.IPv4Address) -> None:
    assert pack(f"::ffff:{address}") == address.packed == pack(str(address))


def test_pack_of_what_is_no_address() -> None:
    assert pack("localhost") == pack("") == pack("a:b") == pack("1.2.3.4\0") == pack("\udc80") == b""
    assert pack("::1") == ipaddress.IPv6Address("::1").packed


# -- Forwarded --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        # The examples of RFC 7239 sections 4, 5 and 7.
        (b'for="_gazonk"', [element(node("_gazonk"))]),
        (b'For="[2001:db8:cafe::17]:4711"', [element(node("2001:db8:cafe::17", 4711))]),
        (
            b"for=192.0.2.60;proto=http;by=203.0.113.43",
            [element(node("192.0.2.60"), node("203.0.113.43"), proto="http")],
        ),
        (b"for=192.0.2.43, for=198.51.100.17", [element(node("192.0.2.43")), element(node("198.51.100.17"))]),
        (b"for=_hidden, for=_SEVKISEK", [element(node("_hidden")), element(node("_SEVKISEK"))]),
        (
            b'for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown',
            [element(node("192.0.2.43")), element(node("2001:db8:cafe::17")), element(node("unknown"))],
        ),
        (
            b"for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com",
            [
                element(node("192.0.2.43")),
                element(node("198.51.100.17"), node("203.0.113.60"), b"example.com", "http"),
            ],
        ),
        # Case, quoting, ports, extensions.
        (b'FOR="192.0.2.43:47011";PROTO=HTTPS', [element(node("192.0.2.43", 47011), proto="https")]),
        (b'for="192.0.2.43:_port"', [element(node("192.0.2.43"))]),
        (b'for="unknown:80"', [element(Node("unknown", 80, b""))]),
        (b'for="_x.y-z:_1"', [element(node("_x.y-z"))]),
        (b'host="example.com:8080"', [element(host=b"example.com:8080")]),
        (b'host="\\e\\x\\a\\mple.com"', [element(host=b"example.com")]),
        (b'secret=abc;for=192.0.2.43;x="a,b;c=\\"d\\""', [element(node("192.0.2.43"))]),
        (b"proto=wss", [element(proto="wss")]),
        (b"proto=coap+tcp", [element(proto="coap+tcp")]),
        # Nothing, and space where proxies write it.
        (b"", []),
        (b" , ;, ", []),
        (b"for=192.0.2.43,,;proto=http,", [element(node("192.0.2.43")), element(proto="http")]),
        (b"for=192.0.2.43 ; proto=http\t;\tby=_a", [element(node("192.0.2.43"), node("_a"), proto="http")]),
    ],
)
def test_elements(value: bytes, elements: list[Element]) -> None:
    assert read_forwarded(value) == elements


@pytest.mark.parametrize(
    "value",
    [
        b"for", b"for=", b"=192.0.2.43", b"for 192.0.2.43", b"for=192.0.2.43 proto=http", b"for= 192.0.2.43",
        b"for =192.0.2.43", b'for="192.0.2.43', b"for='192.0.2.43'", b'for="a"b', b'for="\\', b'for="\x00"',
        b'for="192.0.2.43\\', b"for=192.0.2.43\r\nx", b"f(r=1", b"for=\xff", b"@", b"for=192.0.2.43;;@",
        # Values that a token cannot hold must be quoted (section 4): addresses with colons.
        b"for=192.0.2.43:80", b"for=[2001:db8::17]", b"for=2001:db8::17", b"host=example.com:80",
        # Nodes
        b'for="2001:db8::17"', b'for="[2001:db8::17"', b'for="[2001:db8::17]80"', b'for="[192.0.2.43]"',
        b'for="192.0.2.43:"', b'for="192.0.2.43:65536"', b'for="192.0.2.43:a"', b"for=192.0.2", b"for=example.com",
        b"for=_", b'for=""', b'for="_a b"', b"for=Unknown", b"for=hidden", b'for="[fe80::1%25lo]"', b'by="a b"',
        b'for="192.0.2.43:_"', b'for="192.0.2.43 "',
        # Other parameters
        b'host=""', b'host="a b"', b'host="a@b"', b'host="a/b"', b'host="a:b:c"', b'host=":80"',
        b'proto=""', b'proto="1a"', b'proto="a b"', b"proto=_x",
        # A parameter once per element
        b"for=192.0.2.43;for=192.0.2.43", b"for=192.0.2.43;FOR=192.0.2.44", b"x=1;x=1",
    ],
)  # fmt: skip
def test_what_is_not_of_the_grammar(value: bytes) -> None:
    for text in (value, b"for=192.0.2.1, " + value, value + b",for=192.0.2.1"):
        with pytest.raises(ProtocolError) as raised:
            read_forwarded(text)
        assert raised.value.status == 400


def test_the_same_parameter_in_two_elements() -> None:
    assert read_forwarded(b"proto=http,proto=https") == [element(proto="http"), element(proto="https")]


def test_the_number_of_elements_is_bounded() -> None:
    assert len(read_forwarded(b",".join([b"for=_a"] * MOST_ELEMENTS))) == MOST_ELEMENTS
    with pytest.raises(ProtocolError, match="too many"):
        read_forwarded(b",".join([b"for=_a"] * (MOST_ELEMENTS + 1)))


@pytest.mark.parametrize("value", [b"," * 10_000, b";" * 10_000, b"for=_a" + b", ;" * 10_000])
def test_what_is_empty_counts_as_well(value: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_forwarded(value)


def quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


NODES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.just("unknown"),
    st.from_regex(r"_[A-Za-z0-9._\-]{1,8}", fullmatch=True),
)
PORTS = st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}"), st.just(":_p"))
PAIRS = st.fixed_dictionaries(
    {},
    optional={
        "for": st.tuples(NODES, PORTS).map("".join),
        "by": st.tuples(NODES, PORTS).map("".join),
        "host": st.sampled_from(["example.com", "a:1", "[::1]:80", "x"]),
        "proto": st.sampled_from(["http", "https"]),
        "ext": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    },
)


@given(st.lists(PAIRS.filter(bool), max_size=5))
def test_what_is_written_is_read(elements: list[dict[str, str]]) -> None:
    value = b", ".join(
        b";".join(name.encode() + b"=" + quoted(value.encode()) for name, value in one.items()) for one in elements
    )
    found = read_forwarded(value)
    assert len(found) == len(elements)
    for got, want in zip(found, elements, strict=True):
        assert got.proto == want.get("proto")
        assert got.host == (want["host"].encode() if "host" in want else None)
        for got_node, text in ((got.source, want.get("for")), (got.by, want.get("by"))):
            assert (got_node is None) == (text is None)
            if got_node is not None and text is not None:
                assert bool(got_node.packed) == (text[0] not in "_u")


@given(st.binary(max_size=80) | st.text(alphabet='for=by;,"\\[]:_1.a \t', max_size=60).map(str.encode))
def test_any_bytes_are_elements_or_an_error(value: bytes) -> None:
    try:
        found = read_forwarded(value)
    except ProtocolError:
        return
    assert all(isinstance(one, Element) for one in found)


# -- Host -------------------------------------------------------------------------------------------------------------


def test_the_host_is_replaced_where_it_stands() -> None:
    headers = [(b"a", b"1"), (b"host", b"old"), (b"b", b"2")]
    assert with_host(headers, b"new") == [(b"a", b"1"), (b"host", b"new"), (b"b", b"2")]
    assert headers[1] == (b"host", b"old")


def test_the_host_comes_first_where_there_was_none() -> None:
    assert with_host([(b"a", b"1")], b"new") == [(b"host", b"new"), (b"a", b"1")]
    assert with_host([], b"new") == [(b"host", b"new")]
