"""``docs/operations.md`` explains every line that the source can log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = frozenset(("debug", "info", "warning", "error", "exception", "critical"))


def logged() -> Iterator[str]:
    """How each message in the source begins: the first words of its first part without a placeholder."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in LEVELS or not ast.unparse(node.func.value).endswith("log"):
                continue
            # What a peer can cause has the peer before the message.
            message = node.args[1 if ast.unparse(node.func.value).endswith("peer_log") else 0]
            if isinstance(message, ast.Constant) and isinstance(message.value, str):
                parts = [part.strip(" .,:;()") for part in re.split(r"%[.\d]*[a-z]", message.value.partition("\n")[0])]
                told = [part for part in parts if " " in part]  # none in "%s" alone: the line is another's
                if told:
                    yield " ".join(told[0].split()[:4]).rstrip(":,;")



@pytest.mark.parametrize("message", sorted(set(logged())))
def test_it_is_explained(message: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("## What a log line means")[2]
    assert message in text
