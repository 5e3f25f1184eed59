"""Counts the work that uncompiled source does, in place of measuring its time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Dicts larger than this are not looked into; none that the tests count has more keys.
_MOST_KEYS = 200


class Work:
    """While it is active: lines executed in files below ``folder``, and bytes of text made there.

    ``lines`` int. ``made`` int: the sizes of all ``bytes`` and ``str`` that a local variable, or a dict that is one,
    came to hold: what a loop copies together again and again is counted each time.
    """

    def __init__(self, folder: str) -> None:
        self.lines = 0
        self.made = 0
        self._folder = folder

    @property
    def total(self) -> int:
        return self.lines + self.made

    def __enter__(self) -> Work:
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        return _Frame(self).line if frame.f_code.co_filename.startswith(self._folder) else None


class _Frame:
    """One call: what its variables held when its last line began."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._held: dict[str, Any] = {}

    def line(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "line":
            self._work.lines += 1
        if event in ("line", "return"):
            for name, value in frame.f_locals.items():
                if type(value) is dict and len(value) <= _MOST_KEYS:
                    for key, inner in value.items():
                        self._look(f"{name}[{key!r:.40}]", inner)
                else:
                    self._look(name, value)
        return self.line

    def _look(self, name: str, value: Any) -> None:
        if isinstance(value, (bytes, str)) and self._held.get(name) is not value:
            self._held[name] = value
            self._work.made += len(value)
