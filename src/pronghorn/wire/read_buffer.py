"""Bytes that were fed to a parser and not consumed, at a cost that is linear in their number however they come.

A line of which a byte arrives at a time is neither copied nor looked at again for each: the parser says which bytes
decide nothing about it (``wait``), and until another one comes, or too many, there is nothing to parse.
"""

from __future__ import annotations

_NOTHING = b""
_MOST_SHOWN = 256


class ReadBuffer:
    """``data[position:]`` is to be parsed; what was fed later waits behind it until ``take_more``.

    ``waiting``: the parser has seen all of ``data`` and found nothing complete in it.
    """

    __slots__ = ("_fed", "_filler", "_more", "_most", "data", "position", "waiting")

    def __init__(self) -> None:
        self.data = _NOTHING
        self.position = 0
        self.waiting = False
        self._more = bytearray()
        self._fed = 0
        self._filler = _NOTHING
        self._most = 0

    def size(self) -> int:
        """Return the number of bytes fed and not consumed."""
        return self._fed - self.position

    def beginning(self) -> bytes:
        """Return the first bytes that were fed and not consumed, enough to show what they are."""
        start = self.position
        return self.data[start : start + _MOST_SHOWN] + bytes(self._more[:_MOST_SHOWN])

    def feed(self, data: bytes) -> int:
        """Append ``data``; return the number of bytes fed and not consumed."""
        if self.position == self._fed:
            self.data = data
            self.position = 0
            self._fed = len(data)
            return self._fed
        self._more += data
        self._fed += len(data)
        size = self._fed - self.position
        if self._filler and (size > self._most or data.translate(None, self._filler)):
            self._filler = _NOTHING
        return size

    def release(self) -> bool:
        """Whether all that was fed is consumed; then none of it is kept."""
        if self.position < self._fed:
            return False
        if self._fed:
            self.data = _NOTHING
            self.position = 0
            self._fed = 0
        return True

    def wait(self, filler: bytes, most: int) -> int:
        """The line at ``position`` is not complete, and will not be with bytes of ``filler`` alone.

        ``most``: the number of bytes at which the line has to be looked at nevertheless. Returns 0.
        """
        self.waiting = True
        self._filler = filler
        self._most = most
        return 0

    def is_undecided(self) -> bool:
        """Whether nothing came, since ``wait``, that could complete the line or spoil it."""
        return bool(self._filler) or not self._more

    def take_more(self) -> bool:
        """Put what waits behind ``data`` there; False when there is nothing. What is consumed is not kept."""
        if not self._more:
            self.release()
            return False
        self.data = b"".join((self.data[self.position :], self._more))
        self.position = 0
        self._fed = len(self.data)
        self.waiting = False
        self._filler = _NOTHING
        self._more = bytearray()
        return True

    def take_all(self) -> bytes:
        """Return all that was fed and not consumed, and forget it."""
        self.take_more()
        rest = self.data[self.position :]
        self.clear()
        return rest

    def clear(self) -> int:
        """Forget all that was fed."""
        self.data = _NOTHING
        self.position = 0
        self._fed = 0
        self.waiting = False
        self._filler = _NOTHING
        if self._more:
            self._more = bytearray()
        return 0
