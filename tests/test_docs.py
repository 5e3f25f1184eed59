"""``docs/asgi.md`` names a test for each rule of ASGI, and each test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULES = range(1, 49)
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_PLACE = re.compile(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)")


def rows() -> dict[int, str]:
    found = _ROW.findall((ROOT / "docs/asgi.md").read_text())
    return {int(number): tests for number, _, tests, _ in found}


def test_every_rule_has_one_row() -> None:
    assert list(rows()) == [*RULES]


@pytest.mark.parametrize("number", RULES)
def test_the_tests_of_a_rule_exist(number: int) -> None:
    places = _PLACE.findall(rows()[number])
    assert places
    for file, names in places:
        text = (ROOT / file).read_text()
        for name in re.findall(r"`(\w+)`", names):
            numbered = re.fullmatch(r"test_rule_(\d\d)", name)
            pattern = rf"def test_rule_(?:\d\d_)*?{numbered.group(1)}_" if numbered else rf"def {name}\("
            assert re.search(pattern, text), (file, name)


def test_every_numbered_test_is_of_a_rule() -> None:
    for file in (ROOT / "tests").glob("*/test_*.py"):
        for numbers in re.findall(r"def test_rule_((?:\d\d_)+)", file.read_text()):
            assert {int(number) for number in numbers.split("_") if number} <= set(RULES), file
