"""A process that has served ends without a word: no warning, no "never awaited", no "Exception ignored"."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVES = Path(__file__).with_name("serves.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``serves.py`` with all warnings as errors, in asyncio's and Python's development mode."""
    environ = dict(os.environ)
    environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [environ.get("PYTHONPATH", "")]), str(ROOT)])
    environ.pop("PYTHONWARNINGS", None)
    command = [sys.executable, "-X", "dev", "-W", "error", str(SERVES)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, env=environ)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("scenario", ["one", "many", "left", "stuck", "frozen"])
def test_a_served_process_ends_silently(loop: str, scenario: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = run(loop, scenario)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["served"]
    assert done.returncode == 0
