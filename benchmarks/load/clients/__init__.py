"""Load generators: one driver per program, all with `warm`, `run` and `close`.

A driver knows how to start its program against one address and how to read what it printed. It knows nothing
of servers, and measures nothing itself: CPU and memory are read around `run` by the cell.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from process import die_with_parent
from servers import Address
from workloads import Workload

GRACE_SECONDS = 20.0
LATENCIES = ("p50", "p99", "p999")


class ClientFailed(Exception):
    """The load generator could not be run or did not finish."""


class ClientMissing(Exception):
    """The program that this workload needs is not on this machine."""


@dataclass(frozen=True)
class Load:
    """What one run of a load generator saw. Latencies in microseconds, None where it does not know them.

    `held` counts connections that stay open until the client is closed.
    """

    requests: int
    seconds: float
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    held: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Where to send what, and the numbers of this run."""

    workload: Workload
    address: Address
    folder: Path
    connections: int
    rate: float
    idle_connections: int
    counted_requests: int


class Client:
    """Base of the drivers. Where one does not say otherwise, warming up and measuring are the same load."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def warm(self, seconds: float) -> Load:
        return self._load(seconds)

    def run(self, seconds: float) -> Load:
        return self._load(seconds)

    def close(self) -> None:
        """End what `run` left open."""

    def _load(self, seconds: float) -> Load:
        raise NotImplementedError


def finished(command: list[str], seconds: float, name: str = "") -> str:
    """The output of a program that should end after `seconds`. Errors call it `name`."""
    name = name or Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + GRACE_SECONDS,
            check=False,
            preexec_fn=die_with_parent,
        )
    except FileNotFoundError as error:
        raise ClientMissing(f"{name} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClientFailed(f"{name} did not end {GRACE_SECONDS:.0f} s after its time") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise ClientFailed(f"{name} ended with {done.returncode}: {words[-1] if words else ''}")
    return done.stdout


def some(errors: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in errors.items() if count}
