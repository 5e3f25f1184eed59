"""Percent-decoding, which the standard library knows as well."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from pronghorn.wire.percent import unquoted

PIECES = st.sampled_from([b"a", b"%", b"%4", b"%41", b"%4g", b"%g1", b"%00", b"%fF", b"%25", b"\xff", b"/"])


@given(st.lists(PIECES).map(b"".join))
@example(b"")
@example(b"%")
@example(b"%4")
@example(b"%%41")
@example(b"%2541")
def test_as_the_standard_library(data: bytes) -> None:
    assert unquoted(data) == unquote_to_bytes(data)


def test_what_needs_no_decoding_is_not_copied() -> None:
    data = b"/plain/path"
    assert unquoted(data) is data
