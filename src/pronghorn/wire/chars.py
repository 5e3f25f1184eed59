"""Character classes of the HTTP grammar as 256-entry tables, indexed by byte value.

A zero means "not in this class". Tables are bytes so that compiled code reads them through a pointer and pure
Python by index. RFC 9110 section 5.6.2 (token), RFC 9112 section 3 (request line), section 5 (field lines).
"""

from __future__ import annotations

from string import ascii_letters, digits

TOKEN = frozenset((ascii_letters + digits + "!#$%&'*+-.^_`|~").encode())
HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_UNRESERVED_AND_SUB_DELIMS = frozenset((ascii_letters + digits + "-._~!$&'()*+,;=").encode())


def table(allowed: frozenset[int], marks: dict[int, int] | None = None) -> bytes:
    """Return a table with 1 for each byte of ``allowed`` and, where ``marks`` says so, another non-zero value."""
    marks = marks or {}
    return bytes(marks.get(byte, 1) if byte in allowed else 0 for byte in range(256))


def members(of_table: bytes) -> bytes:
    """Return the bytes of the class that ``of_table`` describes."""
    return bytes(byte for byte in range(256) if of_table[byte])


#: A method: any token.
METHOD = table(TOKEN)

#: A field name: any token; 2 marks the underscore, which CGI-style names cannot tell from a hyphen.
UNDERSCORE_MARK = 2
FIELD_NAME = table(TOKEN, {ord("_"): UNDERSCORE_MARK})

#: A field value, also as sent by an application: HTAB, SP, VCHAR and obs-text. No other control character.
FIELD_VALUE = table(frozenset([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]))

#: A request target: visible ASCII but ``#``, for a fragment is never sent. 2 marks what percent-decoding has to look
#: at; 0 at ``?`` ends the path.
DECODE_MARK = 2
QUERY = table(frozenset(range(0x21, 0x7F)) - {ord("#")})
PATH = table(frozenset(range(0x21, 0x7F)) - {ord("#"), ord("?")}, {ord("%"): DECODE_MARK})

#: A host with optional port (RFC 3986 section 3.2.2, 3.2.3), IP literals in brackets included.
HOST = table(_UNRESERVED_AND_SUB_DELIMS | frozenset(b"%:[]"))

#: The value of a hexadecimal digit plus one, so that zero still means "not a digit".
HEX_VALUE = bytes(int(chr(byte), 16) + 1 if byte in HEX_DIGITS else 0 for byte in range(256))
