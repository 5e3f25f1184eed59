"""Field values that go over several lines: obs-fold, where Gunicorn's setting permits it (RFC 9112 section 5.2)."""

from __future__ import annotations


class Folds:
    """The folded ones among ``fields``. Their values are put there by ``finish``: each line may bring more of one,
    and to make it anew for each would cost the square of its size."""

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields
        self._values: list[tuple[int, bytearray]] = []

    def _value(self) -> bytearray:
        """The value of the last field so far."""
        index = len(self._fields) - 1
        if not self._values or self._values[-1][0] != index:
            self._values.append((index, bytearray(self._fields[index][1])))
        return self._values[-1][1]

    def size(self) -> int:
        """Return the size of the last field so far, its name included."""
        return len(self._fields[-1][0]) + len(self._value())

    def add(self, line: bytes) -> None:
        """Take in a line that goes on with the last field; a fold is one space, whatever surrounds it."""
        value = self._value()
        part = line.strip(b" \t\r\n")
        if value and part:
            value += b" "
        value += part

    def finish(self) -> None:
        """Put the whole values into the fields."""
        for index, value in self._values:
            self._fields[index] = (self._fields[index][0], bytes(value))
