"""Who is trusted, and what a trusted proxy's fields say."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pronghorn.asgi.forwarding import Forwarding
from pronghorn.proxies import FAMILIES, PARTS, ForwardedPolicy, TrustList
from pronghorn.wire.errors import ProtocolError

Headers = list[tuple[bytes, bytes]]
ALL = PARTS
#: How Gunicorn trusts when nothing is configured.
LOCAL = TrustList(["127.0.0.1", "::1"])
CHAIN = TrustList(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


def fields(*lines: str) -> Headers:
    """Field lines as a parser hands them up."""
    pairs = (line.partition(": ") for line in lines)
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, _, value in pairs]


def read(*lines: str, policy: ForwardedPolicy | None = None, scheme: str = "http") -> Forwarding | None:
    return (policy or ForwardedPolicy(LOCAL)).read(fields(*lines), scheme)


def told(*lines: str, policy: ForwardedPolicy | None = None, scheme: str = "http") -> Forwarding:
    said = read(*lines, policy=policy, scheme=scheme)
    assert said is not None
    return said


def refused(*lines: str, policy: ForwardedPolicy | None = None) -> str:
    with pytest.raises(ProtocolError) as raised:
        read(*lines, policy=policy)
    assert raised.value.status == 400
    return raised.value.reason


# -- trust ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "host", "trusted"),
    [
        (["127.0.0.1", "::1"], "127.0.0.1", True),
        (["127.0.0.1", "::1"], "::1", True),
        (["127.0.0.1", "::1"], "127.0.0.2", False),
        (["127.0.0.1", "::1"], "0:0:0:0:0:0:0:1", True),
        (["127.0.0.1", "::1"], "::ffff:127.0.0.1", True),
        (["127.0.0.1", "::1"], "::ffff:127.0.0.2", False),
        (["::ffff:10.1.2.3"], "10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "11.1.2.3", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "10.1.2.3", False),
        (["0.0.0.0/0"], "10.1.2.3", True),
        (["0.0.0.0/0"], "::1", False),
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.0.0.7/8"], "10.1.1.1", True),
        (["192.168.1.128/25"], "192.168.1.127", False),
        (["192.168.1.128/25"], "192.168.1.128", True),
        (["10.0.0.1/32"], "10.0.0.1", True),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["fe80::1"], "fe80::1%eth0", True),
        ([" 10.0.0.1 "], "10.0.0.1", True),
        (["*"], "203.0.113.7", True),
        (["*", "10.0.0.1"], "203.0.113.7", True),
        (["*"], "anything", True),
        (["proxy.local"], "proxy.local", True),
        (["proxy.local"], "127.0.0.1", False),
        ([], "127.0.0.1", False),
        (["10.0.0.0/8"], "", False),
        (["10.0.0.0/8"], "10.0.0", False),
        (["10.0.0.0/33"], "10.0.0.1", False),
        ([""], "10.0.0.1", False),
    ],
)
def test_trust(entries: list[str], host: str, trusted: bool) -> None:
    assert (host in TrustList(entries)) is trusted
    assert TrustList(entries).trusts((host, 1234)) is trusted


def test_a_peer_on_a_unix_socket_is_trusted() -> None:
    assert TrustList([]).trusts("")
    assert TrustList([]).trusts("/run/peer.sock")


@pytest.mark.parametrize("entries", [[], ["*"], ["127.0.0.1", "::/0", "0.0.0.0/0"]])
def test_a_peer_that_is_not_known_is_not(entries: list[str]) -> None:
    assert not TrustList(entries).trusts(None)


NETWORKS = st.lists(
    st.tuples(st.ip_addresses(), st.integers(0, 128)).map(
        lambda pair: ipaddress.ip_network((pair[0], min(pair[1], pair[0].max_prefixlen)), strict=False)
    ),
    max_size=4,
)


@given(NETWORKS, st.ip_addresses(), st.data())
def test_trust_is_what_ipaddress_says(
    networks: list[ipaddress.IPv4Network], address: ipaddress.IPv4Address, data: st.DataObject
) -> None:
    if networks and data.draw(st.booleans()):
        address = data.draw(st.sampled_from(networks)).network_address
    plain = getattr(address, "ipv4_mapped", None) or address
    # A network of IPv4-mapped addresses is one of IPv4 addresses.
    known = [
        ipaddress.ip_network((mapped, network.prefixlen - 96))
        if network.prefixlen >= 96 and (mapped := getattr(network.network_address, "ipv4_mapped", None))
        else network
        for network in networks
    ]
    expected = any(plain in network for network in known if network.version == plain.version)
    trust = TrustList([str(network) for network in networks])
    assert (str(address) in trust) == expected


# -- X-Forwarded-For --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["203.0.113.7"], ("203.0.113.7", 0)),
        (["203.0.113.7:4711"], ("203.0.113.7", 4711)),
        (["2001:db9::1"], ("2001:db9::1", 0)),
        (["[2001:db9::1]:4711"], ("2001:db9::1", 4711)),
        (["[2001:DB9::1]"], ("2001:db9::1", 0)),
        # From right to left, as far as those are trusted who wrote it.
        (["203.0.113.7, 10.1.2.3"], ("203.0.113.7", 0)),
        (["203.0.113.7,10.1.2.3,2001:db8::9"], ("203.0.113.7", 0)),
        (["192.0.2.66, 203.0.113.7"], ("203.0.113.7", 0)),
        (["10.9.9.9, 203.0.113.7, 10.1.2.3"], ("203.0.113.7", 0)),
        (["10.3.3.3, 10.2.2.2"], ("10.3.3.3", 0)),
        # Several lines are one list.
        (["203.0.113.7", "10.1.2.3"], ("203.0.113.7", 0)),
        (["192.0.2.66", "203.0.113.7, 10.1.2.3", "10.1.2.4"], ("203.0.113.7", 0)),
        # Space and empty entries.
        (["\t203.0.113.7 ,\t, 10.1.2.3 ,"], ("203.0.113.7", 0)),
        # What is no address ends the search; the address before it stands.
        (["203.0.113.7, unknown, 10.1.2.3"], ("10.1.2.3", 0)),
        (["203.0.113.7, 10.1.2.3 10.1.2.4"], None),
        (["unknown"], None),
        (["203.0.113.7, _hidden"], None),
        (["203.0.113.7, 10.1.2.300"], None),
        (["<script>"], None),
        (["203.0.113.7, " + "1" * 1000], None),
        ([""], None),
        ([", ,"], None),
        # A hop on a unix socket is trusted like our own peer.
        (["203.0.113.7, unix:"], ("203.0.113.7", 0)),
        (["unix:"], None),
        # A trusted address with a port, and in another spelling, is trusted.
        (["203.0.113.7, 10.1.2.3:80"], ("203.0.113.7", 0)),
        (["203.0.113.7, ::ffff:10.1.2.3"], ("203.0.113.7", 0)),
    ],
)
def test_the_client(lines: list[str], client: tuple[str, int] | None) -> None:
    policy = ForwardedPolicy(CHAIN)
    for _ in range(2):  # the second time what was read is remembered
        assert told(*(f"X-Forwarded-For: {line}" for line in lines), policy=policy).client == client


def test_the_client_when_everybody_is_trusted() -> None:
    policy = ForwardedPolicy(TrustList(["*"]))
    assert told("X-Forwarded-For: 203.0.113.7, 192.0.2.1, 10.1.2.3", policy=policy).client == ("203.0.113.7", 0)
    assert told("X-Forwarded-For: what, 192.0.2.1, 10.1.2.3", policy=policy).client == ("192.0.2.1", 0)


def test_the_number_of_hops_is_bounded() -> None:
    policy = ForwardedPolicy(CHAIN)
    assert told("X-Forwarded-For: 203.0.113.7" + ", 10.1.2.3" * 100, policy=policy).client == ("203.0.113.7", 0)
    assert told("X-Forwarded-For: 203.0.113.7" + ", 10.1.2.3" * 101, policy=policy).client == ("10.1.2.3", 0)


HOSTS = st.one_of(st.ip_addresses().map(str), st.sampled_from(["10.1.2.3", "10.9.9.9", "unknown", "", "x:y", "::1"]))


@given(st.lists(HOSTS, min_size=1, max_size=6))
def test_the_client_by_definition(entries: list[str]) -> None:
    expected = None
    for entry in reversed(entries):
        if not entry:
            continue
        try:
            address = ipaddress.ip_address(entry)
        except ValueError:
            break
        expected = address
        if entry not in CHAIN:
            break
    client = told("X-Forwarded-For: " + ", ".join(entries), policy=ForwardedPolicy(CHAIN)).client
    assert (None if client is None else ipaddress.ip_address(client[0])) == expected
    assert client is None or client[1] == 0


# -- the scheme -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: http"], "http"),
        (["X-Forwarded-Proto: HTTPS"], "http"),
        (["X-Forwarded-Proto: https, http"], "http"),
        (["X-Forwarded-Proto: "], "http"),
        (["X-Forwarded-Proto: wss"], "https"),
        (["X-Forwarded-Proto: ws"], "http"),
        (["X-Forwarded-Protocol: ssl"], "https"),
        (["X-Forwarded-Protocol: https"], "http"),
        (["X-Forwarded-Protocol: wss"], "http"),
        (["X-Forwarded-Ssl: on"], "https"),
        (["X-Forwarded-Ssl: On"], "http"),
        (["X-Forwarded-Ssl: on", "X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl"], "https"),
        (["X-Forwarded-Ssl: off", "X-Forwarded-Proto: http"], "http"),
        (["X-Forwarded-Proto: https", "X-Forwarded-Proto: wss"], "https"),
    ],
)
def test_the_scheme(lines: list[str], scheme: str) -> None:
    assert told(*lines).scheme == scheme
    assert told(*lines, scheme="https").scheme == scheme


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-Ssl: on", "X-Forwarded-Proto: http"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Protocol: https"],
    ],
)
def test_contradictory_schemes(lines: list[str]) -> None:
    assert "scheme" in refused(*lines)
    assert "scheme" in refused(*reversed(lines))


def test_secure_scheme_headers_as_configured() -> None:
    policy = ForwardedPolicy(LOCAL, secure_scheme_headers={"X-SCHEME": "TLS", "Front-End-Https": "on"})
    assert told("X-Scheme: TLS", policy=policy).scheme == "https"
    assert told("X-Scheme: tls", policy=policy).scheme == "http"
    assert told("front-end-https: on", policy=policy).scheme == "https"
    assert read("X-Forwarded-Proto: https", policy=policy) is None
    proto = ForwardedPolicy(LOCAL, secure_scheme_headers={"X-FORWARDED-PROTO": "on"})
    assert told("X-Forwarded-Proto: wss", policy=proto).scheme == "http"


# -- Forwarded --------------------------------------------------------------------------------------------------------


FORWARDED = ForwardedPolicy(CHAIN, family="forwarded", parts=("for", "proto", "host"))


@pytest.mark.parametrize(
    ("value", "client", "scheme", "host"),
    [
        ("for=203.0.113.7", ("203.0.113.7", 0), None, None),
        ('for="203.0.113.7:4711";proto=https', ("203.0.113.7", 4711), "https", None),
        ('for="[2001:db9::1]:80";host=example.com', ("2001:db9::1", 80), None, b"example.com"),
        ("proto=wss", None, "https", None),
        ("proto=WS", None, "http", None),
        ("proto=ftp", None, None, None),
        ("", None, None, None),
        # The element of the trusted proxy that is nearest to the client counts.
        (
            "for=203.0.113.7;proto=https;host=example.com, for=10.1.2.3;proto=http;host=inner",
            ("203.0.113.7", 0),
            "https",
            b"example.com",
        ),
        ("for=203.0.113.7, for=10.1.2.3;proto=https;host=inner", ("203.0.113.7", 0), "https", b"inner"),
        # What the client itself wrote does not.
        (
            "for=10.9.9.9;proto=https;host=evil, for=203.0.113.7;proto=http",
            ("203.0.113.7", 0),
            "http",
            None,
        ),
        ("for=198.51.100.1;host=evil, proto=https", None, "https", None),
        # An element that does not tell an address is the last one that is believed.
        ("for=203.0.113.7;proto=https, for=unknown;proto=http", None, "http", None),
        ("for=203.0.113.7, for=_hidden, for=10.1.2.3", ("10.1.2.3", 0), None, None),
        ("for=10.4.4.4, for=10.1.2.3", ("10.4.4.4", 0), None, None),
    ],
)
def test_forwarded(value: str, client: tuple[str, int] | None, scheme: str | None, host: bytes | None) -> None:
    for _ in range(2):
        said = told(f"Forwarded: {value}", policy=FORWARDED)
        assert (said.client, said.scheme, said.host, said.root_path) == (client, scheme, host, None)


def test_several_forwarded_lines_are_one_list() -> None:
    said = told("Forwarded: for=203.0.113.7;proto=https", "Forwarded: for=10.1.2.3", policy=FORWARDED)
    assert (said.client, said.scheme) == (("203.0.113.7", 0), "https")


def test_a_long_forwarded_is_read() -> None:
    said = told("Forwarded: " + f'x="{"y" * 400}",' + "for=203.0.113.7", policy=FORWARDED)
    assert said.client == ("203.0.113.7", 0)


def test_a_broken_forwarded() -> None:
    for _ in range(2):
        assert "Forwarded" in refused("Forwarded: for=203.0.113.7:80", policy=FORWARDED)


def test_only_the_parts_that_are_wanted() -> None:
    line = "Forwarded: for=203.0.113.7;proto=https;host=example.com, for=10.1.2.3"
    for part, expected in (
        ("for", (("203.0.113.7", 0), None, None)),
        ("proto", (None, "https", None)),
        ("host", (None, None, b"example.com")),
    ):
        said = told(line, policy=ForwardedPolicy(CHAIN, family="forwarded", parts=[part]))
        assert (said.client, said.scheme, said.host) == expected


# -- one family, the parts that are wanted ----------------------------------------------------------------------------

EVERYTHING = (
    "Forwarded: for=203.0.113.1;proto=https;host=forwarded.example",
    "X-Forwarded-For: 203.0.113.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: x.example",
    "X-Forwarded-Port: 8443",
    "X-Forwarded-Prefix: /x",
    "X-Forwarded-Ssl: on",
    "X_Forwarded_For: 203.0.113.3",
    "Host: own.example",
)


def test_by_default_the_client_and_the_scheme() -> None:
    said = told(*EVERYTHING)
    assert (said.client, said.scheme, said.host, said.root_path) == (("203.0.113.2", 0), "https", None, None)


def test_one_family_does_not_look_at_the_other() -> None:
    said = told(*EVERYTHING, policy=ForwardedPolicy(LOCAL, parts=ALL))
    assert (said.client, said.scheme, said.host, said.root_path) == (
        ("203.0.113.2", 0),
        "https",
        b"x.example:8443",
        "/x",
    )
    said = told(*EVERYTHING, policy=ForwardedPolicy(LOCAL, family="forwarded", parts=ALL[:3]))
    assert (said.client, said.scheme, said.host, said.root_path) == (
        ("203.0.113.1", 0),
        "https",
        b"forwarded.example",
        None,
    )
    assert read(*EVERYTHING[1:], policy=FORWARDED) is None
    assert read(EVERYTHING[0]) is None


def test_none() -> None:
    policy = ForwardedPolicy(LOCAL, family="none", parts=ALL)
    assert read(*EVERYTHING, policy=policy) is None
    assert told("SCRIPT_NAME: /app", *EVERYTHING, policy=policy).root_path == "/app"
    assert told("SCRIPT_NAME: /app", *EVERYTHING, policy=policy).client is None


def test_whether_there_is_anything_to_read() -> None:
    assert ForwardedPolicy(LOCAL).reads
    assert ForwardedPolicy(LOCAL, family="none").reads  # SCRIPT_NAME
    assert not ForwardedPolicy(LOCAL, family="none", forwarder_headers=[]).reads
    assert not ForwardedPolicy(LOCAL, parts=[], forwarder_headers=["PATH_INFO"]).reads
    assert not ForwardedPolicy(LOCAL, family="forwarded", parts=[], forwarder_headers=[]).reads


def test_a_request_without_such_fields() -> None:
    assert read("Host: example.com", "X-Real-Ip: 203.0.113.7", "Sec-Fetch-Mode: cors", "User-Agent: x") is None
    assert read() is None


def test_an_unknown_family_or_part() -> None:
    with pytest.raises(ValueError, match="x-forwarded, forwarded, none"):
        ForwardedPolicy(LOCAL, family="xff")
    with pytest.raises(ValueError, match=r"'hots'.*use some of for, proto, host, port, prefix"):
        ForwardedPolicy(LOCAL, parts=["for", "hots"])
    for part in ("port", "prefix"):
        with pytest.raises(ValueError, match=rf"'{part}'.*'forwarded'.*for, proto, host$"):
            ForwardedPolicy(LOCAL, family="forwarded", parts=[part])
    assert set(FAMILIES) == {"x-forwarded", "forwarded", "none"}


# -- host and port ----------------------------------------------------------------------------------------------------

REWRITING = ForwardedPolicy(LOCAL, parts=ALL)


@pytest.mark.parametrize(
    ("lines", "host"),
    [
        (["X-Forwarded-Host: example.com"], b"example.com"),
        (["X-Forwarded-Host: example.com:8080"], b"example.com:8080"),
        (["X-Forwarded-Host: [2001:db8::1]:8080"], b"[2001:db8::1]:8080"),
        # The last one is the word of the proxy that we trust.
        (["X-Forwarded-Host: evil, example.com"], b"example.com"),
        (["X-Forwarded-Host: evil", "X-Forwarded-Host: example.com"], b"example.com"),
        (["X-Forwarded-Host: "], None),
        (["X-Forwarded-Host: example.com", "X-Forwarded-Port: 8080"], b"example.com:8080"),
        (["X-Forwarded-Host: example.com:1", "X-Forwarded-Port: 8080"], b"example.com:8080"),
        (["X-Forwarded-Host: [::1]:1", "X-Forwarded-Port: 8080"], b"[::1]:8080"),
        (["X-Forwarded-Host: [::1]", "X-Forwarded-Port: 80"], b"[::1]"),
        (["X-Forwarded-Port: 8080", "Host: own.example"], b"own.example:8080"),
        (["X-Forwarded-Port: 80", "Host: own.example:8000"], b"own.example"),
        (["X-Forwarded-Port: 1, 443", "Host: own.example:8000"], b"own.example:443"),
        (["X-Forwarded-Port: 443", "X-Forwarded-Proto: https", "Host: own.example:8000"], b"own.example"),
        (["X-Forwarded-Port: 80", "X-Forwarded-Proto: https", "Host: own.example"], b"own.example:80"),
        (["X-Forwarded-Port: 8080"], None),
        (["X-Forwarded-Port: ", "Host: own.example"], b"own.example"),
    ],
)
def test_the_host(lines: list[str], host: bytes | None) -> None:
    assert told(*lines, policy=REWRITING).host == host


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Host: a b", "X-Forwarded-Host: a/b", "X-Forwarded-Host: a@b", "X-Forwarded-Host: a:b",
        "X-Forwarded-Host: [::1", "X-Forwarded-Host: a:99999", "X-Forwarded-Port: x", "X-Forwarded-Port: 0",
        "X-Forwarded-Port: 65536", "X-Forwarded-Port: -1", "X-Forwarded-Port: 8080 8081", "X-Forwarded-Port: 000080",
    ],
)  # fmt: skip
def test_an_illegal_host_or_port(line: str) -> None:
    assert "X-Forwarded" in refused(line, "Host: own.example", policy=REWRITING)


# -- the root path ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "root_path"),
    [
        (["SCRIPT_NAME: /app"], "/app"),
        (["SCRIPT_NAME: /app/"], "/app"),
        (["SCRIPT_NAME: /a/b"], "/a/b"),
        (["SCRIPT_NAME: /"], ""),
        (["SCRIPT_NAME: "], ""),
        (["SCRIPT_NAME: /a%20b"], "/a%20b"),
        (["SCRIPT_NAME: /caf\u00c3\u00a9"], "/café"),
        (["SCRIPT_NAME: /app", "SCRIPT_NAME: /app"], "/app"),
        (["SCRIPT_NAME: /app", "X-Forwarded-Prefix: /x"], "/app"),
        (["SCRIPT_NAME: /app", "PATH_INFO: /x"], "/app"),
        (["X-Forwarded-Prefix: /x"], "/x"),
        (["X-Forwarded-Prefix: /x/"], "/x"),
        (["X-Forwarded-Prefix: /"], ""),
        (["X-Forwarded-Prefix: "], None),
        (["X-Forwarded-Prefix: /caf%C3%A9"], "/café"),
        (["X-Forwarded-Prefix: /evil", "X-Forwarded-Prefix: /x"], "/x"),
    ],
)
def test_the_root_path(lines: list[str], root_path: str | None) -> None:
    assert told(*lines, policy=REWRITING).root_path == root_path


@pytest.mark.parametrize(
    "lines",
    [
        ["SCRIPT_NAME: app"],
        ["SCRIPT_NAME: //evil.example"],
        ["SCRIPT_NAME: /\\evil.example"],
        ["SCRIPT_NAME: http://evil.example"],
        ["SCRIPT_NAME: /\u00ff"],
        ["SCRIPT_NAME: /a", "SCRIPT_NAME: /b"],
        ["X-Forwarded-Prefix: app"],
        ["X-Forwarded-Prefix: //evil.example"],
        ["X-Forwarded-Prefix: /%2Fevil.example"],
        ["X-Forwarded-Prefix: /a%0D%0Ab"],
        ["X-Forwarded-Prefix: /a%00"],
        ["X-Forwarded-Prefix: /a%FFb"],
        ["X-Forwarded-Prefix: /a\u00ff"],
        *(
            [f"{name}: {path}"]
            for name in ("SCRIPT_NAME", "X-Forwarded-Prefix")
            for path in (
                "/a?b", "/a#b", "/a\\b", "/..", "/a/../b", "/a/./b", "/a/..", "/a/%2e%2E/b", "/a/.%2e", "/a/%2e/"
            )
        ),
        ["X-Forwarded-Prefix: /a%3Fb"],
        ["X-Forwarded-Prefix: /a%23b"],
        ["X-Forwarded-Prefix: /a%5Cb"],
        ["X-Forwarded-Prefix: /a/%252e%252e/b"],
    ],
)
def test_an_illegal_root_path(lines: list[str]) -> None:
    assert refused(*lines, policy=REWRITING)


def test_script_name_only_where_forwarder_headers_lists_it() -> None:
    line = "SCRIPT_NAME: /app"
    assert read(line, policy=ForwardedPolicy(LOCAL, forwarder_headers=["PATH_INFO"])) is None
    assert told(line, policy=ForwardedPolicy(LOCAL, forwarder_headers=["script_name"])).root_path == "/app"
    assert told(line, policy=ForwardedPolicy(LOCAL, forwarder_headers=["*"])).root_path == "/app"
    assert read("PATH_INFO: /x") is None
    assert read("Script-Name: /app") is None


# -- anything ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix",
     b"x-forwarded-ssl", b"forwarded", b"script_name", b"host", b"x-forwarded", b"f", b"x"]
)  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=20),
    st.text(alphabet='0123456789.:[],; "for=prothsn/%', max_size=30).map(str.encode),
    st.sampled_from([b"https", b"10.1.2.3", b"203.0.113.7", b"example.com", b"/app", b"443"]),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([REWRITING, FORWARDED]))
def test_any_fields_are_read_or_refused(headers: Headers, policy: ForwardedPolicy) -> None:
    """What comes out can stand in a scope."""
    before = list(headers)
    try:
        said = policy.read(headers, "http")
    except ProtocolError as error:
        said, refusal = None, error
    else:
        refusal = None
    assert refusal is None or (refusal.status == 400 and refusal.reason.isprintable())
    assert headers == before
    if said is None:
        return
    assert said.scheme in (None, "http", "https")
    if said.client is not None:
        assert ipaddress.ip_address(said.client[0])
        assert 0 <= said.client[1] <= 65535
    if said.root_path:
        assert said.root_path.startswith("/")
        assert not said.root_path.endswith("/")
    if said.host is not None and b"host" not in dict(headers):
        assert not said.host.translate(None, bytes(range(0x21, 0x7F)))
