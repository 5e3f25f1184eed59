"""One response head, whichever HTTP version carries it: what an application sends, checked once.

A ``Response`` cannot hold what must not reach the wire: a status that is none, a field name that is no token, a value
with CR, LF or NUL (RFC 9110 sections 5.1, 5.5, 15; header injection ends here). Fields that speak of the connection
rather than the message are the protocol's to write and are left out (RFC 9110 section 7.6.1).
"""

from __future__ import annotations

from collections.abc import Iterable

from pronghorn.wire import chars
from pronghorn.wire.plain import plain_bytes

_FIELD_NAME = chars.FIELD_NAME
_FIELD_VALUE = chars.FIELD_VALUE

#: Statuses that end with the head whatever the application sends (RFC 9110 sections 15.3.5, 15.4.5).
_NO_CONTENT = 204
_NOT_MODIFIED = 304
_RESET_CONTENT = 205


class Response:
    """A response head as the application gave it.

    ``status`` int, 200–999 · ``headers`` list of (name, value) bytes, without connection-specific fields ·
    ``content_length`` int, -1 when not given · ``close`` bool, the application wants the connection closed ·
    ``has_date``, ``has_server`` bool · ``trailers`` bool, announced by the application.

    Raises TypeError for a wrong Python type and ValueError for an illegal value; the message names the field.
    """

    __slots__ = ("close", "content_length", "has_date", "has_server", "headers", "status", "trailers")

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], trailers: bool = False) -> None:
        self.take(status, headers)
        self.trailers = trailers

    def take(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """What ``__init__`` does, as ``HttpExchange.open``."""
        self.status = status
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length = -1
        self.close = False
        self.has_date = False
        self.has_server = False
        self.trailers = False
        for pair in headers:
            try:
                name, value = pair
            except (TypeError, ValueError):
                raise TypeError(f"header {pair!r:.80} is not a pair of bytes") from None
            if type(name) is not bytes or type(value) is not bytes:
                name, value = pair = _plain_field(name, value)
            check_field(name, value)
            if self._takes(name, value):
                self.headers.append(pair if type(pair) is tuple else (name, value))

    def _takes(self, name: bytes, value: bytes) -> bool:
        """Note what a field means for the framing; False leaves it to the protocol's writer."""
        size = len(name)
        if size == 4:
            if name.lower() == b"date":
                self.has_date = True
        elif size == 6:
            if name.lower() == b"server":
                self.has_server = True
        elif size == 10:
            lower = name.lower()
            if lower == b"connection":
                self.close = self.close or b"close" in [option.strip() for option in value.lower().split(b",")]
                return False
            return lower != b"keep-alive"
        elif size == 14:
            if name == b"content-length" or name.lower() == b"content-length":
                return self._take_length(value)
        elif size == 16:
            return name.lower() != b"proxy-connection"
        elif size == 17:
            return name.lower() != b"transfer-encoding"
        return True

    def _take_length(self, value: bytes) -> bool:
        if self.content_length >= 0:
            raise ValueError("more than one content-length")
        buf = value
        size = len(value)
        length = 0
        i = 0
        while i < size and 48 <= buf[i] <= 57:
            length = length * 10 + buf[i] - 48
            i += 1
        if i < size or not 0 < size <= 18:
            raise ValueError(f"invalid content-length {value!r:.40}")
        self.content_length = length
        return False

    @property
    def has_no_content(self) -> bool:
        """Whether the status forbids content."""
        return self.status in (_NO_CONTENT, _NOT_MODIFIED, _RESET_CONTENT)


def _plain_field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    try:
        return plain_bytes(name), plain_bytes(value)
    except TypeError:
        raise _no_field(name, value) from None


def _no_field(name: object, value: object) -> TypeError:
    kinds = f"{type(name).__name__} and {type(value).__name__}"
    return TypeError(f"header name and value must be bytes, not {kinds}: {name!r:.40}, {value!r:.40}")


def check_field(name: bytes, value: bytes) -> int:
    """Raise TypeError or ValueError unless ``name: value`` may be sent as a field line."""
    if type(name) is not bytes or type(value) is not bytes:
        name, value = _plain_field(name, value)
    buf = name
    table = _FIELD_NAME
    size = len(name)
    i = 0
    while i < size and table[buf[i]]:
        i += 1
    if i < size or size == 0:
        raise ValueError(f"invalid header name {name!r:.60}")
    buf = value
    table = _FIELD_VALUE
    size = len(value)
    i = 0
    while i < size and table[buf[i]]:
        i += 1
    if i < size:
        raise ValueError(f"invalid character in the value of header {name!r:.60}")
    return 0
