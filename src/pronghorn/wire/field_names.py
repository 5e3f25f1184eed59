"""Field names as peers write them, in whatever case, to the one lower-case object of each that is common.

A common name is found by its length and three of its bytes and then compared, which takes no hash and makes no object.
"""

from __future__ import annotations

from pronghorn.wire.http1_vocabulary import NAMES

#: Sets the bit that tells small letters from capitals. Of the bytes of a name no other two differ in it alone and are
#: both in a common name, so that it folds case exactly where one side is a common name.
_SMALL = 0x20
_SLOTS = 1024


def known_name(data: bytes, start: int, end: int) -> bytes | None:
    """Return the common name that ``data[start:end]``, a token and not empty, is but for case; None if it is none."""
    buf = data
    size = end - start
    known = _TABLE[_slot(size, buf[start] | _SMALL, buf[end - 1 - (size >> 2)] | _SMALL, buf[end - 1] | _SMALL)]
    if known is None or len(known) != size:
        return None
    name = known
    i = 0
    while i < size and (buf[start + i] | _SMALL) == name[i]:
        i += 1
    return known if i == size else None


def _slot(size: int, first: int, later: int, last: int) -> int:
    """Factors found by trying, under which no two names that are frequent meet."""
    return (size * 503 + first * 440 + later * 493 + last * 229) & (_SLOTS - 1)


def _table() -> list[bytes | None]:
    """The common names by slot. Where two share one the first has it; the other is as good as uncommon."""
    table: list[bytes | None] = [None] * _SLOTS
    for name in NAMES:
        slot = _slot(len(name), name[0] | _SMALL, name[-1 - (len(name) >> 2)] | _SMALL, name[-1] | _SMALL)
        if table[slot] is None:
            table[slot] = name
    return table


_TABLE = _table()
