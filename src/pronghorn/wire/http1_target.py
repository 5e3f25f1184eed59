"""The rarer forms of a request target, and what percent-encoding hides (RFC 9112 section 3.2, RFC 3986).

The parser reads origin-form itself; here stand absolute-form, authority-form, asterisk-form and the check of an
authority, which the Host field shares.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from pronghorn.wire.chars import HOST
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.percent import unquoted
from pronghorn.wire.request import Request

_BROKEN_ENCODING = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_IPV_FUTURE = re.compile(rb"[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+")
_ALLOWED_IN_HOST = bytes(byte for byte in range(256) if HOST[byte])


def decoded(raw_path: bytes) -> str:
    """Percent-decode and then read as UTF-8, as ASGI's ``path`` wants; what is not UTF-8 becomes U+FFFD."""
    return unquoted(raw_path).decode("utf-8", "replace")


def read_other_form(request: Request, target: bytes) -> bytes | None:
    """Fill ``request`` from a target that does not begin with a slash.

    Returns the authority that replaces the Host field (absolute-form, authority-form), else None. Raises
    ProtocolError 400.
    """
    if request.method == "CONNECT":
        if not is_authority(target) or not _port(target):
            raise ProtocolError(400, "CONNECT wants host:port as its target")
        return target
    if target == b"*":
        if request.method != "OPTIONS":
            raise ProtocolError(400, "Target '*' belongs to OPTIONS alone")
        _split(request, target)
        return None
    return _read_absolute_form(request, target)


def _read_absolute_form(request: Request, target: bytes) -> bytes:
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https", b"ws", b"wss"):
        raise ProtocolError(400, "Invalid request target: neither a path nor an http URL")
    end = len(rest)
    for mark in b"/?":
        at = rest.find(mark)
        if at >= 0:
            end = min(end, at)
    authority, path_and_query = rest[:end], rest[end:]
    if not authority or not is_authority(authority):
        raise ProtocolError(400, "Invalid host in the request target")
    if not path_and_query.startswith(b"/"):
        path_and_query = b"*" if request.method == "OPTIONS" and not path_and_query else b"/" + path_and_query
    _split(request, path_and_query)
    return authority


def _split(request: Request, path_and_query: bytes) -> None:
    request.raw_path, _, request.query_string = path_and_query.partition(b"?")
    request.path = decoded(request.raw_path)


def is_authority(value: bytes) -> bool:
    """Whether ``value`` is a host with an optional port: no user information, brackets only around an IP literal."""
    if value.translate(None, _ALLOWED_IN_HOST):
        return False
    if value.startswith(b"["):
        literal, bracket, port = value[1:].partition(b"]")
        if not bracket or not _is_ip_literal(literal) or b"[" in port or b"]" in port:
            return False
        return not port or (port.startswith(b":") and _is_port(port[1:]))
    if b"[" in value or b"]" in value or _BROKEN_ENCODING.search(value):
        return False
    host, colon, port = value.partition(b":")
    return not colon or (bool(host) and _is_port(port))


def _is_ip_literal(literal: bytes) -> bool:
    """An IPv6 address without a zone, which means nothing off the client's machine, or an IPvFuture."""
    if _IPV_FUTURE.fullmatch(literal):
        return True
    try:
        return b"%" not in literal and IPv6Address(literal.decode("ascii")) is not None
    except ValueError:
        return False


def _is_port(digits: bytes) -> bool:
    if not digits.isdigit():
        return not digits
    number = digits.lstrip(b"0")
    return len(number) <= 5 and int(number or b"0") <= 65535


def _port(authority: bytes) -> bytes:
    return authority.rpartition(b":")[2] if not authority.endswith(b"]") and b":" in authority else b""
