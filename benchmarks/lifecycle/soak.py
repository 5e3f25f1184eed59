"""Half an hour of mixed traffic while workers are recycled: nothing lost, memory and descriptors flat.

    python benchmarks/lifecycle/soak.py                                      30 minutes
    python benchmarks/lifecycle/soak.py --minutes 2 --max-requests 3000      a trial
    python benchmarks/lifecycle/soak.py --output benchmarks/results/soak     writes .md, .json and .svg

Clients keep connections or make new ones, GET and POST, chunked or with a length; some leave before they are answered,
some are slow in both directions, some speak WebSocket. Two workers end after ``max_requests``, and up to half as many
more, and are replaced, again and again. Every few seconds the resident memory and the descriptors of the master and of
each worker are read from /proc.
Exit code 1 when something was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import soakplot
import traffic
from client import Load
from server import Server

_WORKERS = 2
#: Seconds from the start of a worker until its memory is compared: imports, caches and pools have settled by then.
_SETTLED = 30.0


class Watch:
    """Samples of the server's processes: seconds since the start, process, resident bytes, descriptors."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._began = time.monotonic()
        self.master = server.master
        self.samples: list[tuple[float, int, int, int]] = []

    def look(self) -> None:
        now = round(time.monotonic() - self._began, 1)
        for pid in (self.master, *self._server.children()):
            try:
                memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                self.samples.append((now, pid, memory, len(os.listdir(f"/proc/{pid}/fd"))))
            except (OSError, IndexError):
                continue  # it ended between the two looks

    def of(self, pid: int) -> list[tuple[float, int, int]]:
        return [(now, memory, files) for now, one, memory, files in self.samples if one == pid]

    @property
    def workers(self) -> list[int]:
        return sorted({pid for _, pid, _, _ in self.samples if pid != self.master})


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    settings: dict[str, object] = {}
    if arguments.max_requests:
        settings = {"max_requests": arguments.max_requests, "max_requests_jitter": arguments.max_requests // 2}
    with Server(arguments.worker, _WORKERS, **settings) as server:
        watch = Watch(server)
        mixed = traffic.Mixed()
        ending = asyncio.Event()
        kinds = ((traffic.abort, 2, 0.1), (traffic.slow, 3, 0.5), (traffic.websocket, 8, 0.5))
        others = [
            asyncio.ensure_future(traffic.repeat(what, server.address, mixed, pause, ending.is_set))
            for what, count, pause in kinds
            for _ in range(count)
        ]
        load = Load(server.address, arguments.clients, 2, pause=0.1)
        until = time.monotonic() + arguments.minutes * 60
        while time.monotonic() < until:
            watch.look()
            await asyncio.sleep(arguments.interval)
        ending.set()
        tally = await load.stop()
        await asyncio.gather(*others)
        trouble = [line for line in server.log.read_text(errors="replace").splitlines() if "[ERROR]" in line]
    row = {**tally.as_dict(), "done": dict(mixed.done), "trouble": trouble[:20]}
    row["kinds"] = {**tally.lost, **mixed.lost}
    row["lost"] = sum(tally.lost.values()) + sum(mixed.lost.values())
    return {
        "worker": arguments.worker, "minutes": arguments.minutes, "max_requests": arguments.max_requests,
        "python": platform.python_version(), "cores": os.cpu_count(), "traffic": row, "master": watch.master,
        "samples": watch.samples, "requests": {pid: count for pid, count in tally.pids.items() if pid},
        **_memory(watch, tally.pids),
    }  # fmt: skip


def _memory(watch: Watch, requests: dict[str, int]) -> dict[str, object]:
    """What the samples say: of the master from first to last, of each worker from when it had settled."""
    of_master = watch.of(watch.master)
    lives = []
    for pid in watch.workers:
        life = watch.of(pid)
        settled = [sample for sample in life if sample[0] >= life[0][0] + _SETTLED]
        if len(settled) > 3:
            lives.append(
                {
                    "pid": pid, "from_s": life[0][0], "to_s": life[-1][0], "requests": requests.get(str(pid), 0),
                    "settled": settled[0][1], "last": settled[-1][1], "most_files": max(files for _, _, files in life),
                }
            )  # fmt: skip
    return {
        "master_memory": [of_master[0][1], of_master[-1][1]],
        "master_files": [of_master[0][2], of_master[-1][2]],
        "lives": lives,
    }


def markdown(result: dict[str, object]) -> str:
    row, lives = result["traffic"], result["lives"]
    first, last = result["master_memory"]  # type: ignore[misc]
    opened, left = result["master_files"]  # type: ignore[misc]
    assert isinstance(row, dict)
    assert isinstance(lives, list)
    lines = [
        f"{result['minutes']:g} minutes, {result['worker']}, {_WORKERS} workers, max_requests {result['max_requests']} "
        f"and up to half as many more, Python {result['python']}, {result['cores']} cores.",
        "",
        "| what | count |",
        "|---|--:|",
        f"| answers of the first kind, every byte compared | {row['answered']:,} |",
        *(f"| {name} | {count:,} |" for name, count in sorted(row["done"].items())),
        f"| connections for these | {row['connections']:,} |",
        f"| workers | {len({pid for _, pid, _, _ in result['samples']}) - 1} |",  # type: ignore[attr-defined]
        f"| **lost** | **{row['lost']}** |",
        f"| refused | {row['refused']} |",
        "",
        f"Slowest answer {row['longest_s']} s; the clients themselves stood still for up to {row['stalled_s']} s.",
        *(f"- {count} × {kind}" for kind, count in row["kinds"].items()),
        "",
        f"Master: {_mib(first)} MiB at first, {_mib(last)} MiB at last; {opened} and {left} descriptors.",
        "",
        f"| worker lived | of the first kind | MiB after {_SETTLED:.0f} s | MiB at last | descriptors, at most |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {one['from_s']:.0f}–{one['to_s']:.0f} s | {one['requests']:,} | {_mib(one['settled'])} "
            f"| {_mib(one['last'])} | {one['most_files']} |"
            for one in lives
        ),
        "",
    ]
    return "\n".join(lines)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--minutes", type=float, default=30.0)
    add("--max-requests", type=int, default=30_000, metavar="N", help="0 keeps the workers to the end")
    add("--clients", type=int, default=12, metavar="N", help="clients that keep their connection")
    add("--interval", type=float, default=5.0, metavar="S", help="seconds between two samples")
    add("--worker", default="pronghorn.AsyncWorker", metavar="CLASS")
    add("--output", metavar="PREFIX", help="write PREFIX.md, PREFIX.json and PREFIX.svg")
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments))
    text = markdown(result)
    print(text, end="")
    if arguments.output:
        Path(arguments.output + ".md").write_text(text, encoding="utf-8")
        Path(arguments.output + ".json").write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
        Path(arguments.output + ".svg").write_text(soakplot.drawing(result), encoding="utf-8")
    raise SystemExit(1 if result["traffic"]["lost"] else 0)  # type: ignore[index]


if __name__ == "__main__":
    main()
