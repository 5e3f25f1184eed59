"""What runs a fuzz target: random input on any build, atheris on the uncompiled one, one input again.

Import it before what is fuzzed: ``--atheris`` wants that imported within ``instrumented()``.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

ATHERIS = "--atheris" in sys.argv
if ATHERIS:
    import atheris


def instrumented() -> contextlib.AbstractContextManager[object]:
    """What is imported within is watched by the fuzzer, where there is one."""
    return atheris.instrument_imports(include=["pronghorn.wire"]) if ATHERIS else contextlib.nullcontext()


def main(
    name: str, test_one_input: Callable[[bytes], None], random_input: Callable[[random.Random], bytes], of: str
) -> None:
    """Read the command line and run the target; ``of``: the file that the fuzzed module came from."""
    parser = argparse.ArgumentParser(description=f"the fuzz target {name}")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="only test the input in this file")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage; other arguments go to libFuzzer")
    options, rest = parser.parse_known_args()
    if options.replay:
        test_one_input(options.replay.read_bytes())
    elif options.atheris:
        atheris.Setup([sys.argv[0], f"-max_total_time={options.seconds:.0f}", *rest], test_one_input)
        atheris.Fuzz()
    elif rest:
        parser.error(f"unknown arguments: {rest}")
    else:
        count = _run(name, test_one_input, random_input, options.seconds, options.seed)
        print(f"{count} inputs, seed {options.seed}, {of}: no failure")


def _run(
    name: str,
    test_one_input: Callable[[bytes], None],
    random_input: Callable[[random.Random], bytes],
    seconds: float,
    seed: int,
) -> int:
    deadline = time.monotonic() + seconds
    count = 0
    while time.monotonic() < deadline:
        data = random_input(random.Random(f"{seed}/{count}"))
        count += 1
        try:
            test_one_input(data)
        except BaseException:
            finding = Path(f"fuzz-{name}-{seed}-{count}.bin")
            finding.write_bytes(data)
            print(f"a finding: {finding}, for --replay")
            raise
    return count
