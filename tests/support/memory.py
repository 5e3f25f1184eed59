"""What is allocated and still held, in bytes of this process: a bound on bytes received says little of objects."""

from __future__ import annotations

import gc
import tracemalloc
from types import TracebackType


class Held:
    """Measures while it is entered. ``bytes``: what Python has allocated since, and not yet freed, garbage left out.

    Counts objects of either build; what C code takes from the system by itself (zlib's windows) it does not see.
    """

    def __enter__(self) -> Held:
        gc.collect()
        tracemalloc.start(1)
        self._before = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tracemalloc.stop()

    @property
    def bytes(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._before
