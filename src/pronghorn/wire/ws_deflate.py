"""Compression of WebSocket messages: the permessage-deflate extension (RFC 7692), over zlib.

It owns the negotiation (section 7.1) and the two streams of a connection (7.2): ``Inflater`` works by the
piece, for a few bytes may inflate to a thousand times as many, and stops at the limit it is given, before
anything beyond it is inflated; ``Deflater`` takes memory with the first message that is worth it. It knows
frames only as payloads, and nothing of text.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pronghorn.wire.ws_vocabulary import CloseCode, FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pronghorn.wire.ws_handshake import Extension

EXTENSION = "permessage-deflate"
MOST_WINDOW_BITS = 15
#: zlib cannot deflate without a wrapper for a window of 2^8 bytes. Nine bits serve a peer that asked for
#: eight: zlib keeps 262 bytes of lookahead out of its window, so that no match reaches back further than 250
#: bytes.
LEAST_ZLIB_WINDOW_BITS = 9

_WINDOW_BITS = {str(bits): bits for bits in range(8, MOST_WINDOW_BITS + 1)}
#: The empty stored block that ends a flush; not sent (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
#: An empty message, which zlib would not flush a second time (section 7.2.3.6).
_EMPTY = b"\x00"
#: A final block (section 7.2.3.4) costs a new stream: more of them is an attack.
_MOST_FINAL_BLOCKS = 64
#: What zlib is given at once: it copies what it has not taken each time that it stops.
_PIECE = 16384
_SYNC_FLUSH = zlib.Z_SYNC_FLUSH
_decompressobj = zlib.decompressobj
_compressobj = zlib.compressobj
_ZlibError = zlib.error


@dataclass(frozen=True)
class DeflateRules:
    """What this server wants of permessage-deflate.

    ``..._no_context_takeover``: each message is compressed by itself: no memory kept between them, less
    compression. ``..._max_window_bits``: 9 to 15, a window is 2^bits bytes; the client's is asked for where
    the client can limit it. ``level``: 0 to 9, ``mem_level``: 1 to 9, zlib's. ``threshold``: bytes under
    which a message is sent as it is.

    The defaults take 38 KiB to deflate and 11 KiB to inflate, 39 where the client cannot limit its window.
    Level 3 takes two thirds of the time of zlib's default level for a tenth more bytes (JSON); and a message
    that fits any packet gains nothing from being smaller.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12
    level: int = 3
    mem_level: int = 5
    threshold: int = 128

    def __post_init__(self) -> None:
        for name, least, most in (
            ("server_max_window_bits", LEAST_ZLIB_WINDOW_BITS, MOST_WINDOW_BITS),
            ("client_max_window_bits", LEAST_ZLIB_WINDOW_BITS, MOST_WINDOW_BITS),
            ("level", 0, 9),
            ("mem_level", 1, 9),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {getattr(self, name)}")
        if self.threshold < 0:
            raise ValueError(f"threshold must not be negative, as {self.threshold} is")


@dataclass(frozen=True)
class Deflate:
    """What client and server agreed on.

    ``header``: bytes, the value of Sec-WebSocket-Extensions in the response. ``..._max_window_bits``: 8 to
    15.
    """

    rules: DeflateRules
    header: bytes
    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int

    def inflater(self) -> Inflater:
        """Return the inflater of a connection."""
        return Inflater(self.client_max_window_bits, not self.client_no_context_takeover)

    def deflater(self) -> Deflater:
        """Return the deflater of a connection."""
        return Deflater(
            self.server_max_window_bits,
            not self.server_no_context_takeover,
            self.rules.level,
            self.rules.mem_level,
            self.rules.threshold,
        )


def negotiate(offers: Iterable[Extension], rules: DeflateRules) -> Deflate | None:
    """Return the agreement on the first offer that can be taken; the client lists them as it prefers them.

    None: there is no such offer, and messages go uncompressed (RFC 7692 section 5.1).
    """
    for offer in offers:
        if offer.name.lower() == EXTENSION:
            asked = _read_parameters(offer)
            if asked is not None:
                return _agree(asked, rules)
    return None


def _read_parameters(offer: Extension) -> dict[str, int] | None:
    """Return the parameters of an offer, or None for one to decline (RFC 7692 section 7.1)."""
    asked: dict[str, int] = {}
    for name, value in offer.parameters:
        if name in asked:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            asked[name] = 1
        elif name == "client_max_window_bits" and value is None:
            asked[name] = MOST_WINDOW_BITS
        elif name in ("server_max_window_bits", "client_max_window_bits") and value in _WINDOW_BITS:
            asked[name] = _WINDOW_BITS[value]
        else:
            return None
    return asked


def _agree(asked: dict[str, int], rules: DeflateRules) -> Deflate:
    """Answer the parameters of an offer (RFC 7692 section 7.1.1 and 7.1.2)."""
    server_alone = "server_no_context_takeover" in asked or rules.server_no_context_takeover
    client_alone = "client_no_context_takeover" in asked or rules.client_no_context_takeover
    server_bits = min(asked.get("server_max_window_bits", MOST_WINDOW_BITS), rules.server_max_window_bits)
    client_bits = MOST_WINDOW_BITS
    answer = [EXTENSION]
    if server_alone:
        answer.append("server_no_context_takeover")
    if client_alone:
        answer.append("client_no_context_takeover")
    if "server_max_window_bits" in asked or server_bits < MOST_WINDOW_BITS:
        answer.append(f"server_max_window_bits={server_bits}")
    # A client that did not say that it understands this parameter must not be sent it.
    if "client_max_window_bits" in asked:
        client_bits = min(asked["client_max_window_bits"], rules.client_max_window_bits)
        if client_bits < MOST_WINDOW_BITS:
            answer.append(f"client_max_window_bits={client_bits}")
    return Deflate(rules, "; ".join(answer).encode(), server_alone, client_alone, server_bits, client_bits)


class Inflater:
    """Inflates the messages of one connection, in order (RFC 7692 section 7.2.2).

    ``window_bits``: 8 to 15, the client's. ``takeover``: whether a message may refer to the ones before it.
    ``data``: bytes, the message, once ``go_on`` has come to its end; None before.
    """

    def __init__(self, window_bits: int = MOST_WINDOW_BITS, takeover: bool = True) -> None:
        self._window_bits = max(window_bits, LEAST_ZLIB_WINDOW_BITS)
        self._takeover = takeover
        self._stream: zlib._Decompress | None = None
        self._payload: bytes | bytearray = b""
        self._position = 0
        self._rest = b""
        self._most = 0
        self._size = 0
        self._pieces: list[bytes] = []
        self._final_blocks = 0
        self.data: bytes | None = None

    def inflate(self, payload: bytes | bytearray, most: int) -> bytes:
        """Return what a message inflates to, in one go; otherwise as ``begin`` and ``go_on``."""
        self.begin(payload, most)
        while self.data is None:
            self.go_on(1 << 20)
        data, self.data = self.data, None
        return data

    def begin(self, payload: bytes | bytearray, most: int) -> None:
        """Take the next message in hand. ``payload``: of all its frames. ``most``: bytes of it, -1 for no limit."""
        self._payload = payload
        self._position = -1
        self._most = most
        self._size = 0
        self._final_blocks = 0
        self.data = None

    def go_on(self, budget: int) -> int:
        """Inflate more of the message in hand; return the bytes that were read and made, about ``budget`` at most.

        No more than one byte beyond the limit is inflated. Raises ``FrameError``: 1009 over the limit, 1007
        for what is not deflate data, 1008 for blocks made to cost time. Nothing can be inflated after that.
        """
        spent = 0
        try:
            while spent < budget and self.data is None:
                spent += self._inflate_piece(budget - spent)
        except _ZlibError:
            raise FrameError(CloseCode.INVALID_DATA, "compressed message not valid") from None
        return spent

    def _inflate_piece(self, budget: int) -> int:
        piece = self._rest or self._next_piece()
        stream = self._stream
        if stream is None:
            stream = self._stream = _decompressobj(-self._window_bits)
        room = budget
        if 0 <= self._most < self._size + room:
            room = self._most + 1 - self._size
        inflated = stream.decompress(piece, room)
        made = len(inflated)
        if made:
            self._pieces.append(inflated)
            self._size += made
            if 0 <= self._most < self._size:
                raise FrameError(CloseCode.MESSAGE_TOO_BIG, "message too big")
        if stream.eof:
            self._rest = stream.unused_data
            self._pass_final_block()
        else:
            self._rest = stream.unconsumed_tail
            # Where all that was asked for came, more may be ready, though nothing of the input is left.
            if not self._rest and made < room and self._position == len(self._payload):
                self._end()
        return made + len(piece) - len(self._rest)

    def _next_piece(self) -> bytes | bytearray:
        """Return what follows of the payload; behind its end the tail, and then nothing."""
        payload = self._payload
        size = len(payload)
        start = self._position
        if start < 0:
            start = 0
        elif start == size:
            return b""
        self._position = min(size, start + _PIECE)
        if self._position < size:
            return payload[start : start + _PIECE]
        return (payload[start:] if start else payload) + _TAIL

    def _pass_final_block(self) -> None:
        """Whoever sends a final block has ended its stream, and starts another."""
        self._stream = None
        self._final_blocks += 1
        # Only the tail: the message ended with its final block, without the empty block of section 7.2.3.4.
        if self._position == len(self._payload) and (not self._rest or self._rest == _TAIL):
            self._end()
        elif self._final_blocks >= _MOST_FINAL_BLOCKS:
            raise FrameError(CloseCode.POLICY_VIOLATION, "compressed message in too many pieces")

    def _end(self) -> None:
        pieces = self._pieces
        self.data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._payload = b""
        self._position = 0
        self._rest = b""
        if not self._takeover:
            self._stream = None


class Deflater:
    """Compresses the messages of one connection, in order (RFC 7692 section 7.2.1).

    ``window_bits``: 8 to 15. ``takeover``: whether a message may refer to the ones before it; if not, nothing
    is kept between them. ``threshold``: the length under which ``ws_writer`` does not ask. The rest is
    zlib's.
    """

    def __init__(
        self,
        window_bits: int = MOST_WINDOW_BITS,
        takeover: bool = True,
        level: int = 3,
        mem_level: int = 5,
        threshold: int = 0,
    ) -> None:
        self._window_bits = max(window_bits, LEAST_ZLIB_WINDOW_BITS)
        self._takeover = takeover
        self._level = level
        self._mem_level = mem_level
        self._stream: zlib._Compress | None = None
        self.threshold = threshold

    def deflate(self, message: bytes) -> bytes:
        """Return the payload of the one frame, marked RSV1, that carries ``message``."""
        if not message:
            return _EMPTY
        stream = self._stream
        if stream is None:
            stream = _compressobj(self._level, zlib.DEFLATED, -self._window_bits, self._mem_level)
            if self._takeover:
                self._stream = stream
        head = stream.compress(message)
        tail = stream.flush(_SYNC_FLUSH)
        return (head + tail if head else tail)[:-4]
