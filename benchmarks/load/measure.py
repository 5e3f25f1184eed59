"""What the kernel says about processes and cores: CPU time, resident memory, and who else used the core.

Owns the reading of /proc. Knows nothing of servers, workloads or clients.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system


@dataclass(frozen=True)
class Memory:
    """Bytes. `pss` shares each page among the processes that map it; without kernel support it is `rss`."""

    rss: int
    pss: int


@dataclass(frozen=True)
class Cost:
    """What one measured window cost. Shares are of the window's wall-clock time."""

    seconds: float
    user: float
    system: float
    busy: float
    foreign: float
    steal: float
    worker: int
    changed: bool


def tree(root: int) -> dict[int, int]:
    """Every process below and including `root`: its id and start time, which together name it for good."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) and fields[0] != "Z":
            parents[int(entry)] = (int(fields[1]), int(fields[19]))
    found: dict[int, int] = {}
    if root in parents:
        found[root] = parents[root][1]
    grown = True
    while grown:
        below = {pid: started for pid, (parent, started) in parents.items() if parent in found}
        grown = not below.keys() <= found.keys()
        found |= below
    return found


def alive(pid: int, started: int) -> bool:
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z" and int(fields[19]) == started


def cpu(pid: int) -> Cpu:
    """User and system time of all threads of one process so far; zero when it is gone."""
    fields = _stat(pid)
    return Cpu(int(fields[11]) / _TICK, int(fields[12]) / _TICK) if fields else Cpu(0.0, 0.0)


def memory(pid: int) -> Memory:
    try:
        rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return Memory(0, 0)
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return Memory(rss, int(line.split()[1]) * 1024)
    except OSError:
        pass
    return Memory(rss, rss)


class Window:
    """From construction to `close`: CPU time of a process tree, and of everything else on its core."""

    def __init__(self, root: int, core: int) -> None:
        self._root = root
        self._core = core
        self._processes = tree(root)
        self._before = {pid: cpu(pid) for pid in self._processes}
        self._core_before = _core(core)
        self._began = time.monotonic()

    def close(self) -> Cost:
        seconds = time.monotonic() - self._began
        core_busy, core_steal = _core(self._core)
        core_busy -= self._core_before[0]
        core_steal -= self._core_before[1]
        spent: dict[int, Cpu] = {}
        for pid, before in self._before.items():
            after = cpu(pid)
            spent[pid] = Cpu(max(0.0, after.user - before.user), max(0.0, after.system - before.system))
        user = sum(each.user for each in spent.values())
        system = sum(each.system for each in spent.values())
        return Cost(
            seconds=seconds,
            user=user,
            system=system,
            busy=(user + system) / seconds,
            foreign=max(0.0, core_busy - user - system) / seconds,
            steal=core_steal / seconds,
            worker=max(spent, key=lambda pid: spent[pid].total, default=self._root),
            changed=tree(self._root) != self._processes,
        )


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: [1] parent, [11] utime, [12] stime, [19] start time."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets


def _core(number: int) -> tuple[float, float]:
    """Seconds that one core was busy, and seconds the hypervisor kept from it."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{number} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in line.split()[1:9])
            return (user + nice + system + irq + softirq) / _TICK, steal / _TICK
    return 0.0, 0.0
