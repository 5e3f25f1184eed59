"""What the programs beside this share: their two options, the line that says what is timed, and the timing."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import pronghorn


def arguments(doc: str | None, repeat: int, number: int) -> argparse.Namespace:
    """The command line, ``repeat`` and ``number`` where it does not say. Prints which build this is."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeat", type=int, default=repeat, help=f"rounds; the best one counts (default {repeat})")
    options.add_argument("--number", type=int, default=number, help=f"calls a round (default {number})")
    parsed = options.parse_args()
    build = "compiled" if pronghorn.compiled else "not compiled"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"pronghorn {pronghorn.__version__} ({build}), {python}")
    return parsed


def best(once: Callable[[], object], repeat: int, number: int) -> float:
    """Microseconds a call, in the best of ``repeat`` rounds of ``number`` calls."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(number):
            once()
        times.append(time.perf_counter() - start)
    return min(times) / number * 1e6
