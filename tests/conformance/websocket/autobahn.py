"""Runs the Autobahn test suite (517 cases of RFC 6455 and RFC 7692) against a real Gunicorn with our worker.

    tox -e autobahn                       both builds; prints the counts, fails where one is not as it must be
    tox -e autobahn -- --cases '9.*'      a part of the cases; then only their results are judged

The suite is a Python 2.7 program. ``--python2`` names the interpreter (else ``python2.7`` of PATH or of pyenv); the
suite is installed once, by that interpreter's pip, into ``--suite``, a directory of its own.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.server import GunicornServer  # noqa: E402 - the repository's root was not on the path

CASES = 517
#: How a case may end. The rest are NON-STRICT, UNIMPLEMENTED, FAILED, WRONG CODE, UNCLEAN, FAILED BY CLIENT.
FINE = {"OK", "INFORMATIONAL"}
SECONDS = 3600.0
#: Where each build comes from: what is installed, and the source as it is.
BUILDS = {"compiled": {}, "uncompiled": {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}}
#: addsitedir reads the .pth files of namespace packages, which a path in PYTHONPATH does not get.
_START = (
    "import site, sys; directory = sys.argv.pop(1); sys.path.insert(0, directory); site.addsitedir(directory); "
    "from autobahntestsuite.wstest import run; run()"
)


def find_python2() -> str:
    names = [shutil.which("python2.7"), *sorted(Path.home().glob(".pyenv/versions/2.7.*/bin/python"))]
    for name in names:
        if name and subprocess.run([name, "-c", "import ssl"], capture_output=True, check=False).returncode == 0:
            return str(name)
    sys.exit("no Python 2.7, which the suite needs: name one with --python2")


def install(python2: str, suite: Path) -> None:
    done = suite / "installed"
    requirements = HERE / "suite.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return
    shutil.rmtree(suite, ignore_errors=True)
    pip = [python2, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--target", str(suite), "-r", str(requirements)], check=True)
    done.write_text(requirements.read_text())


def run(python2: str, suite: Path, build: str, cases: list[str], directory: Path) -> dict[str, dict[str, str]]:
    """The suite's index of one run: case to its results."""
    with GunicornServer(
        "tests.conformance.websocket.echo:app",
        directory / build,
        worker_class="pronghorn.AsyncWorker",
        environment=BUILDS[build],
        timeout=120,
    ) as server:
        server.wait_log(rf"\b{build}\b")
        host, port = server.address
        specification = directory / f"{build}.json"
        reports = directory / f"{build}-reports"
        target = {"agent": build, "url": f"ws://{host}:{port}", "options": {"version": 18}}
        specification.write_text(
            json.dumps(
                {
                    "outdir": str(reports),
                    "servers": [target],
                    "cases": cases,
                    "exclude-cases": [],
                    "exclude-agent-cases": {},
                }
            )
        )
        subprocess.run(
            [python2, "-c", _START, str(suite), "-m", "fuzzingclient", "-s", specification],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
        )
        index: dict[str, dict[str, dict[str, str]]] = json.loads((reports / "index.json").read_text())
        return index[build]


def judge(build: str, results: dict[str, dict[str, str]], whole: bool) -> bool:
    """Print the counts; whether they are as they must be."""
    counts = collections.Counter(result["behavior"] for result in results.values())
    closes = collections.Counter(result["behaviorClose"] for result in results.values())
    print(f"{build}: {len(results)} cases: {dict(counts.most_common())}; closing: {dict(closes.most_common())}")
    bad = {case: r for case, r in results.items() if not {r["behavior"], r["behaviorClose"]} <= FINE}
    for case, result in sorted(bad.items()):
        print(f"  {case}: {result['behavior']}, closing {result['behaviorClose']}")
    if whole and len(results) != CASES:
        print(f"  {len(results)} cases were run instead of {CASES}")
        return False
    return bool(results) and not bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python2", default="", help="a Python 2.7")
    parser.add_argument("--suite", type=Path, default=ROOT / "build" / "autobahn", help="where the suite is installed")
    parser.add_argument("--cases", nargs="+", default=["*"], help="as the suite names them: 1.*  9.3.1")
    parser.add_argument("--builds", nargs="+", choices=BUILDS, default=list(BUILDS))
    parser.add_argument("--keep", type=Path, help="a directory for logs and the suite's HTML reports")
    options = parser.parse_args()
    python2 = options.python2 or find_python2()
    suite = options.suite.resolve()
    install(python2, suite)
    with tempfile.TemporaryDirectory() as temporary:
        directory = (options.keep or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        for build in options.builds:
            shutil.rmtree(directory / build, ignore_errors=True)
        good = [
            judge(build, run(python2, suite, build, options.cases, directory), options.cases == ["*"])
            for build in options.builds
        ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
