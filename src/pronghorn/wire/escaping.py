"""What a peer sent, as it may stand in a line of a log or on a terminal: without control characters."""

from __future__ import annotations

import re

#: C0, DEL and C1 (ECMA-48), of which U+009B begins a terminal's commands as ESC [ does; the line and paragraph
#: separators; what reverses the direction of text (Unicode Standard Annex 9); surrogates, which no stream can write.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_BREAKERS = re.compile(r"[\x00-\x1f\x7f]")


def escaped(text: str) -> str:
    """Return ``text`` with its control characters as ``\\xHH`` or ``\\uHHHH``, and all else as it is."""
    return text if text.isprintable() else _CONTROLS.sub(_code, text)


def in_one_line(text: str) -> str:
    """Return ``text``, bytes as latin-1, with its ASCII control characters as ``\\xHH``.

    Others stay, for they may be parts of UTF-8 that whoever reads it decodes.
    """
    return text if text.isprintable() else _LINE_BREAKERS.sub(_code, text)


def _code(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
