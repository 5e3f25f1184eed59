"""The WebSocket benchmark: echo, broadcast and idle connections; Pronghorn and its peers interleaved.

    python benchmarks/websocket/run.py                             everything, three rounds
    python benchmarks/websocket/run.py --scenarios echo-text-32    one scenario
    python benchmarks/websocket/run.py --list                      what there is

The figure of a message is CPU time of all processes of the server, per message that came back (or, of a broadcast, that
reached a listener); that of idle connections is resident memory of the server's processes, each. How the figures
come about and what they do not say is in benchmarks/README.md; servers and measuring are those of ``benchmarks/load``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "load")]

import host  # noqa: E402 - beside this directory
import measure  # noqa: E402
from client import ClientFailed, Crowd, Socket, frame  # noqa: E402
from process import ServerFailed, ServerProcess, become_reaper, raise_descriptor_limit  # noqa: E402
from servers import SERVERS, Address, Launch, Server, _gunicorn  # noqa: E402

_START_SECONDS = 30.0
_SETTLE_SECONDS = 2.0
_SPARE_DESCRIPTORS = 200


@dataclass(frozen=True)
class Scenario:
    name: str
    summary: str
    text: bool = False
    size: int = 32
    compressed: bool = False
    connections: int = 64
    kind: str = "echo"


def _scenarios() -> dict[str, Scenario]:
    found = []
    for size, label, connections in ((32, "32", 64), (4096, "4k", 64), (1 << 20, "1m", 8)):
        for text in (True, False):
            for compressed in (False, True):
                name = f"echo-{'text' if text else 'binary'}-{label}{'-deflate' if compressed else ''}"
                kind = "text" if text else "binary"
                summary = f"{kind} of {size} bytes{', permessage-deflate' if compressed else ''}"
                found.append(Scenario(name, summary, text, size, compressed, connections))
    summary = "one text of 128 bytes to 1,000 connections"
    found.append(Scenario("broadcast", summary, True, 128, connections=1000, kind="broadcast"))
    summary = "memory of 10,000 connections that exchanged one message"
    found.append(Scenario("idle", summary, True, 32, connections=10_000, kind="idle"))
    return {each.name: each for each in found}


SCENARIOS = _scenarios()
CONTESTANTS = {
    "pronghorn": SERVERS["pronghorn"],
    "uvicorn": SERVERS["uvicorn"],
    "uvicorn-wsproto": Server(
        "uvicorn-wsproto",
        "UvicornWorker, wsproto",
        ("gunicorn", "uvicorn_worker", "uvloop", "httptools"),
        _gunicorn("wsproto_worker.WsprotoWorker"),
    ),
    "asgi": SERVERS["asgi"],
    "granian": SERVERS["granian"],
}


@dataclass
class Cell:
    figure: float | None = None
    rate: float = 0.0
    reason: str = ""


def main() -> None:
    options = _options()
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:24}{scenario.summary}")
        return
    become_reaper()
    most = raise_descriptor_limit() - _SPARE_DESCRIPTORS
    usable = sorted(os.sched_getaffinity(0))
    server_core, client_core = usable[-1], usable[0]
    os.sched_setaffinity(0, {client_core})
    (python,) = host.interpreters([options.python])
    cells: dict[tuple[str, str], list[Cell]] = {}
    for number in range(options.rounds):
        for name in options.scenarios:
            scenario = SCENARIOS[name]
            scenario = dataclasses.replace(scenario, connections=min(scenario.connections, most))
            for key in options.servers:
                cell = measured(python, scenario, CONTESTANTS[key], server_core, options.seconds)
                cells.setdefault((name, key), []).append(cell)
                shown = cell.reason or f"{cell.figure:,.2f} ({cell.rate:,.0f}/s)"
                print(f"[{number + 1}] {name} {key}: {shown}", file=sys.stderr, flush=True)
    about = host.describe(server_core, client_core, "own, Python")
    lines = [*(f"- {name}: {words}" for name, words in about.items()), f"- Python {python.name}: {python.description}"]
    command = f"python benchmarks/websocket/run.py --rounds {options.rounds} --seconds {options.seconds:g}"
    text = "\n".join([*lines, f"- command: `{command}`", "", *table(options, cells)])
    print(text)
    if options.output:
        Path(options.output).write_text(text + "\n")


def table(options: argparse.Namespace, cells: dict[tuple[str, str], list[Cell]]) -> list[str]:
    labels = [CONTESTANTS[key].label for key in options.servers]
    lines = ["| scenario | " + " | ".join(labels) + " |", "|---|" + "--:|" * len(labels)]
    for name in options.scenarios:
        base = cells[name, options.servers[0]]
        row = [f"`{name}`"]
        for key in options.servers:
            mine = cells[name, key]
            figures = [cell.figure for cell in mine if cell.figure is not None]
            if not figures:
                row.append("–")
                continue
            ratios = [
                other.figure / first.figure
                for other, first in zip(mine, base, strict=True)
                if other.figure is not None and first.figure
            ]
            shown = f"{statistics.median(figures):,.1f} [{min(figures):,.1f}–{max(figures):,.1f}]"
            shown += f" ×{statistics.median(ratios):.2f}" if ratios and key != options.servers[0] else ""
            row.append(f"{shown}, {statistics.median(cell.rate for cell in mine):,.0f}/s")
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "µs of CPU per message, messages a second; of `idle`, KiB per connection: median [min–max]."]
    return [*lines, "×: the median of each round's ratio to the first column."]


def measured(python: host.Interpreter, scenario: Scenario, server: Server, core: int, seconds: float) -> Cell:
    missing = python.missing(server.modules)
    if missing:
        return Cell(reason=f"not installed: {', '.join(missing)}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="cell-") as folder:
        launch = Launch(python.path, "app:app", Address(port), Path(folder))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
        process = ServerProcess(server.command(launch), core, environment, Path(folder))
        try:
            process.wait_ready(lambda: _answers(port), _START_SECONDS)
            return _RUNS[scenario.kind](scenario, port, process.pid, core, seconds)
        except (ClientFailed, ServerFailed, OSError) as failure:
            return Cell(reason=f"{type(failure).__name__}: {failure}"[:200])
        finally:
            process.stop()


def _answers(port: int) -> bool:
    try:
        Socket(port, "/echo", False).sock.close()
    except (OSError, ClientFailed):
        return False
    return True


def _echo(scenario: Scenario, port: int, pid: int, core: int, seconds: float) -> Cell:
    message = frame(scenario.text, scenario.size, scenario.compressed)
    crowd = Crowd(port, "/echo", scenario.connections, scenario.compressed)
    crowd.echo(message, 1.0)
    window = measure.Window(pid, core)
    count = crowd.echo(message, seconds)
    cost = window.close()
    crowd.close()
    count += scenario.connections  # those that were under way at the end, and are in the window too
    return Cell((cost.user + cost.system) / count * 1e6, count / cost.seconds)


def _broadcast(scenario: Scenario, port: int, pid: int, core: int, seconds: float) -> Cell:
    message = frame(scenario.text, scenario.size, False)
    crowd = Crowd(port, "/broadcast", scenario.connections)
    speaker = Socket(port, "/broadcast?speak", False)
    speaker.send(message)
    crowd.collect(scenario.connections)
    window = measure.Window(pid, core)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        speaker.send(message)
        count += crowd.collect(scenario.connections)
    cost = window.close()
    speaker.sock.close()
    crowd.close()
    return Cell((cost.user + cost.system) / count * 1e6, count / cost.seconds)


def _idle(scenario: Scenario, port: int, pid: int, core: int, seconds: float) -> Cell:
    before = _resident(pid)
    crowd = Crowd(port, "/echo", scenario.connections)
    message = frame(scenario.text, scenario.size, False)
    for one in crowd.sockets.values():
        one.send(message)
    crowd.collect(scenario.connections)
    time.sleep(_SETTLE_SECONDS)  # what the server frees on going idle is freed now
    grown = _resident(pid) - before
    crowd.close()
    return Cell(grown / 1024 / scenario.connections)


def _resident(pid: int) -> int:
    return sum(measure.memory(each).rss for each in measure.tree(pid))


_RUNS = {"echo": _echo, "broadcast": _broadcast, "idle": _idle}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--python", default=sys.executable, help="interpreter for the servers")
    add("--scenarios", type=lambda text: text.split(","), default=list(SCENARIOS), metavar="A,B")
    add("--servers", type=lambda text: text.split(","), default=list(CONTESTANTS), metavar="A,B")
    add("--rounds", type=int, default=3, help="default: 3")
    add("--seconds", type=float, default=4.0, help="of each measured window (default: 4)")
    add("--output", metavar="FILE", help="also write the table there")
    add("--list", action="store_true", help="name the scenarios, and end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
