"""Fields that are dropped for the underscore in their name (``header_map``): each name is said once."""

from __future__ import annotations

from typing import Any

from pronghorn.wire.errors import shown

#: Names that are said; whoever sends more of them tries names out.
MOST_NAMES = 64


class DroppedFields:
    """Tells ``log`` of each name that it is called with, once in the life of a worker."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._names: set[bytes] = set()

    def __call__(self, name: bytes) -> None:
        if name in self._names or len(self._names) >= MOST_NAMES:
            return
        self._names.add(name)
        self._log.info(
            "Field %s is dropped, for its name has an underscore (header_map=drop); this is said once per name%s",
            shown(name),
            "" if len(self._names) < MOST_NAMES else f", and of no more than {MOST_NAMES} names",
        )
