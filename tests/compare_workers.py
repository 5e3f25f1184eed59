"""Which worker class keeps which of Gunicorn's promises: runs the same black-box tests against each, prints a table.

    python -m tests.compare_workers [worker class ...]

Writes Markdown to standard output, progress to standard error. A promise with several tests of which some fail is kept
"partly". Takes some minutes for each worker class, most of it waiting.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
MODULES = ("tests/e2e/test_promises_of_requests.py", "tests/e2e/test_promises_of_processes.py")
WORKERS = {
    "pronghorn.AsyncWorker": "Pronghorn",
    "uvicorn_worker.UvicornWorker": "UvicornWorker",
    "asgi": "`-k asgi`",
}
#: For each outcome of all tests of a promise.
_KEPT, _BROKEN, _PARTLY, _NOT_TRIED = "yes", "**no**", "partly", "–"

Outcomes = dict[str, list[bool]]


def main(workers: list[str]) -> int:
    found = {worker: outcomes_of(worker) for worker in workers}
    print(table(found))
    print("\n" + ", ".join(f"{name} {_version(name)}" for name in ("gunicorn", "uvicorn-worker", "uvicorn")))
    return 0 if all(found.values()) else 1


def outcomes_of(worker: str) -> Outcomes:
    """Whether each test passed, by promise; skipped tests are left out."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", *MODULES, "-q", "--worker-class", worker, f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        return read(report.read_text(encoding="utf-8"))


def read(report: str) -> Outcomes:
    """The outcomes in a JUnit report."""
    outcomes: Outcomes = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        for one in case.iter("property"):
            if one.get("name") == "promise":
                kept = outcomes.setdefault(one.get("value", ""), [])
                if case.find("skipped") is None:
                    kept.append(case.find("failure") is None and case.find("error") is None)
    return outcomes


def table(found: dict[str, Outcomes]) -> str:
    """One row for each promise, in the order of the tests."""
    names = [WORKERS.get(worker, f"`{worker}`") for worker in found]
    promises = dict.fromkeys(promise for outcomes in found.values() for promise in outcomes)
    rows = [
        "| " + " | ".join([promise, *(_cell(outcomes.get(promise, [])) for outcomes in found.values())]) + " |"
        for promise in promises
    ]
    return "\n".join(["| promise | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|", *rows])


def _cell(kept: list[bool]) -> str:
    if not kept:
        return _NOT_TRIED
    return _KEPT if all(kept) else _PARTLY if any(kept) else _BROKEN


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "(absent)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(WORKERS)))
