"""From a message as it came to what an application gets: inflated, decoded, by the piece and within its bounds.

A message is kept as it came until somebody asks for it, for a few bytes can become a thousand times as many. It
knows neither who asks nor how often: the budget is an argument. Sources: RFC 7692 section 7.2.2, RFC 6455 section 8.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pronghorn.wire.ws_vocabulary import CloseCode, FrameError

if TYPE_CHECKING:
    from pronghorn.wire.ws_deflate import Inflater

#: What any compressed message may inflate to, within the limit of messages; beyond, it is a question of the ratio.
FREELY_INFLATED = 1 << 20
_FREELY_INFLATED = FREELY_INFLATED


class Unpacker:
    """Unpacks the messages of one connection, in order.

    ``is_busy``: whether a message is in hand that is not complete. Of the last one that is: ``text``: str, or
    ``data``: bytes where it is not text.
    """

    def __init__(self, max_size: int = 0, ratio: int = 0, inflater: Inflater | None = None) -> None:
        """``max_size``: bytes of a message, inflated; ``ratio``: how many times its compressed size it may inflate to
        where that is more than 1 MiB; 0 for no limit. ``inflater``: None where messages are not compressed."""
        self._max_size = max_size
        self._ratio = ratio
        self._inflater = inflater
        self._payload: bytes | bytearray | None = None
        self._is_text = False
        self.is_busy = False
        self.text: str | None = None
        self.data: bytes | None = None

    def begin(self, payload: bytes | bytearray, is_text: bool, is_deflated: bool) -> None:
        """Take the next message in hand: the payload of all its frames."""
        self.is_busy = True
        self.text = None
        self.data = None
        self._is_text = is_text
        self._payload = None
        if not is_deflated:
            self._payload = payload
            return
        assert self._inflater is not None  # the parser refuses RSV1 without it
        most = self._max_size
        if self._ratio:
            at_ratio = max(_FREELY_INFLATED, len(payload) * self._ratio)
            if most == 0 or at_ratio < most:
                most = at_ratio
        self._inflater.begin(payload, most or -1)

    def go_on(self, budget: int) -> int:
        """Do more of the work; return the bytes that were read and made, which a text at its end may take over
        ``budget``. Raises ``FrameError``: 1007 for text or compressed data that is not valid, 1008, 1009."""
        data = self._payload
        spent = 0
        if data is None:
            inflater = self._inflater
            assert inflater is not None
            spent = inflater.go_on(budget)
            data = inflater.data
            if data is None:
                return spent
            inflater.data = None
        self._payload = None
        self.is_busy = False
        if not self._is_text:
            self.data = bytes(data)
            return spent
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise FrameError(CloseCode.INVALID_DATA, "text not valid UTF-8") from None
        return spent + len(data)

    def release(self) -> None:
        """Let go of the last message."""
        self.text = None
        self.data = None
