"""Nothing that an application does from Python ends its process: at worst it gets an exception."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PRODS = Path(__file__).with_name("prods.py")


@pytest.mark.parametrize("what", ["blank", "functions", "http", "websocket"])
def test_whatever_is_called_the_process_goes_on(what: str, tmp_path: Path) -> None:
    environ = dict(os.environ)
    paths = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    environ["PYTHONPATH"] = os.pathsep.join([*map(os.path.abspath, paths), str(ROOT)])
    command = [sys.executable, "-W", "ignore", str(PRODS), what]
    given: dict[str, Any] = {"env": environ, "cwd": tmp_path, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, **given)
    last = done.stdout.splitlines()[-3:]
    assert done.returncode == 0, (last, done.stderr[-3000:])
    assert last[-1] == "done"
