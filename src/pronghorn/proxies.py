"""Which peers may speak for others, and what they say: the client, scheme, host and mount point of a request.

Owns trust (Gunicorn's ``forwarded_allow_ips`` and ``proxy_allow_ips``) and the choice among the ways of saying it;
the grammars are ``pronghorn.wire.forwarded``'s. What comes out is a ``Forwarding``; who puts it into a scope is not
known here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pronghorn.asgi.forwarding import Forwarder, Forwarding
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.forwarded import pack, read_address, read_forwarded
from pronghorn.wire.http1_target import is_authority
from pronghorn.wire.percent import unquoted
from pronghorn.wire.proxy_protocol import Address

#: The families of fields, of which one is believed.
FAMILIES = ("x-forwarded", "forwarded", "none")
#: What a family may tell; Forwarded (RFC 7239) knows the first three.
PARTS = ("for", "proto", "host", "port", "prefix")
DEFAULT_PARTS = ("for", "proto")
#: Gunicorn's default of ``secure_scheme_headers``.
SECURE_SCHEME_HEADERS = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}

#: Hops of X-Forwarded-For that are looked at, from ours towards the client; none of them is free of charge.
_MOST_HOPS = 100
#: What was read lately is remembered, if it is short: the same clients come again and again, and parsing an address
#: costs several times what the rest of ``read`` does.
_REMEMBERED = 1024
_LONGEST_REMEMBERED = 200
_DEFAULT_PORTS = {"http": b"80", "https": b"443"}

_CHAIN, _SCHEME, _HOST, _PORT, _PREFIX, _SCRIPT_NAME = range(6)


#: Addresses of peers whose trust is kept.
_MOST_SAID = 1024


class TrustList:
    """Addresses and networks that are trusted. A peer on a unix socket is: who may connect is the file system's say.

    ``entries``: IP addresses, CIDR networks, host names (compared as text) or ``*`` for everybody. IPv4 addresses and
    their IPv6-mapped forms are the same.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everybody = False
        self._names: set[str] = set()
        self._addresses: set[bytes] = set()
        #: (size of an address, bits that do not count, the other bits)
        self._networks: list[tuple[int, int, int]] = []
        self._said: dict[str, bool] = {}
        names = [entry.strip() for entry in entries]
        #: The entries as they were given.
        self.text = ",".join(names)
        for name in names:
            self._add(name)

    def _add(self, entry: str) -> None:
        if entry == "*":
            self._everybody = True
            return
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            self._names.add(entry)
            return
        size, packed, prefix = network.max_prefixlen // 8, network.network_address.packed, network.prefixlen
        mapped = pack(str(network.network_address))
        if len(mapped) < size and prefix >= 96:
            size, packed, prefix = 4, mapped, prefix - 96
        free = 8 * size - prefix
        if free:
            self._networks.append((size, free, int.from_bytes(packed, "big") >> free))
        else:
            self._addresses.add(packed)

    def __contains__(self, host: str) -> bool:
        if self._everybody or host in self._names:
            return True
        packed = pack(host.partition("%")[0])  # a link-local peer's address carries its zone
        return bool(packed) and self.includes(packed)

    def includes(self, packed: bytes) -> bool:
        """Whether the address, as ``pronghorn.wire.forwarded.pack`` returns it, is trusted."""
        if self._everybody or packed in self._addresses:
            return True
        if not self._networks:
            return False
        size, value = len(packed), int.from_bytes(packed, "big")
        return any(size == width and value >> free == prefix for width, free, prefix in self._networks)

    def trusts(self, peer: Address) -> bool:
        """Whether ``peer`` is trusted: an address, or text for one on a unix socket. One that is not known never is.

        Asked of each new connection, which mostly come from few addresses: what was said lately is kept.
        """
        if not isinstance(peer, tuple):
            return peer is not None
        host = peer[0]
        said = self._said.get(host)
        if said is None:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            said = self._said[host] = host in self
        return said


class ForwardedPolicy(Forwarder):
    """Which fields of a trusted peer are believed. It judges no peer: ask it only about requests of trusted ones.

    ``trust``: who else on the way is trusted: the client is the first address, from ours on, that is not.

    ``family``: the fields that tell; those of the other family are never looked at, for a proxy that writes one lets
    a client's own pass in the other.

    - "x-forwarded": X-Forwarded-For for the client, ``secure_scheme_headers`` for the scheme.
    - "forwarded": the Forwarded field (RFC 7239). Of the parameters of the trusted proxies' elements, the one nearest
      the client counts.
    - "none": neither.

    ``parts``: what is taken from them, of ``PARTS``. Only "for" and "proto" are by default; switch on the others
    where your proxy sets the field on each request, or removes the client's.

    - "for": scope["client"]. An entry that is no address ends the search: the last address before it stands, or the
      peer's own.
    - "proto": the scheme.
    - "host": the Host field becomes X-Forwarded-Host (its last value), or ``host=``.
    - "port": X-Forwarded-Port becomes the Host field's port.
    - "prefix": X-Forwarded-Prefix, percent-decoded, becomes the root path.

    ``secure_scheme_headers``: Gunicorn's setting: a value that matches exactly means https, any other http, and
    contradiction is an error. "wss" in X-Forwarded-Proto counts as "https", as it is what Traefik writes for a
    WebSocket. ``forwarder_headers``: Gunicorn's setting: where it lists SCRIPT_NAME, that field is the root path, in
    every family. PATH_INFO has no effect, as in Gunicorn.

    Raises ValueError for a family or part that does not exist.
    """

    __slots__ = (
        "_hop",
        "_initials",
        "_is_forwarded",
        "_kinds",
        "_parts",
        "_read_forwarded",
        "_secure",
        "_trust",
        "reads",
    )

    def __init__(
        self,
        trust: TrustList,
        *,
        family: str = "x-forwarded",
        parts: Iterable[str] = DEFAULT_PARTS,
        secure_scheme_headers: Mapping[str, str] = SECURE_SCHEME_HEADERS,
        forwarder_headers: Iterable[str] = ("SCRIPT_NAME", "PATH_INFO"),
    ) -> None:
        self._trust = trust
        wanted = _checked(family, parts)
        self._parts = wanted
        self._is_forwarded = family == "forwarded"
        kinds: dict[bytes, int] = {}
        secure: dict[bytes, frozenset[bytes]] = {}
        if family == "forwarded" and wanted:
            kinds[b"forwarded"] = _CHAIN
        elif family == "x-forwarded":
            for part, kind in (("for", _CHAIN), ("host", _HOST), ("port", _PORT), ("prefix", _PREFIX)):
                if part in wanted:
                    kinds[f"x-forwarded-{part}".encode()] = kind
            if "proto" in wanted:
                secure = _secure_values(secure_scheme_headers)
                kinds.update(dict.fromkeys(secure, _SCHEME))
        names = {name.upper() for name in forwarder_headers}
        if "SCRIPT_NAME" in names or "*" in names:
            kinds[b"script_name"] = _SCRIPT_NAME
        self._kinds = kinds
        self._secure = secure
        initials = {name[0] for name in kinds}
        self._initials = bytes(byte in initials for byte in range(256))
        self._hop = lru_cache(_REMEMBERED)(self._look_at)
        self._read_forwarded = lru_cache(_REMEMBERED)(read_forwarded)
        #: Whether there is any field to look at.
        self.reads = bool(kinds)

    def read(self, headers: list[tuple[bytes, bytes]], scheme: str) -> Forwarding | None:
        initials = self._initials
        kinds = self._kinds
        found = None
        for pair in headers:
            name = pair[0]
            first = name
            if initials[first[0]] and name in kinds:
                if found is None:
                    found = [pair]
                else:
                    found.append(pair)
        return None if found is None else self._judge(found, headers, scheme)

    def _judge(self, found: list[tuple[bytes, bytes]], headers: list[tuple[bytes, bytes]], scheme: str) -> Forwarding:
        said = Forwarding()
        lines: list[bytes] | None = None  # of X-Forwarded-For or Forwarded; no policy looks at both
        others: dict[int, list[bytes]] | None = None
        for name, value in found:
            kind = self._kinds[name]
            if kind == _SCHEME:
                self._judge_scheme(said, name, value)
            elif kind == _CHAIN:
                lines = [] if lines is None else lines
                lines.append(value)
            else:
                others = {} if others is None else others
                others.setdefault(kind, []).append(value)
        if lines is not None:
            self._judge_chain(said, lines)
        if others is not None:
            self._judge_others(said, others, headers, scheme)
        return said

    def client(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
        lines = [value for name, value in headers if self._kinds.get(name) == _CHAIN]
        said = Forwarding()
        try:
            self._judge_chain(said, lines)
        except ProtocolError:
            return None
        return said.client

    def _judge_chain(self, said: Forwarding, lines: list[bytes]) -> None:
        value = lines[0] if len(lines) == 1 else b",".join(lines)
        if not self._is_forwarded:
            said.client = self._client(value)
            return
        try:
            self._judge_forwarded(said, value)
        except ProtocolError as error:
            error.setting = "forwarded=forwarded"
            raise

    def _judge_scheme(self, said: Forwarding, name: bytes, value: bytes) -> None:
        scheme = "https" if value in self._secure[name] else "http"
        if said.scheme is not None and said.scheme != scheme:
            setting = f"secure_scheme_headers={','.join(name.decode('latin-1').upper() for name in self._secure)}"
            raise ProtocolError(400, "Contradictory scheme headers", setting=setting)
        said.scheme = scheme

    def _client(self, value: bytes) -> tuple[str, int] | None:
        """The client by X-Forwarded-For: from the right, each trusted proxy vouches for the entry left of it."""
        client = None
        # Beyond _MOST_HOPS the first item holds several entries, which is no address and so the end.
        entries = value.rsplit(b",", _MOST_HOPS)
        entries.reverse()
        for entry in entries:
            address, is_end = self._hop(entry) if len(entry) <= _LONGEST_REMEMBERED else (None, True)
            if address is not None:
                client = address
            if is_end:
                break
        return client

    def _look_at(self, entry: bytes) -> tuple[tuple[str, int] | None, bool]:
        """The address in an entry of X-Forwarded-For, and whether whoever wrote what is left of it is not trusted."""
        text = entry.strip(b" \t").decode("latin-1")
        if not text or text == "unix:":  # nginx writes "unix:" for a peer on a unix socket, trusted as ours is
            return None, False
        node = read_address(text)
        if node is None:
            return None, True
        return (node.name, node.port), not self._trust.includes(node.packed)

    def _judge_forwarded(self, said: Forwarding, value: bytes) -> None:
        """RFC 7239: from the right, each trusted proxy's element tells who wrote the one left of it."""
        read = self._read_forwarded if len(value) <= _LONGEST_REMEMBERED else read_forwarded
        for element in reversed(read(value)):
            if element.proto in _SCHEMES and "proto" in self._parts:
                said.scheme = _SCHEMES[element.proto]
            if element.host is not None and "host" in self._parts:
                said.host = element.host
            node = element.source
            if node is None or not node.packed:
                return
            if "for" in self._parts:
                said.client = (node.name, node.port)
            if not self._trust.includes(node.packed):
                return

    def _judge_others(
        self, said: Forwarding, values: dict[int, list[bytes]], headers: list[tuple[bytes, bytes]], scheme: str
    ) -> None:
        """What is there seldom: the last value of a field is the word of the proxy that speaks to us."""
        setting = "forwarder_headers=SCRIPT_NAME"
        try:
            if _SCRIPT_NAME in values:
                said.root_path = _script_name(values[_SCRIPT_NAME])
            setting = f"forwarded_parts={','.join(sorted(self._parts))}"
            self._judge_parts(said, values, headers, scheme)
        except ProtocolError as error:
            error.setting = setting
            raise

    def _judge_parts(
        self, said: Forwarding, values: dict[int, list[bytes]], headers: list[tuple[bytes, bytes]], scheme: str
    ) -> None:
        if _PREFIX in values and _SCRIPT_NAME not in values:
            said.root_path = _prefix(values[_PREFIX][-1])
        if _HOST in values:
            said.host = _host(values[_HOST][-1])
        if _PORT in values:
            said.host = _with_port(said.host or _own_host(headers), values[_PORT][-1], said.scheme or scheme)


#: Scheme of a request by the scheme that a proxy tells: a WebSocket begins as HTTP.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def _checked(family: str, parts: Iterable[str]) -> frozenset[str]:
    """``parts`` as a set, if ``family`` knows them all."""
    if family not in FAMILIES:
        raise ValueError(f"{family!r} is no family of forwarding fields: use one of {', '.join(FAMILIES)}")
    wanted = frozenset(parts)
    known = PARTS[:3] if family == "forwarded" else PARTS
    for part in sorted(wanted):
        if part not in known:
            raise ValueError(f"{part!r} is not told by the family {family!r}: use some of {', '.join(known)}")
    return wanted


def _secure_values(secure_scheme_headers: Mapping[str, str]) -> dict[bytes, frozenset[bytes]]:
    values = {}
    for name, value in secure_scheme_headers.items():
        key, secure = name.lower().encode("latin-1"), [value.encode("latin-1")]
        if (key, value) == (b"x-forwarded-proto", "https"):
            secure.append(b"wss")
        values[key] = frozenset(secure)
    return values


def _script_name(values: list[bytes]) -> str:
    """CGI's SCRIPT_NAME, which is not percent-encoded (RFC 3875 section 4.1.13)."""
    if values.count(values[0]) < len(values):
        raise ProtocolError(400, "Contradictory SCRIPT_NAME fields")
    return _root_path("SCRIPT_NAME", _text("SCRIPT_NAME", values[0]))


def _prefix(value: bytes) -> str | None:
    return _root_path("X-Forwarded-Prefix", _text("X-Forwarded-Prefix", unquoted(value))) if value else None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError(400, f"{name} is not UTF-8") from None


#: Where a path ends (RFC 3986 section 3.3), and what clients take for a slash.
_NOT_IN_PATHS = frozenset("?#\\")
_DOT_SEGMENTS = (".", "..")


def _root_path(name: str, value: str) -> str:
    """A root path that can stand before a path in a Location field: with two slashes it would name a host, and a dot
    segment would lead out of it (RFC 3986 section 5.2.4), also one that is encoded twice."""
    path = value.rstrip("/")
    if not path:
        return path
    if path[0] != "/" or path[1] == "/" or not path.isprintable() or not _NOT_IN_PATHS.isdisjoint(path):
        raise ProtocolError(400, f"{name} is not a path")
    if any(segment in _DOT_SEGMENTS for segment in path.lower().replace("%2e", ".").split("/")):
        raise ProtocolError(400, f"{name} has a dot segment")
    return path


def _host(value: bytes) -> bytes | None:
    host = value.rpartition(b",")[2].strip(b" \t")
    if host and not is_authority(host):
        raise ProtocolError(400, "Invalid X-Forwarded-Host")
    return host or None


def _own_host(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"host":
            return value
    return None


def _with_port(host: bytes | None, value: bytes, scheme: str) -> bytes | None:
    """``host`` with the port in ``value``, without one where it goes without saying."""
    port = value.rpartition(b",")[2].strip(b" \t")
    if not host or not port:
        return host
    if not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise ProtocolError(400, "Invalid X-Forwarded-Port")
    name = host[: host.index(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]
    return name if port == _DEFAULT_PORTS.get(scheme) else name + b":" + port
