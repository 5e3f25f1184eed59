"""What the fields of a request say about its body and its connection: decided once, when the head is complete.

A message that two parsers could read differently is refused (RFC 9112 section 6.3, 11.2). Sources: Host RFC 9112
section 3.2; Content-Type RFC 9110 section 8.3; Content-Length section 8.6; Transfer-Encoding RFC 9112 section 6.1;
Connection section 9.3; Expect RFC 9110 section 10.1.1; TE section 10.1.4; Upgrade section 7.8.
"""

from __future__ import annotations

from string import ascii_letters, digits

from pronghorn.wire.chars import table
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_target import is_authority
from pronghorn.wire.request import Request

#: More digits than any body has, and still within 64 bits.
_MOST_LENGTH_DIGITS = 18
_PLAIN_HOST = table(frozenset((ascii_letters + digits + "-._").encode()))
_COLON = ord(":")


def settle(request: Request, authority: bytes | None) -> int:
    """Set the framing and connection attributes of ``request`` from its fields.

    ``authority``: the host named by the target, which replaces the Host field (RFC 9112 section 3.2.2), or None.
    Raises ProtocolError 400, 417 or 501.
    """
    host = length = content_type = None
    coding = connection = upgrade = expect = te = None
    is_repeated = False
    for name, value in request.headers:
        size = len(name)
        if size == 4 and name == b"host":
            if host is not None:
                raise ProtocolError(400, "More than one Host field")
            host = value
        elif size == 10 and name == b"connection":
            is_repeated = is_repeated or connection is not None
            connection = value
        elif size == 12 and name == b"content-type":
            if content_type is not None:
                raise ProtocolError(400, "More than one Content-Type field")
            content_type = value
        elif size == 14 and name == b"content-length":
            if length is not None:
                raise ProtocolError(400, "More than one Content-Length field")
            length = value
        elif size == 17 and name == b"transfer-encoding":
            is_repeated = is_repeated or coding is not None
            coding = value
        elif size == 6 and name == b"expect":
            is_repeated = is_repeated or expect is not None
            expect = value
        elif size == 7 and name == b"upgrade":
            is_repeated = is_repeated or upgrade is not None
            upgrade = value
        elif size == 2 and name == b"te":
            is_repeated = is_repeated or te is not None
            te = value
    if is_repeated:
        connection = _combined(request.headers, b"connection")
        coding = _combined(request.headers, b"transfer-encoding")
        expect = _combined(request.headers, b"expect")
        upgrade = _combined(request.headers, b"upgrade")
        te = _combined(request.headers, b"te")
    is_1_0 = request.is_1_0
    _settle_host(request, host, authority, is_1_0)
    request.keep_alive = not is_1_0
    if connection is not None and (is_1_0 or connection != b"keep-alive"):
        _settle_connection(request, connection, upgrade, is_1_0)
    if coding is not None:
        _settle_coding(request, coding, length, is_1_0)
    elif length is not None:
        _settle_length(request, length)
    if expect is not None and not is_1_0:
        if expect.lower() != b"100-continue":
            raise ProtocolError(417, "Unknown expectation in Expect")
        request.expect_continue = request.has_body
    if te is not None:
        request.accepts_trailers = b"trailers" in _tokens(te)
    return 0


def _combined(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The values of all fields of that name as one list (RFC 9110 section 5.3), None without any."""
    values = [value for key, value in headers if key == name]
    return b",".join(values) if values else None


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.lower().split(b",")]


def _settle_host(request: Request, host: bytes | None, authority: bytes | None, is_1_0: bool) -> int:
    if host is None:
        if not is_1_0:
            raise ProtocolError(400, "Host field missing")
        if authority is not None:
            request.headers.insert(0, (b"host", authority))
        return 0
    if not host:
        raise ProtocolError(400, "Host field is empty")  # RFC 9110 section 4.2.1
    if not _is_plain_host(host) and not is_authority(host):
        raise ProtocolError(400, "Invalid Host field")
    if authority is not None and authority != host:
        request.headers = [(name, authority if name == b"host" else value) for name, value in request.headers]
    return 0


def _is_plain_host(host: bytes) -> bool:
    """Whether ``host`` is a name or IPv4 address, perhaps with a port: nearly every Host there is."""
    buf = host
    plain = _PLAIN_HOST
    size = len(host)
    i = 0
    while i < size and plain[buf[i]]:
        i += 1
    if i == size:
        return True
    if i == 0 or buf[i] != _COLON:
        return False
    i += 1
    port = 0
    while i < size and 48 <= buf[i] <= 57 and port <= 65535:
        port = port * 10 + buf[i] - 48
        i += 1
    return i == size and port <= 65535


def _settle_connection(request: Request, connection: bytes, upgrade: bytes | None, is_1_0: bool) -> int:
    options = _tokens(connection)
    if b"close" in options:
        request.keep_alive = False
    elif is_1_0:
        request.keep_alive = b"keep-alive" in options
    if upgrade is not None and not is_1_0 and b"upgrade" in options:
        request.upgrade = upgrade.lower()
    return 0


def _settle_coding(request: Request, coding: bytes, length: bytes | None, is_1_0: bool) -> int:
    if is_1_0:
        raise ProtocolError(400, "Transfer-Encoding on HTTP/1.0")
    if length is not None:
        raise ProtocolError(400, "Content-Length together with Transfer-Encoding")
    codings = _tokens(coding)
    if codings[-1] != b"chunked" or codings.count(b"chunked") != 1 or b"" in codings:
        raise ProtocolError(400, "Transfer-Encoding must end in chunked, once")
    if len(codings) > 1:
        raise ProtocolError(501, "Transfer coding other than chunked")
    request.chunked = True
    request.has_body = True
    return 0


def _settle_length(request: Request, length: bytes) -> int:
    if not length.isdigit():
        raise ProtocolError(400, "Invalid Content-Length")
    if len(length) > _MOST_LENGTH_DIGITS:
        length = length.lstrip(b"0") or b"0"
        if len(length) > _MOST_LENGTH_DIGITS:
            raise ProtocolError(413, "Content-Length beyond any body")
    request.content_length = int(length)
    request.has_body = request.content_length > 0
    return 0
