"""Installs the sdist with and without what it takes to compile it, and serves with each: ``tox -e install``.

Each environment is new, gets the sdist and nothing else from pip, and is asked once over HTTP.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path

from tests.support.wait import wait_until
from tests.test_install import WITHOUT_PYTHON_H

ROOT = Path(__file__).resolve().parent.parent
APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""


def build_sdist(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "build", "-q", "--sdist", "--outdir", str(folder), str(ROOT)], check=True)
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def install(sdist: Path, folder: Path, environment: dict[str, str]) -> Path:
    """Install into a new environment in ``folder``; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # Neither found in pip's cache nor left there: the environments differ in what they can build.
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PRONGHORN_", "PYTHONPATH"))}
    subprocess.run([*pip, str(sdist)], env={**inherited, **environment}, check=True)
    return python


def serve(python: Path, folder: Path) -> str:
    """Start a server, ask it once and stop it; its log."""
    folder.mkdir()
    (folder / "main.py").write_text(APP)
    log = folder / "log"
    with log.open("wb") as output:
        command = [str(python), "-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "pronghorn.AsyncWorker", "main:app"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        master = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: "serves HTTP/1.1" in log.read_text(), 60, log.read_text)
        url = re.findall(r"Listening at: (\S+)", log.read_text())[0]
        with urllib.request.urlopen(url, timeout=30) as response:
            assert response.read() == b"served"
    finally:
        master.terminate()
    assert master.wait(30) == 0
    return log.read_text()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist = build_sdist(folder)
        script = folder / "cc-without-headers"
        script.write_text(WITHOUT_PYTHON_H)
        script.chmod(0o755)
        cases = {
            "no compiler": ({"CC": "/bin/false"}, "not compiled"),
            "no Python.h": ({"CC": str(script)}, "not compiled"),
            "a compiler": ({}, "compiled"),
        }
        for title, (environment, build) in cases.items():
            number = str(len(list(folder.iterdir())))
            python = install(sdist, folder / f"venv{number}", environment)
            log = serve(python, folder / f"site{number}")
            assert f"({build}) serves" in log, log
            assert ("Pronghorn runs uncompiled" in log) == (build == "not compiled"), log
            size = sum(file.stat().st_size for file in (folder / f"venv{number}").rglob("pronghorn/**/*.so"))
            print(f"{title}: installed {build}, {size / 1e6:.1f} MB of modules, served", flush=True)


if __name__ == "__main__":
    main()
