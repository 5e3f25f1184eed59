"""A request leaves the garbage collector nothing to do: whatever it made is freed when the last reference goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.isolated.cycles import SCENARIOS

ROOT = Path(__file__).parents[2]
CYCLES = Path(__file__).with_name("cycles.py")

TIMES = 10_000


def unreachable(scenario: str, times: int) -> list[int]:
    """Objects that only the collector could free, for each way to start tasks."""
    environ = dict(os.environ)
    environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [environ.get("PYTHONPATH", "")]), str(ROOT)])
    command = [sys.executable, str(CYCLES), scenario, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "cycle"])
def test_the_collector_finds_nothing(scenario: str) -> None:
    times = TIMES if scenario == "get" else 500
    assert set(unreachable(scenario, times)) == {0}


def test_a_cycle_would_be_seen() -> None:
    assert min(unreachable("cycle", 100)) >= 100
