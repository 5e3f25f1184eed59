"""One cell of the table, once: one workload on one server under one interpreter.

start → probe → warm-up (discarded) → window open → load → window closed → memory → stop. A cell never raises
for what a server or a client does wrong: the result says it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import measure
from clients import LATENCIES, Client, ClientFailed, ClientMissing, Load, Target
from clients.h2load import H2load
from clients.lockstep import Closed, Counted, Idle, Paced, Program, Saturated
from clients.wrk import Wrk
from host import Interpreter
from probe import ProbeFailed, Refused, answers, probe
from process import ServerFailed, ServerProcess
from servers import APPS, Address, Launch, Server
from workloads import Workload

_START_SECONDS = 30.0
_OWN_CLIENTS = {"closed": Closed, "paced": Paced, "saturated": Saturated, "counted": Counted, "idle": Idle}


@dataclass(frozen=True)
class Plan:
    """The numbers of a run, and the tools it made for itself."""

    seconds: float
    warmup: float
    connections: int
    rate: float
    idle_connections: int
    counted_requests: int
    server_core: int
    own_client: Program
    certificate: Path | None
    key: Path | None
    folder: Path


@dataclass(frozen=True)
class Result:
    """`status` is ok, unsupported or failed; the latter two have a `reason`, the first `values` by name."""

    python: str
    workload: str
    server: str
    round: int
    status: str
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def measure_cell(python: Interpreter, workload: Workload, server: Server, number: int, plan: Plan) -> Result:
    def result(status: str, reason: str) -> Result:
        return Result(python.name, workload.name, server.name, number, status, reason)

    lacking = workload.needs & server.lacks
    if lacking:
        return result("unsupported", f"{server.label} has no {', '.join(sorted(lacking))}")
    if server.name.startswith("floor") and workload.floor is None:
        return result("unsupported", "the floor does not do this")
    alone = workload.method != "GET" or {"--pipeline", "--close"}.intersection(workload.floor or ())
    if server.name == "floor-asgi" and alone:
        return result("unsupported", "the floor does this only without an application")
    missing = python.missing((*server.modules, *_framework(workload, server)))
    if missing:
        return result("unsupported", f"not installed: {', '.join(missing)}")
    try:
        return _measured(python, workload, server, number, plan)
    except (Refused, ClientMissing) as refusal:
        return result("unsupported", str(refusal))
    except (ServerFailed, ProbeFailed, ClientFailed) as failure:
        return result("failed", str(failure))


def _measured(python: Interpreter, workload: Workload, server: Server, number: int, plan: Plan) -> Result:
    with tempfile.TemporaryDirectory(prefix="cell-", dir=plan.folder) as name:
        launch = _launch(python, workload, Path(name), plan)
        process = ServerProcess(server.command(launch), plan.server_core, _environment(), launch.folder)
        with contextlib.ExitStack() as ends:
            ends.callback(process.stop)
            client = _client(workload, launch, plan)
            ends.callback(client.close)
            process.wait_ready(lambda: answers(launch.address, workload.path), _START_SECONDS)
            probe(workload, launch.address)
            warm = client.warm(plan.warmup)
            process.check()
            before = {pid: measure.memory(pid) for pid in measure.tree(process.pid)}
            window = measure.Window(process.pid, plan.server_core)
            load = client.run(plan.seconds)
            cost = window.close()
            after = {pid: measure.memory(pid) for pid in measure.tree(process.pid)}
            process.check()
        notes = [*load.notes]
        if launch.access_log:
            notes += _log_notes(process.output if server.logs_to_output else launch.access_log, warm, load)
        return Result(
            python=python.name,
            workload=workload.name,
            server=server.name,
            round=number,
            status="ok",
            values=_figures(load, cost) | _memory_figures(before, after, cost, load),
            errors=load.errors | ({"process changes": 1} if cost.changed else {}),
            notes=tuple(notes),
        )


def _launch(python: Interpreter, workload: Workload, folder: Path, plan: Plan) -> Launch:
    unix = str(folder / "socket") if "unix" in workload.needs else None
    address = Address(0 if unix else _free_port(), unix, "tls" in workload.needs)
    if address.tls and not plan.certificate:
        raise ClientMissing("no openssl to make a certificate with")
    return Launch(
        python=python.path,
        app=workload.app,
        address=address,
        folder=folder,
        certificate=plan.certificate,
        key=plan.key,
        access_log=folder / "access.log" if "access-log" in workload.needs else None,
        http2="http2" in workload.needs,
        floor=workload.floor or (),
    )


def _client(workload: Workload, launch: Launch, plan: Plan) -> Client:
    target = Target(
        workload=workload,
        address=launch.address,
        folder=launch.folder,
        connections=workload.connections or plan.connections,
        rate=plan.rate,
        idle_connections=plan.idle_connections,
        counted_requests=plan.counted_requests,
    )
    if workload.client == "wrk":
        return Wrk(target)
    if workload.client == "h2load":
        return H2load(target)
    return _OWN_CLIENTS[workload.client](plan.own_client, target)


def _figures(load: Load, cost: measure.Cost) -> dict[str, float]:
    values = {
        "requests": float(load.requests),
        "rps": load.requests / load.seconds if load.seconds else 0.0,
        "busy": cost.busy,
        "foreign": cost.foreign,
        "steal": cost.steal,
    }
    if load.requests:
        values["user"] = cost.user / load.requests * 1e6
        values["system"] = cost.system / load.requests * 1e6
        values["cpu"] = values["user"] + values["system"]
    if not load.held:
        values |= {name: value for name in LATENCIES if (value := getattr(load, name)) is not None}
    return values


def _memory_figures(
    before: dict[int, measure.Memory], after: dict[int, measure.Memory], cost: measure.Cost, load: Load
) -> dict[str, float]:
    """Bytes, of the worker: the process that used most CPU. The held connections did one request each."""
    nothing = measure.Memory(0, 0)
    first, last = before.get(cost.worker, nothing), after.get(cost.worker, nothing)
    values = {
        "rss_before": float(first.rss),
        "rss": float(last.rss),
        "pss": float(last.pss),
        "tree_pss": float(sum(each.pss for each in after.values())),
    }
    if load.held:
        values["kib_per_connection"] = max(0, last.rss - first.rss) / 1024 / load.held
    return values


def _log_notes(log: Path, warm: Load, load: Load) -> list[str]:
    """A server that loses lines is not faster. There may be more lines than answers: runs end mid-request."""
    try:
        with log.open("rb") as lines:
            written = sum(1 for _ in lines)
    except OSError:
        return ["no access log was written"]
    answered = warm.requests + load.requests
    return [] if written >= answered else [f"{answered - written:,} of {answered:,} log lines missing"]


def _framework(workload: Workload, server: Server) -> tuple[str, ...]:
    name = workload.app.partition(":")[0].removeprefix("bench_")
    return (name,) if name != "plain" and not server.name.startswith("floor") else ()


def _environment() -> dict[str, str]:
    inherited = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    paths = [str(APPS), *inherited]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def _free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])
