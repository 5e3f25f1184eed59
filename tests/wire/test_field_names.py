"""``wire/field_names``: common names are found whatever their case, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pronghorn.wire.chars import TOKEN
from pronghorn.wire.field_names import known_name
from pronghorn.wire.http1_vocabulary import NAMES

tokens = st.binary(min_size=1, max_size=40).filter(lambda name: set(name) <= TOKEN) | st.sampled_from(NAMES).flatmap(
    lambda name: st.builds(
        lambda at, byte: name[:at] + bytes([byte]) + name[at + 1 :],
        st.integers(0, len(name) - 1),
        st.sampled_from(sorted(TOKEN)),
    )
)


def found(name: bytes) -> bytes | None:
    return known_name(b"x: y\r\n" + name + b": z", 6, 6 + len(name))


def test_a_common_name_is_one_object() -> None:
    """A new name that does not come back shares its slot: find other factors, or do without it."""
    for name in NAMES:
        if name != b"x-forwarded-port":
            for spelling in (name, name.upper(), name.title()):
                assert found(spelling) is name, spelling


@given(tokens)
def test_what_is_found_is_the_name_in_lower_case(name: bytes) -> None:
    assert found(name) in (name.lower(), None)


@pytest.mark.parametrize("name", [b"h", b"hos", b"hosts", b"hostx", b"x-unheard-of", b"~", b"host_", b"user_agent"])
def test_other_names(name: bytes) -> None:
    assert found(name) is None
