"""What is repeated a thousand times leaves no memory behind, whatever went wrong each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.isolated.repeats import SCENARIOS

ROOT = Path(__file__).parents[2]
REPEATS = Path(__file__).with_name("repeats.py")

TIMES = 300
#: Blocks that a few more repetitions may take for reasons of the interpreter's own; a leak takes one each time.
SLACK = 100


def left_behind(scenario: str) -> tuple[int, int]:
    """Blocks of memory, and tasks."""
    environ = dict(os.environ)
    environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [environ.get("PYTHONPATH", "")]), str(ROOT)])
    command = [sys.executable, str(REPEATS), scenario, str(TIMES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ)
    assert done.returncode == 0, done.stderr
    blocks, tasks = map(int, done.stdout.split())
    return blocks, tasks


@pytest.mark.parametrize("scenario", [*SCENARIOS, "kept alive"])
def test_memory_is_given_back(scenario: str) -> None:
    blocks, tasks = left_behind(scenario)
    assert blocks < SLACK
    assert tasks == 0


def test_a_leak_would_be_seen() -> None:
    blocks, _ = left_behind("leaking")
    assert blocks >= TIMES
