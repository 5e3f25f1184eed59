"""What proxies write about a request: the Forwarded field (RFC 7239) and the older X-Forwarded-For.

From field values to nodes and elements; whom to believe is ``pronghorn.proxies``'s to say. ``inet_pton`` is the only
thing used of ``socket``: a conversion, ten times as fast as ``ipaddress``, and as strict.
"""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_target import is_authority

#: Elements of one Forwarded field, empty ones included; no chain of proxies is that long, and a request must not buy
#: endless parsing.
MOST_ELEMENTS = 100
#: Parameters of one Forwarded field, empty ones included: four are registered, proxies add a few of their own.
MOST_PARAMETERS = 8 * MOST_ELEMENTS

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
#: RFC 7239 section 4, ``forwarded-pair``; the quoted string as in RFC 9110 section 5.6.4.
_PAIR = re.compile(
    rb'(%b)=(?:(%b)|"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)")' % (_TOKEN, _TOKEN)
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_OWS = re.compile(rb"[ \t]*")
#: RFC 7239 section 6, ``node``: an IPv6 address stands in brackets, always.
_NODE = re.compile(
    r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([0-9.]+)|(unknown|_[A-Za-z0-9._\-]+))(?::([0-9]{1,5}|_[A-Za-z0-9._\-]+))?"
)
#: RFC 3986 section 3.1.
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")

_MAPPED = b"\0" * 10 + b"\xff\xff"


class Node(NamedTuple):
    """A host on the way of a request (RFC 7239 section 6).

    ``name``: an IP address, "unknown", or a name of the proxy's own making, which begins with an underscore.
    ``port``: 0 when it is not told or obfuscated. ``packed``: the address as ``pack`` has it, empty where ``name`` is
    none.
    """

    name: str
    port: int
    packed: bytes


class Element(NamedTuple):
    """What one proxy added to Forwarded; None for what it does not tell.

    ``source`` is its ``for`` parameter, ``host`` the Host field it received and ``proto`` the scheme, in lower case.
    """

    source: Node | None
    by: Node | None
    host: bytes | None
    proto: str | None


def pack(host: str) -> bytes:
    """Return the 4 or 16 bytes of the IP address ``host``, or b"" when it is none.

    An IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) becomes the IPv4 address that it is.
    """
    try:
        if ":" not in host:
            return inet_pton(AF_INET, host)
        packed = inet_pton(AF_INET6, host)
    except (OSError, ValueError):  # ValueError: a null character, or one that is not ASCII
        return b""
    return packed[12:] if packed.startswith(_MAPPED) else packed


def read_address(text: str) -> Node | None:
    """Return the address in an entry of X-Forwarded-For, or None when there is none.

    That field has no grammar: proxies write an address bare, with a port after a colon, and IPv6 with or without
    brackets.
    """
    port = 0
    host = text
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            return None
        if rest:
            port = _port(rest[1:])
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
        port = _port(digits)
    packed = pack(host)
    if not packed or port < 0:
        return None
    return Node(_canonical(host), port, packed)


def _port(digits: str) -> int:
    """The number that ``digits`` is, -1 when it is not a port."""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        return -1
    port = int(digits)
    return port if port <= 65535 else -1


def _canonical(host: str) -> str:
    """IPv6 has many spellings; applications compare text (RFC 5952)."""
    return inet_ntop(AF_INET6, inet_pton(AF_INET6, host)) if ":" in host else host


def read_forwarded(value: bytes) -> list[Element]:
    """Return the elements of a Forwarded field, the client's first. Lines of the field are joined with a comma.

    Space around a semicolon is allowed though RFC 7239 section 4 has none: many proxies write it. Raises
    ProtocolError 400 for anything else that is not of the grammar.
    """
    elements: list[Element] = []
    parameters: dict[bytes, bytes] = {}
    commas = semicolons = 0
    at = 0
    while True:
        at = _after_space(value, at)
        pair = _PAIR.match(value, at)
        if pair is not None:
            _add(parameters, pair)
            at = _after_space(value, pair.end())
        separator = value[at : at + 1]
        if separator == b";":
            semicolons += 1
            if semicolons > MOST_PARAMETERS:
                raise ProtocolError(400, "Forwarded field has too many parameters")
            at += 1
            continue
        if separator not in (b",", b""):
            raise ProtocolError(400, f"Invalid Forwarded field at byte {at}")
        if parameters:  # an element may be empty (RFC 9110 section 5.6.1.2)
            elements.append(_element(parameters))
            parameters = {}
        if not separator:
            return elements
        commas += 1
        if commas == MOST_ELEMENTS:
            raise ProtocolError(400, "Forwarded field has too many elements")
        at += 1


def _after_space(value: bytes, at: int) -> int:
    space = _OWS.match(value, at)
    return at if space is None else space.end()


def _add(parameters: dict[bytes, bytes], pair: re.Match[bytes]) -> None:
    name, token, quoted = pair.group(1).lower(), pair.group(2), pair.group(3)
    if name in parameters:
        raise ProtocolError(400, "Forwarded field repeats a parameter")
    parameters[name] = token if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted)


def _element(parameters: dict[bytes, bytes]) -> Element:
    host, proto = parameters.get(b"host"), parameters.get(b"proto")
    if host is not None and (not host or not is_authority(host)):
        raise ProtocolError(400, "Invalid host in Forwarded field")
    if proto is not None and not _SCHEME.fullmatch(proto):
        raise ProtocolError(400, "Invalid proto in Forwarded field")
    return Element(
        _node(parameters.get(b"for")),
        _node(parameters.get(b"by")),
        host,
        None if proto is None else proto.decode("ascii").lower(),
    )


def _node(value: bytes | None) -> Node | None:
    if value is None:
        return None
    match = _NODE.fullmatch(value.decode("latin-1"))
    if match is not None:
        v6, v4, name, port_text = match.groups()
        address = v6 or v4
        port = _port(port_text) if port_text and port_text[0] != "_" else 0
        packed = pack(address) if address else b""
        if port >= 0 and (name or packed):
            return Node(name or _canonical(address), port, packed)
    raise ProtocolError(400, "Invalid node in Forwarded field")


def with_host(headers: list[tuple[bytes, bytes]], host: bytes) -> list[tuple[bytes, bytes]]:
    """Return ``headers`` with ``host`` as their only Host field, first where there was none."""
    replaced = [(name, host) if name == b"host" else (name, value) for name, value in headers]
    return replaced if (b"host", host) in replaced else [(b"host", host), *replaced]
