"""What hostile clients cost a worker, and the well-behaved clients beside them.

    python benchmarks/hostile/run.py                              both attacks on Pronghorn, about four minutes
    python benchmarks/hostile/run.py --servers pronghorn,uvicorn,asgi --rounds 3

One worker on one core, all clients on another. README.md says what is counted, and has results.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "load"))
sys.path.insert(0, str(Path(__file__).parent))

import host
import measure
import peers
from peers import Seen
from process import ServerProcess, become_reaper, raise_descriptor_limit
from servers import SERVERS, Address, Launch

_HERE = Path(__file__).parent
_START_SECONDS = 30.0
_SAMPLE = 0.25
_MEGABYTE = 1e6


@contextmanager
def serving(name: str, core: int) -> Iterator[tuple[ServerProcess, tuple[str, int]]]:
    """A server with one worker on ``core``."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
        probe.close()
        launch = Launch(python=sys.executable, app="app:app", address=Address(address[1]), folder=Path(folder))
        paths = [str(_HERE), *(os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(":") if each)]
        environment = os.environ | {"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        process = ServerProcess(SERVERS[name].command(launch), core, environment, Path(folder))
        try:
            process.wait_ready(lambda: _answers(address), _START_SECONDS)
            yield process, address
        finally:
            process.stop()


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, 5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return sock.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def worker_memory(process: ServerProcess) -> int:
    """Resident bytes of the only worker: of the processes that the server's first one has started, the largest."""
    return max(measure.memory(pid).rss for pid in measure.tree(process.pid) if pid != process.pid)


def most_memory(process: ServerProcess, until: Future[Seen]) -> int:
    """The most that the worker had until a client was done."""
    most = 0
    while not until.done():
        most = max(most, worker_memory(process))
        time.sleep(_SAMPLE)
    return most


def p99(seen: Seen) -> float:
    """In milliseconds."""
    return statistics.quantiles(seen.latencies, n=100)[98] * 1000


def attack(name: str, plan: argparse.Namespace, pool: ProcessPoolExecutor) -> list[str]:
    """Lines of the report: p99 without and with connections that trickle, in turns, and what these cost."""
    quiet, disturbed, trickling, growth = [], [], [], []
    with serving(name, plan.server_core) as (process, address):
        for _ in range(plan.rounds):
            attendance = pool.submit(peers.attend, address, plan.clients, plan.interval, plan.seconds)
            quiet.append(attendance.result())
            before = worker_memory(process)
            flood = pool.submit(peers.trickle, address, plan.attackers, plan.byte_every, plan.seconds + 5)
            time.sleep(5)  # the flood has come up, and the first of it nears its deadline
            attendance = pool.submit(peers.attend, address, plan.clients, plan.interval, plan.seconds)
            growth.append(most_memory(process, attendance) - before)
            disturbed.append(attendance.result())
            trickling.append(flood.result())
            time.sleep(2)
    without, under = [p99(seen) for seen in quiet], [p99(seen) for seen in disturbed]
    ages = sorted(age for seen in trickling for age in seen.ages)
    each = max(growth) / max(seen.most_open for seen in trickling)
    return [
        f"p99 without attackers {_figures(without)} ms, with {_figures(under)} ms; ratio of the medians "
        f"{statistics.median(under) / statistics.median(without):.2f}; {sum(len(s.latencies) for s in disturbed):,} "
        f"requests, {sum(seen.errors for seen in disturbed)} failed",
        f"up to {max(seen.most_open for seen in trickling):,} connections trickling, {each / 1000:.1f} kB of worker "
        f"memory each",
        f"{len(ages):,} closed by the server, {sum(seen.refused_with_408 for seen in trickling):,} of them with 408, "
        + (f"at an age of {ages[0]:.1f} to {ages[-1]:.1f} s" if ages else "so all of them last as long as they like"),
    ]


def ignored(name: str, plan: argparse.Namespace, pool: ProcessPoolExecutor) -> list[str]:
    """Lines of the report: memory under clients that never read, and when they were cut off."""
    with serving(name, plan.server_core) as (process, address):
        before = worker_memory(process)
        flood = pool.submit(peers.ignore, address, plan.readers, plan.patience)
        most = most_memory(process, flood)
        seen = flood.result()
    ages = sorted(seen.ages)
    return [
        f"{plan.readers} clients that never read 100 MB: {before / _MEGABYTE:.0f} MB before, at most "
        f"{most / _MEGABYTE:.0f} MB, {(most - before) / plan.readers / 1000:.0f} kB each",
        f"{len(ages)} closed by the server"
        + (f" at an age of {ages[0]:.1f} to {ages[-1]:.1f} s" if ages else "")
        + f", {seen.open} still open after {plan.patience:g} s",
    ]


def _figures(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--servers", default="pronghorn", help="of pronghorn, uvicorn, asgi, granian, hypercorn")
    options.add_argument("--attackers", type=int, default=5000, help="connections that trickle (default 5000)")
    options.add_argument("--byte-every", type=float, default=3.0, metavar="SECONDS", help="default 3")
    options.add_argument("--clients", type=int, default=50, help="that behave (default 50)")
    options.add_argument("--interval", type=float, default=0.1, help="seconds between requests of one (default 0.1)")
    options.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default 20)")
    options.add_argument("--rounds", type=int, default=3, help="without and with, in turns (default 3)")
    options.add_argument("--readers", type=int, default=100, help="clients that never read (default 100)")
    options.add_argument("--patience", type=float, default=75.0, help="seconds that these stay (default 75)")
    options.add_argument("--server-core", type=int, default=0)
    options.add_argument("--client-core", type=int, default=1)
    plan = options.parse_args()
    become_reaper()
    if raise_descriptor_limit() < plan.attackers + 200:
        raise SystemExit(f"{plan.attackers} connections want a higher limit of open files (ulimit -n)")
    os.sched_setaffinity(0, {plan.client_core})
    with ProcessPoolExecutor(2) as pool:
        for fact, value in host.describe(plan.server_core, plan.client_core, "own clients in Python").items():
            print(f"- {fact}: {value}")
        print(f"- {host.interpreters([sys.executable])[0].description}")
        for name in plan.servers.split(","):
            for line in (*attack(name, plan, pool), *ignored(name, plan, pool)):
                print(f"- {name}: {line}", flush=True)


if __name__ == "__main__":
    main()
