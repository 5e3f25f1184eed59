"""Instructions per request, counted by callgrind and compared with a stored baseline.

    python benchmarks/instructions/run.py             # compare: exit status 1 where a request grew by more than 3 %
    python benchmarks/instructions/run.py --renew     # write the baseline of this Python and architecture
    python benchmarks/instructions/run.py --profiles build/profiles    # then: callgrind_annotate FILE

Instructions are no time, but they are the same each time, on a busy machine too: a regression of 3 % shows, which no
clock here would. The interpreter is the one that runs this; Pronghorn has to be installed in it, compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import uvloop
from scenarios import COUNTED, SCENARIOS

import pronghorn

HERE = Path(__file__).parent
GROWTH = 0.03


def baseline_path() -> Path:
    version = ".".join(platform.python_version_tuple()[:2])
    return HERE / "baselines" / f"cpython-{version}-{platform.machine()}.json"


def toolchain() -> dict[str, str]:
    """What the counts depend on beside our own source."""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "shared library": str(bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))),
        "uvloop": uvloop.__version__,
        "libc": "-".join(platform.libc_ver()),
    }


def count(names: list[str], profiles: Path | None = None) -> dict[str, int]:
    """Instructions per request of each scenario; callgrind's files go to ``profiles``, one a scenario."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            "valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={directory}/%p",
            sys.executable, str(HERE / "scenarios.py"), *names,
        ]  # fmt: skip
        # A fixed environment: its size moves the stack, and the hash seed decides which dictionary keys collide.
        environment = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"callgrind failed\n{done.stderr}")
        counts = {}
        for name, pid in (line.split() for line in done.stdout.splitlines()):
            file = Path(directory, f"{pid}.2")
            found = re.search(r"^totals: (\d+)", file.read_text(), re.MULTILINE)
            if found is None:
                raise SystemExit(f"{name}: callgrind counted nothing\n{done.stderr}")
            counts[name] = round(int(found[1]) / COUNTED)
            if profiles is not None:
                profiles.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, profiles / f"callgrind.out.{name}")
    return counts


def compare(counts: dict[str, int], stored: dict[str, int]) -> bool:
    """Print both beside each other; whether none has grown too much."""
    good = True
    for name, counted in counts.items():
        before = stored.get(name)
        if before is None:
            print(f"{name:16} {counted:8,}   no baseline")
            good = False
            continue
        growth = counted / before - 1
        too_much = growth > GROWTH
        good = good and not too_much
        print(f"{name:16} {counted:8,}   baseline {before:8,}   {growth:+7.2%}{'   GREW' if too_much else ''}")
    return good


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}; all where none is given")
    options.add_argument("--renew", action="store_true", help="store what is counted as the baseline")
    options.add_argument("--profiles", type=Path, metavar="DIRECTORY", help="keep callgrind's output there")
    arguments = options.parse_args()
    names = arguments.names or list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        options.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed (Debian: valgrind)")
    if not pronghorn.compiled:
        raise SystemExit("Pronghorn is not compiled here: what would be counted is the interpreter's work")
    counts = count(names, arguments.profiles)
    path = baseline_path()
    known = json.loads(path.read_text()) if path.exists() else {"toolchain": {}, "instructions": {}}
    good = compare(counts, known["instructions"])
    if arguments.renew:
        path.parent.mkdir(exist_ok=True)
        known = {"toolchain": toolchain(), "instructions": known["instructions"] | counts}
        path.write_text(json.dumps(known, indent=2) + "\n")
        print(f"Wrote {path}")
        return 0
    for name, value in toolchain().items():
        if (before := known["toolchain"].get(name)) not in (None, value):
            print(f"The baseline was made with another {name}: {before}, here {value}. Renew it before you believe it.")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
