"""The PROXY protocol, versions 1 and 2: a header before the first byte of a connection that tells who is behind a
proxy (HAProxy's "The PROXY protocol", sections 2.1 and 2.2).

From bytes to a ``ProxyHeader``. It takes no byte that belongs to what follows, so that a TLS handshake may follow.
Knows nothing of sockets (``inet_pton`` and ``inet_ntop`` only convert), and of trust only whether the peer may send a
header at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from pronghorn.wire.errors import ProtocolError

#: A TCP address, the path of a unix socket, or None where the header does not tell.
Address = tuple[str, int] | str | None

V1_SIGNATURE = b"PROXY "
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
#: Bytes of the longest version 1 header, its CRLF included.
V1_MOST = 107
#: Bytes of the longest version 2 header that is read; HAProxy's own buffer holds no more.
V2_MOST = 16384

_V2_FIXED = 16
_UNIX_PATH = 108
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,4}")

_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESS_SIZES = {_INET: 12, _INET6: 36, _UNIX: 2 * _UNIX_PATH}
_TLV_CRC32C = 0x03
_TLV_SSL = 0x20
_CLIENT_SSL = 0x01


class State(IntEnum):
    """How far a header is.

    ::

        SIGNATURE ─┬─ "PROXY " ─────► V1 ─┬─ its end ──► COMPLETE
            │      └─ 12 bytes, v2 ─► V2 ─┘
            └──anything else──► ABSENT            any ──ProtocolError──► FAILED
    """

    SIGNATURE = 0
    V1 = 1
    V2 = 2
    COMPLETE = 3
    ABSENT = 4
    FAILED = 5


@dataclass(frozen=True)
class ProxyHeader:
    """Who speaks to whom behind the proxy.

    ``version``: 1 or 2. ``family``: "TCP4", "TCP6", "UNIX", "UNKNOWN" when the proxy cannot tell, or "LOCAL" when it
    speaks for itself, as in a health check; the addresses are None for the last two. ``tls``: whether the client
    spoke TLS to the proxy (version 2 with the SSL extension).
    """

    version: int
    family: str
    source: Address = None
    destination: Address = None
    tls: bool = False


class ProxyHeaderParser:
    """Reads one header, fed in pieces of any size.

    ``mode``: "v1", "v2" or "auto", which takes both. ``allowed``: whether the peer may send a header.
    ``state`` State · ``header`` ProxyHeader once COMPLETE · ``early`` bytes taken that belong to what follows, when
    ABSENT.
    """

    def __init__(self, mode: str, *, allowed: bool = True) -> None:
        self._signatures = [
            signature
            for version, signature in (("v1", V1_SIGNATURE), ("v2", V2_SIGNATURE))
            if mode in (version, "auto")
        ]
        self._allowed = allowed
        self._taken = bytearray()
        self._size = _V2_FIXED
        self._error: ProtocolError | None = None
        self.state = State.SIGNATURE
        self.header: ProxyHeader | None = None
        self.early = b""

    def feed(self, data: bytes) -> int:
        """Return how many bytes of ``data`` were taken: all, until the header is decided.

        Raises ProtocolError, again on every later call: 403 for a peer that may not send a header, 400 for one that
        is broken or too long.
        """
        if self._error is not None:
            raise self._error
        if self.state >= State.COMPLETE:
            return 0
        before = len(self._taken)
        self._taken += data
        try:
            if self.state == State.SIGNATURE:
                self._recognise()
            if self.state == State.V1:
                self._read_v1()
            elif self.state == State.V2:
                self._read_v2()
        except ProtocolError as error:
            self._error = error
            self.state = State.FAILED
            raise
        if self.state == State.ABSENT:
            self.early = bytes(self._taken[:before])
            self._taken = bytearray()
            return 0
        return len(self._taken) - before

    def _recognise(self) -> None:
        for signature in self._signatures:
            if self._taken.startswith(signature):
                if not self._allowed:
                    raise ProtocolError(403, "PROXY header from a peer that is not in proxy_allow_ips")
                self.state = State.V1 if signature == V1_SIGNATURE else State.V2
                return
        if not any(signature.startswith(self._taken) for signature in self._signatures):
            self.state = State.ABSENT

    def _end(self, size: int, header: ProxyHeader) -> None:
        """The header is complete with the first ``size`` bytes taken; the others are given back."""
        del self._taken[size:]
        self.header = header
        self.state = State.COMPLETE

    # -- version 1 --------------------------------------------------------------------------------------------------

    def _read_v1(self) -> None:
        end = self._taken.find(b"\r\n", 0, V1_MOST)
        if end >= 0:
            self._end(end + 2, _parse_v1(bytes(self._taken[:end])))
        elif len(self._taken) >= V1_MOST:
            raise ProtocolError(400, "PROXY header is too long")

    # -- version 2 --------------------------------------------------------------------------------------------------

    def _read_v2(self) -> None:
        if len(self._taken) < _V2_FIXED:
            return
        if self._size == _V2_FIXED:
            # Known from here on; a header without addresses has this size and is complete below.
            self._size += int.from_bytes(self._taken[14:16], "big")
            if self._size > V2_MOST:
                raise ProtocolError(400, "PROXY header is too long")
        if len(self._taken) >= self._size:
            self._end(self._size, _parse_v2(bytes(self._taken[: self._size])))


def _parse_v1(line: bytes) -> ProxyHeader:
    """Section 2.1; ``line`` is without its CRLF."""
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":  # whatever follows is to be ignored
        return ProxyHeader(1, "UNKNOWN")
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise ProtocolError(400, "Invalid PROXY header")
    kind = AF_INET if words[1] == b"TCP4" else AF_INET6
    try:
        source, destination = (_v1_host(kind, word) for word in words[2:4])
        source_port, destination_port = (_v1_port(word) for word in words[4:6])
    except (OSError, ValueError):
        raise ProtocolError(400, "Invalid address in PROXY header") from None
    return ProxyHeader(1, words[1].decode("ascii"), (source, source_port), (destination, destination_port))


def _v1_host(family: int, word: bytes) -> str:
    return inet_ntop(family, inet_pton(family, word.decode("ascii")))


def _v1_port(word: bytes) -> int:
    if not _NUMBER.fullmatch(word) or int(word) > 65535:
        raise ValueError
    return int(word)


def _parse_v2(header: bytes) -> ProxyHeader:
    """Section 2.2; ``header`` has the length that it declares."""
    version, command = header[12] >> 4, header[12] & 0x0F
    family, transport = header[13] >> 4, header[13] & 0x0F
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProtocolError(400, "Invalid version or command in PROXY header")
    if command == _LOCAL:
        return ProxyHeader(2, "LOCAL")  # the rest is to be discarded unseen
    # A datagram (2) tells as much as a stream (1): a proxy that speaks HTTP/3 with the client has nothing else to say.
    if family > _UNIX or transport > 2:
        raise ProtocolError(400, "Invalid address family in PROXY header")
    if _UNSPEC in (family, transport):
        return ProxyHeader(2, "UNKNOWN")
    size = _ADDRESS_SIZES[family]
    block = header[_V2_FIXED : _V2_FIXED + size]
    if len(block) < size:
        raise ProtocolError(400, "PROXY header is too short for its addresses")
    tls = _read_extensions(header, _V2_FIXED + size)
    if family == _UNIX:
        return ProxyHeader(2, "UNIX", _path(block[:_UNIX_PATH]), _path(block[_UNIX_PATH:]), tls)
    width = (size - 4) // 2
    kind = AF_INET if family == _INET else AF_INET6
    source, destination = inet_ntop(kind, block[:width]), inet_ntop(kind, block[width : 2 * width])
    source_port, destination_port = int.from_bytes(block[-4:-2], "big"), int.from_bytes(block[-2:], "big")
    name = "TCP4" if family == _INET else "TCP6"
    return ProxyHeader(2, name, (source, source_port), (destination, destination_port), tls)


def _path(field: bytes) -> str:
    """A path that ends with a null byte or its field; one that begins with a null byte is of the abstract kind."""
    end = field.find(b"\0", 1)
    path = field if end < 0 else field[:end]
    return "" if path == b"\0" else path.decode("utf-8", "surrogateescape")


def _read_extensions(header: bytes, at: int) -> bool:
    """Check the TLVs from ``at`` on (section 2.2, CRC32C in 2.2.3); whether the client spoke TLS (2.2.6)."""
    tls = False
    is_summed = False
    while at < len(header):
        end = at + 3 + int.from_bytes(header[at + 1 : at + 3], "big")
        if at + 3 > len(header) or end > len(header):
            raise ProtocolError(400, "Invalid extension in PROXY header")
        kind, value = header[at], header[at + 3 : end]
        if kind == _TLV_CRC32C:
            if is_summed:  # each would sum the whole header again
                raise ProtocolError(400, "More than one checksum in PROXY header")
            is_summed = True
            if len(value) != 4 or crc32c(header[: at + 3] + b"\0\0\0\0" + header[end:]) != int.from_bytes(value, "big"):
                raise ProtocolError(400, "Wrong checksum in PROXY header")
        elif kind == _TLV_SSL:
            tls = bool(value) and bool(value[0] & _CLIENT_SSL)
        at = end
    return tls


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum of ``data`` (RFC 4960 appendix B)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC32C[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _crc32c_entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC32C = tuple(_crc32c_entry(byte) for byte in range(256))
