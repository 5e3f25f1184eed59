"""The load benchmark: Pronghorn, its peers and the floor, interleaved, one Markdown table.

    python benchmarks/load/run.py                                   everything, three rounds
    python benchmarks/load/run.py --workloads plaintext --rounds 5  one workload
    python benchmarks/load/run.py --list                            what there is

benchmarks/README.md says what is measured and what the figures do not say.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import goals
import host
import plots
import report
from cell import Plan, Result, measure_cell
from clients import ClientFailed, finished
from clients.lockstep import Program, build
from process import become_reaper, raise_descriptor_limit
from servers import SERVERS
from workloads import WORKLOADS

_CERTIFICATE_SECONDS = 30.0
_SPARE_DESCRIPTORS = 200


def main() -> None:
    arguments = _arguments()
    if arguments.list:
        _list()
        return
    if sys.platform != "linux":
        raise SystemExit("the figures come from Linux's /proc")
    signal.signal(signal.SIGTERM, _interrupt)
    become_reaper()
    server_core, client_core = _cores(arguments.cores)
    os.sched_setaffinity(0, {client_core})
    pythons = host.interpreters(arguments.python or [sys.executable])
    own_client = build()
    if own_client.doubt:
        print(f"the own client is not compiled: {own_client.doubt}", file=sys.stderr)
    run: dict[str, Any] = {
        "host": host.describe(server_core, client_core, own_client.description),
        "command": _published_command(),
        "pythons": [each.name for each in pythons],
        "versions": {each.name: each.description for each in pythons},
        "baseline": arguments.baseline,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "workloads": [each.name for each in arguments.workloads],
        "results": [],
    }
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            plan = _plan(arguments, server_core, own_client, Path(folder))
            for result in _interleaved(pythons, arguments, plan):
                run["results"].append(dataclasses.asdict(result))
                _progress(result)
    except KeyboardInterrupt:
        print("interrupted; reporting what there is", file=sys.stderr)
    finally:
        _publish(run, arguments)  # also when this program is at fault: an hour of figures is not thrown away


def _interleaved(
    pythons: list[host.Interpreter], arguments: argparse.Namespace, plan: Plan
) -> Iterator[Result]:
    """A B C, A B C, ...: within a round every server meets the same state of the machine."""
    unsupported: set[tuple[str, str, str]] = set()
    for number in range(1, arguments.rounds + 1):
        for workload in arguments.workloads:
            for python in pythons:
                for server in arguments.servers:
                    if (python.name, workload.name, server.name) in unsupported:
                        continue
                    result = measure_cell(python, workload, server, number, plan)
                    if result.status == "unsupported":
                        unsupported.add((python.name, workload.name, server.name))
                    yield result


def _publish(run: dict[str, Any], arguments: argparse.Namespace) -> None:
    text = report.markdown(run)
    if arguments.goals:
        text += "\n" + goals.table(run)
    print(text, end="")
    if not arguments.output:
        return
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    _beside(output, ".md").write_text(text, encoding="utf-8")
    _beside(output, ".json").write_text(
        json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    if arguments.plots:
        for name, drawing in plots.all_of(run).items():
            _beside(output, f"-{name}.svg").write_text(drawing, encoding="utf-8")


def _beside(output: Path, ending: str) -> Path:
    return output.with_name(output.name + ending)


def _progress(result: Result) -> None:
    if result.status == "ok":
        figures = [f"{result.values[name]:,.1f} {unit}" for name, unit in _SHOWN if name in result.values]
        words = ", ".join([*figures, *(f"{count} {name} errors" for name, count in result.errors.items())])
    else:
        words = f"{result.status}: {' '.join(result.reason.split())[:200]}"
    cell = f"[{result.round}] {result.workload} {result.python} {result.server}"
    print(f"{cell}: {words}", file=sys.stderr, flush=True)


_SHOWN = (("cpu", "µs CPU"), ("rps", "requests/s"), ("p99", "µs p99"))


def _plan(arguments: argparse.Namespace, server_core: int, own_client: Program, folder: Path) -> Plan:
    certificate, key = _certificate(folder)
    return Plan(
        seconds=arguments.seconds,
        warmup=arguments.warmup,
        connections=arguments.connections,
        rate=arguments.rate,
        idle_connections=min(arguments.idle_connections, raise_descriptor_limit() - _SPARE_DESCRIPTORS),
        counted_requests=arguments.requests,
        server_core=server_core,
        own_client=own_client,
        certificate=certificate,
        key=key,
        folder=folder,
    )


def _certificate(folder: Path) -> tuple[Path | None, Path | None]:
    """A throw-away self-signed certificate; its key is PKCS #8, which every server reads."""
    if not shutil.which("openssl"):
        return None, None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        finished(command, _CERTIFICATE_SECONDS)
    except ClientFailed as problem:
        print(f"without TLS: {problem}", file=sys.stderr)
        return None, None
    return certificate, key


def _cores(wanted: str | None) -> tuple[int, int]:
    """Server core, client core. By default the last and the first usable: the first takes most interrupts."""
    usable = sorted(os.sched_getaffinity(0))
    if wanted is None:
        return usable[-1], usable[0]
    try:
        server_core, client_core = (int(each) for each in wanted.split(","))
    except ValueError:
        raise SystemExit("--cores SERVER,CLIENT takes two numbers") from None
    if not {server_core, client_core} <= set(usable):
        raise SystemExit(f"--cores {wanted}: this process may use {usable}")
    return server_core, client_core


def _published_command() -> str:
    """The command line as given, without where things are on this machine."""
    words = [Path(word).name if os.sep in word and i else word for i, word in enumerate(sys.argv)]
    return shlex.join(["python", "benchmarks/load/run.py", *words[1:]])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _list() -> None:
    for workload in WORKLOADS.values():
        print(f"{workload.name:18}{workload.summary}")
    print()
    for server in SERVERS.values():
        print(f"{server.name:18}{server.label}")


def _named(table: dict[str, Any]) -> Any:
    def parse(text: str) -> list[Any]:
        unknown = [name for name in text.split(",") if name not in table]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(table)}")
        return [table[name] for name in text.split(",")]

    return parse


def _arguments() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout, allow_abbrev=False)
    add = parser.add_argument
    add("--python", action="append", metavar="PATH", help="interpreter for the servers; repeat for several")
    add(
        "--workloads",
        type=_named(WORKLOADS),
        default=[*WORKLOADS.values()],
        metavar="A,B",
        help="default: all",
    )
    add("--servers", type=_named(SERVERS), default=[*SERVERS.values()], metavar="A,B", help="default: all")
    add("--baseline", choices=SERVERS, default="pronghorn", help="of the ratios (default: pronghorn)")
    add("--rounds", type=int, default=3, help="default: 3")
    add("--seconds", type=int, default=5, help="of each measured window (default: 5)")
    add("--warmup", type=int, default=1, help="seconds of load before each window (default: 1)")
    add("--connections", type=int, default=64, help="default: 64; a workload may fix its own")
    add("--rate", type=float, default=5000.0, help="requests/s of tail-equal (default: 5000)")
    add("--idle-connections", type=int, default=10_000, help="of memory-idle (default: 10000)")
    add("--requests", type=int, default=1_000_000, help="of memory-requests (default: 1000000)")
    add("--cores", metavar="SERVER,CLIENT", help="default: the last and the first usable core")
    add("--output", metavar="PREFIX", help="write PREFIX.md and PREFIX.json")
    add("--plots", action="store_true", help="with --output: also PREFIX-*.svg")
    add("--goals", action="store_true", help="also say which of the project's goals the run meets")
    add("--list", action="store_true", help="name the workloads and servers, and end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
