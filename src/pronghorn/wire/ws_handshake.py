"""The opening handshake of a WebSocket, server side (RFC 6455 section 4.2, 9.1, 11.3; over HTTP/2, RFC 8441).

From the head of a request to a ``Handshake``, which cannot hold an invalid one, and from what the application
accepts to the headers of the response. It knows nothing of sockets, scopes or what an extension means.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import NamedTuple

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.plain import plain_bytes, plain_str

Headers = Iterable[tuple[bytes, bytes]]

VERSION = b"13"
#: How Upgrade names the protocol (RFC 6455 section 4.2.1): without the version that RFC 9110 lets a name have.
_NAME = b"websocket"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_SIZE = 16

_TOKEN_CHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = re.compile(_TOKEN_CHAR + rb"+")
#: RFC 6455 section 9.1: unquoted, a quoted value is a token, so that no comma or semicolon hides in one.
_PARAMETER = re.compile(rb'(%b+)[ \t]*(?:=[ \t]*(?:(%b+)|"((?:\\?%b)+)"))?' % ((_TOKEN_CHAR,) * 3))
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OWS = b" \t"
#: Elements of a list field and parameters of an offer that are read, empty ones included: browsers send one or two
#: offers with as many parameters, and a handshake must not buy endless parsing.
_MOST_ELEMENTS = 100
_MOST_PARAMETERS = 16

#: What the handshake itself says, and what has no meaning in a response that ends HTTP on its connection.
_NOT_FOR_APPLICATIONS = frozenset(
    [
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    ]
)
_READ = frozenset(
    [
        b"connection",
        b"content-length",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    ]
)


_TITLES = {
    b"connection": "Connection",
    b"sec-websocket-extensions": "Sec-WebSocket-Extensions",
    b"sec-websocket-protocol": "Sec-WebSocket-Protocol",
    b"upgrade": "Upgrade",
}


class Extension(NamedTuple):
    """An offer of Sec-WebSocket-Extensions; ``parameters``: names with their values, or with None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Handshake:
    """A valid request for a WebSocket.

    ``key``: bytes of Sec-WebSocket-Key; empty over HTTP/2, which has none. ``subprotocols`` and
    ``extensions`` stand in the client's order of preference, subprotocols without repetition.
    """

    key: bytes
    subprotocols: tuple[str, ...]
    extensions: tuple[Extension, ...]


def is_listed(upgrade: bytes) -> bool:
    """Whether a client lists WebSocket among the protocols that it would go on with (RFC 9110 section 7.8).

    ``upgrade``: the values of all its Upgrade fields, joined by commas, in lower case.
    """
    return upgrade == _NAME or any(item.strip(_OWS) == _NAME for item in upgrade.split(b","))


def read(method: str, http_version: str, headers: Headers) -> Handshake:
    """Return the handshake that a request is.

    ``method``: str, "GET", or over HTTP/2 "CONNECT", of a request whose ``:protocol`` is "websocket".
    ``http_version``: str, "1.0", "1.1", "2". ``headers``: pairs of bytes, names in lower case.
    Raises ``ProtocolError``: 426 where the client speaks another version of the protocol, else 400.
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _READ:
            fields.setdefault(name, []).append(value)
    lengths = fields.get(b"content-length", ())
    if b"transfer-encoding" in fields or any(length.strip(b"0") for length in lengths):
        raise ProtocolError(400, "WebSocket handshake with a body")
    upgrades = http_version in ("1.0", "1.1")
    key = _read_upgrade(method, http_version, fields) if upgrades else _read_connect(method)
    _check_version(fields, upgrades)
    return Handshake(key, _read_subprotocols(fields), _read_extensions(fields))


def _read_upgrade(method: str, http_version: str, fields: dict[bytes, list[bytes]]) -> bytes:
    """RFC 6455 section 4.2.1."""
    if method != "GET":
        raise ProtocolError(400, "WebSocket handshake must be a GET")
    if http_version != "1.1":
        raise ProtocolError(400, "WebSocket handshake needs HTTP/1.1")
    if not _lists(fields, b"upgrade", _NAME):
        raise ProtocolError(400, "WebSocket handshake without Upgrade: websocket")
    if not _lists(fields, b"connection", b"upgrade"):
        raise ProtocolError(400, "WebSocket handshake without Connection: Upgrade")
    key = _only(fields, b"sec-websocket-key", "Sec-WebSocket-Key")
    try:
        size = len(b64decode(key, validate=True))
    except Base64Error:
        size = 0
    if size != _KEY_SIZE:
        raise ProtocolError(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    return key


def _read_connect(method: str) -> bytes:
    """RFC 8441 section 5: stream and :protocol replace Upgrade, Connection, and the key."""
    if method != "CONNECT":
        raise ProtocolError(400, "WebSocket handshake over HTTP/2 must be a CONNECT")
    return b""


def _check_version(fields: dict[bytes, list[bytes]], upgrades: bool) -> None:
    if _only(fields, b"sec-websocket-version", "Sec-WebSocket-Version") == VERSION:
        return
    wanted = ((b"sec-websocket-version", VERSION),)
    # RFC 9110 section 15.5.22 wants Upgrade with 426; RFC 9113 section 8.2.2 does not know the field.
    raise ProtocolError(
        426, "Sec-WebSocket-Version is not 13", (*wanted, (b"upgrade", b"websocket")) if upgrades else wanted
    )


def _only(fields: dict[bytes, list[bytes]], name: bytes, title: str) -> bytes:
    """Return the value of a field that must be there once."""
    values = fields.get(name, ())
    if len(values) != 1:
        raise ProtocolError(400, f"{title} {'missing' if not values else 'given more than once'}")
    return values[0].strip(_OWS)


def _items(fields: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """Return the elements of a list field over all its lines, without empty ones (RFC 9110 section 5.6.1).

    Raises ProtocolError 400 for more than ``_MOST_ELEMENTS``.
    """
    items: list[bytes] = []
    for value in fields.get(name, ()):
        items += value.split(b",", _MOST_ELEMENTS)
        if len(items) > _MOST_ELEMENTS:
            raise ProtocolError(400, f"{_TITLES[name]} has more than {_MOST_ELEMENTS} elements")
    return [item for item in (item.strip(_OWS) for item in items) if item]


def _lists(fields: dict[bytes, list[bytes]], name: bytes, wanted: bytes) -> bool:
    return any(item.lower() == wanted for item in _items(fields, name))


def _read_subprotocols(fields: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    """RFC 6455 section 11.3.4. Repeated names, which 4.1 forbids, are read once: there is no harm in them."""
    names = _items(fields, b"sec-websocket-protocol")
    if not all(map(_TOKEN.fullmatch, names)):
        raise ProtocolError(400, "Sec-WebSocket-Protocol is not a list of tokens")
    return tuple(dict.fromkeys(name.decode("ascii") for name in names))


def _read_extensions(fields: dict[bytes, list[bytes]]) -> tuple[Extension, ...]:
    """RFC 6455 section 9.1."""
    offers = []
    for item in _items(fields, b"sec-websocket-extensions"):
        name, *parameters = (part.strip(_OWS) for part in item.split(b";", _MOST_PARAMETERS + 1))
        if len(parameters) > _MOST_PARAMETERS:
            raise ProtocolError(400, f"Sec-WebSocket-Extensions has more than {_MOST_PARAMETERS} parameters")
        matches = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
        if not _TOKEN.fullmatch(name) or None in matches:
            raise ProtocolError(400, "Sec-WebSocket-Extensions is malformed")
        offers.append(Extension(name.decode("ascii"), tuple(_parameter(match) for match in matches if match)))
    return tuple(offers)


def _parameter(match: re.Match[bytes]) -> tuple[str, str | None]:
    name, plain, quoted = match.groups()
    value = plain if quoted is None else quoted.replace(b"\\", b"")
    return name.decode("ascii"), None if value is None else value.decode("ascii")


def accept(
    handshake: Handshake, subprotocol: str | None = None, headers: Headers = (), extension: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """Return the headers of the response that opens the WebSocket: 101, or 200 over HTTP/2.

    ``subprotocol`` and ``headers`` are the application's, ``extension`` is the agreed
    Sec-WebSocket-Extensions. Raises ValueError for a subprotocol that was not offered, and for headers that
    an application must not set.
    """
    response = []
    if handshake.key:
        response.append((b"upgrade", b"websocket"))
        response.append((b"connection", b"Upgrade"))
        response.append((b"sec-websocket-accept", accept_key(handshake.key)))
    if subprotocol is not None:
        subprotocol = plain_str(subprotocol)
        if subprotocol not in handshake.subprotocols:
            offered = ", ".join(handshake.subprotocols) or "none"
            raise ValueError(f"subprotocol {subprotocol!r} was not offered (offered: {offered})")
        response.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    if extension:
        response.append((b"sec-websocket-extensions", extension))
    for name, value in headers:
        name = _plain(name).lower()
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"header name {name!r} is not valid")
        if name in _NOT_FOR_APPLICATIONS:
            raise ValueError(f"header {name.decode('ascii')} is not for the application to set")
        value = _plain(value)
        if not _VALUE.fullmatch(value):
            raise ValueError(f"value of header {name.decode('ascii')} has a control character")
        response.append((name, value))
    return response


def _plain(value: bytes) -> bytes:
    """Part of an application's field, which may also come in another kind of buffer."""
    return plain_bytes(value) if issubclass(type(value), bytes) else memoryview(value).tobytes()


def accept_key(key: bytes) -> bytes:
    """Return Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2), with a hash that protects nothing."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
