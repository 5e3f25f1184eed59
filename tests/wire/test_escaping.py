"""``wire/escaping``: control characters are shown, all else stays as it is."""

from __future__ import annotations

import unicodedata

from pronghorn.wire.escaping import escaped, in_one_line


def test_every_character() -> None:
    for code in range(0x110000):
        char = chr(code)
        kind = unicodedata.category(char)
        shown = escaped(char)
        if kind in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(char) in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        ):
            assert shown == (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
        elif code not in (0x200E, 0x200F):
            assert shown == char


def test_in_a_text() -> None:
    assert escaped("a\r\nb\x1b[1m\x9b") == r"a\x0d\x0ab\x1b[1m\x9b"
    assert escaped("caf\xe9 \xa0\xad \\x0a \U0001f98c") == "caf\xe9 \xa0\xad \\x0a \U0001f98c"


def test_bytes_of_utf_8_stay_together() -> None:
    path = "/\u0440\u20ac\U0001f98c\xff"
    as_latin_1 = path.encode().decode("latin-1")
    assert in_one_line(as_latin_1) == as_latin_1
    assert in_one_line(as_latin_1 + "\n\0\x7f\x1b") == as_latin_1 + r"\x0a\x00\x7f\x1b"
