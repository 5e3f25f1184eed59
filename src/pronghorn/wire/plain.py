"""Values of subclasses as plain ones, before they are checked: what is checked has to be what is used.

A subclass may say one thing when it is looked at and another when it is used, or run code of its own in between. These
read what Python itself holds, and run no code of the subclass. Each raises TypeError for what is of another type.
"""

from __future__ import annotations

from typing import Any


def plain_int(value: Any) -> int:
    return int.__pos__(value)


def plain_str(value: Any) -> str:
    return str.__str__(value)


def plain_bytes(value: Any) -> bytes:
    return bytes.__getitem__(value, slice(None))
