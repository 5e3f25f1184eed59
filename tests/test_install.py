"""What ``setup.py`` builds, and where it builds nothing; ``tox -e install`` installs the result and serves with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.server import ROOT

WITHOUT_PYTHON_H = """#!/bin/sh
# A compiler on a machine without Python's headers: no directory is searched beside its own.
for argument; do
    shift
    case "$argument" in -I*) ;; *) set -- "$@" "$argument" ;; esac
done
exec cc "$@"
"""


def built(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build into ``folder``, with nothing written beside the sources."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRONGHORN_")}
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(folder)],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(params=["no compiler", "a compiler that fails", "no Python.h"])
def lacking(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The value of CC, and what has to be said."""
    if request.param == "no compiler":
        return str(tmp_path / "no-such-program"), "There is no working C compiler"
    if request.param == "a compiler that fails":
        return "/bin/false", "There is no working C compiler"
    if subprocess.run(["cc", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no C compiler here")
    script = tmp_path / "cc-without-headers"
    script.write_text(WITHOUT_PYTHON_H)
    script.chmod(0o755)
    return str(script), "There is no Python.h"


def test_without_what_it_takes_the_sources_are_installed_as_they_are(lacking: tuple[str, str], tmp_path: Path) -> None:
    compiler, lack = lacking
    done = built(tmp_path / "build", CC=compiler)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pronghorn: ")]
    assert line.startswith(f"pronghorn: {lack}")
    assert "uncompiled" in line
    assert list((tmp_path / "build").rglob("pronghorn/worker.py"))
    assert not list((tmp_path / "build").rglob("*.so"))
    # A name that says "any platform": such a wheel in pip's cache would keep the compiled one out for ever.
    assert [folder.name for folder in (tmp_path / "build").iterdir() if folder.name.startswith("lib")] == ["lib"]


def test_a_build_that_is_required_fails(lacking: tuple[str, str], tmp_path: Path) -> None:
    done = built(tmp_path / "build", CC=lacking[0], PRONGHORN_REQUIRE_COMPILED="1")
    assert done.returncode != 0


def test_the_pure_build_says_nothing(tmp_path: Path) -> None:
    done = built(tmp_path / "build", PRONGHORN_PURE="1", CC="/bin/false")
    assert done.returncode == 0
    assert "pronghorn: " not in done.stderr


def test_the_sdist_holds_what_a_packager_needs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PRONGHORN_PURE": "1"},
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    wanted = [name for name in tracked if not name.startswith(".")] or ["tests/conftest.py", "docs/settings.md"]
    assert set(wanted) - names == set()
    assert not [name for name in names if name.endswith((".c", ".so", ".pyc"))]
