"""docs/settings.md tells of every option and every setting, and the tests that it names exist."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS

from pronghorn.settings import Options

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "settings.md").read_text(encoding="utf-8")
#: Rows of tables of settings: (names, what is done, tests).
ROWS = [
    (re.findall(r"`(\w+)`", cells[0]), cells[1], re.findall(r"`([\w/]+)::(\w+)`", cells[-1]))
    for cells in (line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `"))
    if len(cells) > 1
]
NAMED = [(name, test) for _, _, tests in ROWS for name, test in tests]


def test_every_setting_of_gunicorn_has_a_row() -> None:
    told = {name for names, _, _ in ROWS for name in names}
    assert {setting.name for setting in KNOWN_SETTINGS} - told == set()


def test_every_option_has_a_row() -> None:
    told = {name for names, _, _ in ROWS for name in names[:1]}
    assert {option.name for option in dataclasses.fields(Options)} - told == set()


def test_no_setting_has_two_rows() -> None:
    names = [name for names, _, tests in ROWS if tests for name in names]
    assert sorted(names) == sorted(set(names))


def test_tests_are_named() -> None:
    assert len(NAMED) > 50, "or the table is read wrongly"


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)), ids=lambda value: value)
def test_a_named_test_exists(file: str, name: str) -> None:
    path = TESTS / f"{file}.py"
    assert path.is_file()
    names = {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if hasattr(node, "name")}
    assert name in names
