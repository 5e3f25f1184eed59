"""The PROXY protocol: each header whole, split at every byte, and with what follows it."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.proxy_protocol import (
    V1_MOST,
    V2_MOST,
    V2_SIGNATURE,
    ProxyHeader,
    ProxyHeaderParser,
    State,
    crc32c,
)

LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DATAGRAM = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
INET_BLOCK = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)
INET6_BLOCK = (
    ipaddress.IPv6Address("2001:db8::1").packed + ipaddress.IPv6Address("::2").packed + struct.pack("!HH", 1, 65535)
)


def v2(command: int = PROXY, family: int = TCP4, block: bytes = INET_BLOCK, *, length: int | None = None) -> bytes:
    return V2_SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def with_checksum(family: int, block: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A header with a CRC32C between other extensions."""
    blank = v2(PROXY, family, block + before + tlv(3, b"\0\0\0\0") + after)
    return v2(PROXY, family, block + before + tlv(3, struct.pack("!I", crc32c(blank))) + after)


def path(text: bytes) -> bytes:
    return text.ljust(108, b"\0")


def read(pieces: list[bytes], mode: str = "auto") -> tuple[ProxyHeaderParser, bytes]:
    """Feed ``pieces``; the parser and what it gave back."""
    parser = ProxyHeaderParser(mode)
    rest = b""
    for piece in pieces:
        rest += piece[parser.feed(piece) :]
    return parser, rest


def fed_until_refused(parser: ProxyHeaderParser, pieces: list[bytes]) -> ProtocolError | None:
    for piece in pieces:
        try:
            parser.feed(piece)
        except ProtocolError as error:
            return error
    return None


def cuts(data: bytes) -> list[list[bytes]]:
    """Whole, split in two at every place, and byte by byte."""
    halves = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], *halves, [data[i : i + 1] for i in range(len(data))]]


HEADERS = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        ProxyHeader(1, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ),
    (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        ProxyHeader(1, "TCP4", ("255.255.255.255", 65535), ("255.255.255.255", 65535)),
    ),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ProxyHeader(1, "TCP4", ("0.0.0.0", 0), ("0.0.0.0", 0))),
    (
        b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::2 1 65535\r\n",
        ProxyHeader(1, "TCP6", ("2001:db8::1", 1), ("::2", 65535)),
    ),
    (
        b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n",
        ProxyHeader(1, "TCP6", (":".join(["ffff"] * 8), 65535), (":".join(["ffff"] * 8), 65535)),
    ),
    (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
        ProxyHeader(1, "TCP6", ("::ffff:192.0.2.1", 1), ("::1", 2)),
    ),
    (b"PROXY UNKNOWN\r\n", ProxyHeader(1, "UNKNOWN")),
    (b"PROXY UNKNOWN \0\n \r any thing\r\n", ProxyHeader(1, "UNKNOWN")),
    (b"PROXY UNKNOWN ".ljust(V1_MOST - 2, b"f") + b"\r\n", ProxyHeader(1, "UNKNOWN")),
    (v2(), ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443))),
    (v2(PROXY, UDP4), ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443))),
    (v2(PROXY, TCP6, INET6_BLOCK), ProxyHeader(2, "TCP6", ("2001:db8::1", 1), ("::2", 65535))),
    (v2(PROXY, UDP6, INET6_BLOCK), ProxyHeader(2, "TCP6", ("2001:db8::1", 1), ("::2", 65535))),
    (v2(PROXY, UNIX, path(b"/run/a") + path(b"/run/b")), ProxyHeader(2, "UNIX", "/run/a", "/run/b")),
    (v2(PROXY, UNIX_DATAGRAM, b"a" * 108 + path(b"")), ProxyHeader(2, "UNIX", "a" * 108, "")),
    (v2(PROXY, UNIX, path(b"\0abstract") + path(b"\xff")), ProxyHeader(2, "UNIX", "\0abstract", "\udcff")),
    # The proxy for itself: the family is ignored, and so is the block.
    (v2(LOCAL, 0, b""), ProxyHeader(2, "LOCAL")),
    (v2(LOCAL, 0xFF, b"\xff" * 7), ProxyHeader(2, "LOCAL")),
    # Unspecified family or transport: the addresses are not to be believed.
    (v2(PROXY, 0x00, b""), ProxyHeader(2, "UNKNOWN")),
    (v2(PROXY, 0x00, b"\xff" * 40), ProxyHeader(2, "UNKNOWN")),
    (v2(PROXY, 0x10), ProxyHeader(2, "UNKNOWN")),
    (v2(PROXY, 0x01), ProxyHeader(2, "UNKNOWN")),
    # Extensions
    (
        v2(block=INET_BLOCK + tlv(4, b"") + tlv(1, b"h2") + tlv(0xEE, b"x" * 300)),
        ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ),
    (
        v2(block=INET_BLOCK + tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3"))),
        ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443), tls=True),
    ),
    (
        v2(block=INET_BLOCK + tlv(0x20, b"\x06\0\0\0\0") + tlv(0x20, b"")),
        ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ),
    (
        with_checksum(TCP6, INET6_BLOCK, tlv(1, b"h2"), tlv(2, b"example.com")),
        ProxyHeader(2, "TCP6", ("2001:db8::1", 1), ("::2", 65535)),
    ),
    (
        with_checksum(UNIX, path(b"/a") + path(b"/b"), after=tlv(0x20, b"\x01\0\0\0\0")),
        ProxyHeader(2, "UNIX", "/a", "/b", tls=True),
    ),
]


@pytest.mark.parametrize(("data", "header"), HEADERS)
def test_header(data: bytes, header: ProxyHeader) -> None:
    for following in (b"", b"G", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n", b"\r\n"):
        for pieces in cuts(data + following):
            parser, rest = read(pieces)
            assert parser.state == State.COMPLETE
            assert parser.header == header
            assert rest == following
            assert parser.early == b""


@pytest.mark.parametrize(("data", "header"), HEADERS)
def test_an_unfinished_header_is_not_decided(data: bytes, header: ProxyHeader) -> None:
    for end in range(len(data)):
        parser, rest = read([data[:end]])
        assert parser.state < State.COMPLETE
        assert parser.header is None
        assert rest == b""


@pytest.mark.parametrize(("data", "header"), HEADERS)
def test_a_mode_takes_its_own_version_only(data: bytes, header: ProxyHeader) -> None:
    own, other = ("v1", "v2") if header.version == 1 else ("v2", "v1")
    assert read([data], own)[0].header == header
    parser, rest = read([data], other)
    assert parser.state == State.ABSENT
    assert rest == data


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n", b"PUT / HTTP/1.1\r\n", b"PROPFIND / HTTP/1.1\r\n", b"PROXY\r\n", b"PROXYX",
        b"proxy TCP4", b" PROXY TCP4", b"\x16\x03\x01\x02\x00", b"\r\nGET / HTTP/1.1\r\n", b"\r\n\r\n\0\r\nQUIT\r",
        b"PRI * HTTP/2.0\r\n",
    ],
)  # fmt: skip
def test_what_is_no_header_is_given_back(data: bytes) -> None:
    for pieces in cuts(data):
        parser, rest = read(pieces)
        assert parser.state == State.ABSENT
        assert parser.header is None
        assert parser.early + rest == data
    parser, rest = read([data])
    assert parser.early == b""


def test_a_tls_handshake_is_never_touched() -> None:
    """TLS cannot be handed bytes that were taken already."""
    for mode in ("v1", "v2", "auto"):
        parser = ProxyHeaderParser(mode)
        assert parser.feed(b"\x16") == 0
        assert (parser.state, parser.early) == (State.ABSENT, b"")


BROKEN = [
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n\r\n",
    b"PROXY TCP4 192.0.2.1\r198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY TCP6 [::1] ::1 1 2\r\n",
    b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
    b"PROXY TCP6 ::1\0 ::1 1 2\r\n",
    b"PROXY TCP6 \xff::1 ::1 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 99999\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1_0 2\r\n",
    b"PROXY UNKNOWN".ljust(V1_MOST, b" "),
    b"PROXY UNKNOWN ".ljust(V1_MOST - 1, b" ") + b"\r",
    v2(0x11),
    v2(0x31),
    v2(0x22),
    v2(0x2F),
    v2(PROXY, 0x13),
    v2(PROXY, 0x41),
    v2(PROXY, 0xF0),
    v2(PROXY, TCP4, INET_BLOCK[:-1]),
    v2(PROXY, TCP4, b""),
    v2(PROXY, TCP6, INET_BLOCK),
    v2(PROXY, UNIX, path(b"/a")),
    v2(length=V2_MOST - 16 + 1),
    v2(length=65535),
    v2(block=INET_BLOCK + b"\x04"),
    v2(block=INET_BLOCK + b"\x04\x00"),
    v2(block=INET_BLOCK + b"\x04\x00\x01"),
    v2(block=INET_BLOCK + tlv(4, b"") + b"\x04\xff\xff"),
    v2(block=INET_BLOCK + tlv(3, b"\0\0\0\0")),
    v2(block=INET_BLOCK + tlv(3, b"")),
    v2(block=INET_BLOCK + tlv(3, b"\0\0\0\0\0")),
    with_checksum(TCP4, INET_BLOCK)[:-1] + b"\0",
    with_checksum(TCP4, b"\xc1" + INET_BLOCK[1:]).replace(b"\xc1", b"\xc2"),
]


@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_header(data: bytes) -> None:
    for pieces in (*cuts(data), *cuts(data + b"GET / HTTP/1.1\r\n\r\n")):
        parser = ProxyHeaderParser("auto")
        error = fed_until_refused(parser, pieces)
        assert error is not None
        assert error.status == 400
        assert parser.state == State.FAILED
        with pytest.raises(ProtocolError):  # for good
            parser.feed(b"PROXY UNKNOWN\r\n")
        assert parser.header is None


def test_the_longest_header_is_read() -> None:
    padding = V2_MOST - 16 - len(INET_BLOCK) - 3
    data = v2(block=INET_BLOCK + tlv(4, b"\0" * padding))
    assert len(data) == V2_MOST
    parser, rest = read([data[:9000], data[9000:] + b"x"])
    assert parser.header == ProxyHeader(2, "TCP4", ("192.0.2.1", 56324), ("198.51.100.2", 443))
    assert rest == b"x"


@pytest.mark.parametrize(("data", "header"), HEADERS)
def test_a_peer_that_may_not_send_one(data: bytes, header: ProxyHeader) -> None:
    """It is told as soon as the signature is there, whatever follows."""
    signature = 6 if header.version == 1 else 12
    parser = ProxyHeaderParser("auto", allowed=False)
    assert parser.feed(data[: signature - 1]) == signature - 1
    with pytest.raises(ProtocolError, match="proxy_allow_ips") as raised:
        parser.feed(data[signature - 1 : signature])
    assert raised.value.status == 403


def test_a_peer_that_may_not_and_does_not() -> None:
    parser = ProxyHeaderParser("auto", allowed=False)
    assert parser.feed(b"GET /") == 0
    assert parser.state == State.ABSENT


def test_nothing_is_taken_once_it_is_decided() -> None:
    parser, _ = read([b"PROXY UNKNOWN\r\n"])
    assert parser.feed(b"more") == 0
    parser, _ = read([b"x"])
    assert parser.feed(b"PROXY UNKNOWN\r\n") == 0
    assert parser.state == State.ABSENT


def test_one_checksum_is_enough() -> None:
    """Each would sum the whole header again."""
    first = tlv(3, struct.pack("!I", crc32c(v2(block=INET_BLOCK + tlv(3, bytes(4)) + tlv(3, bytes(4))))))
    with pytest.raises(ProtocolError, match="More than one checksum"):
        ProxyHeaderParser("v2").feed(v2(block=INET_BLOCK + first + tlv(3, bytes(4))))


def test_crc32c() -> None:
    """The test vectors of RFC 3720 appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


ADDRESSES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS, PORTS, st.binary(max_size=20), st.data())
def test_both_versions_tell_the_same(
    addresses: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address],
    source_port: int,
    destination_port: int,
    following: bytes,
    data: st.DataObject,
) -> None:
    source, destination = addresses
    number = source.version
    text = f"PROXY TCP{number} {source} {destination} {source_port} {destination_port}\r\n".encode()
    block = source.packed + destination.packed + struct.pack("!HH", source_port, destination_port)
    binary = with_checksum(TCP4 if number == 4 else TCP6, block)
    found = []
    for whole in (text + following, binary + following):
        at = data.draw(st.integers(0, len(whole)))
        parser, rest = read([whole[:at], whole[at:]])
        assert rest == following
        assert parser.header is not None
        found.append((parser.header.family, parser.header.source, parser.header.destination))
    assert found[0] == found[1]
    family, got_source, got_destination = found[0]
    assert family == f"TCP{number}"
    assert isinstance(got_source, tuple)
    assert isinstance(got_destination, tuple)
    assert ipaddress.ip_address(got_source[0]) == source
    assert ipaddress.ip_address(got_destination[0]) == destination
    assert (got_source[1], got_destination[1]) == (source_port, destination_port)


STARTS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2_SIGNATURE, V2_SIGNATURE + b"\x21\x11\0\x10", v2()])


@given(STARTS, st.binary(max_size=60), st.integers(1, 7), st.sampled_from(["v1", "v2", "auto"]))
def test_any_bytes_cut_anyhow(start: bytes, rest: bytes, step: int, mode: str) -> None:
    """The same outcome however the bytes are cut; nothing is lost."""
    whole = start + rest
    outcomes = []
    for size in (step, len(whole) or 1):
        parser = ProxyHeaderParser(mode)
        back = b""
        try:
            for at in range(0, len(whole), size):
                piece = whole[at : at + size]
                back += piece[parser.feed(piece) :]
        except ProtocolError as error:
            outcomes.append(("error", error.status, error.reason))
            continue
        outcomes.append((parser.state, parser.header, parser.early + back if parser.state != State.SIGNATURE else b""))
        assert whole.endswith(back)
    assert outcomes[0] == outcomes[1]
