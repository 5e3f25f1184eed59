"""Drives `lockstep`, our own small client, for what wrk cannot do; see the head of lockstep_client.py.

It is Python, compiled by Cython under the interpreter that runs the benchmark. The compiled module is kept in
`build/bench`, by a digest of what it was made from. Where it cannot be compiled it runs as it is, and each figure
that comes from it carries a note.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import IO

from probe import request_bytes, upgrade_bytes
from process import die_with_parent

from . import GRACE_SECONDS, Client, ClientFailed, Load, Target, finished, some

SATURATION_SHARE = 0.7
_HERE = Path(__file__).parent
_SOURCES = ("lockstep_client.py", "lockstep_client.pxd", "lockstep_build.py")
_KEPT = _HERE.parents[2] / "build" / "bench"
_BUILD_SECONDS = 300.0
_SATURATION_SECONDS = 2.0
_HOLD_SECONDS = 60.0
_SETTLE_SECONDS = 1.0
_COUNTED_SECONDS = 900.0
# Isolated, without site-packages: only the standard library is imported, and the start is short.
_START = (sys.executable, "-I", "-S", "-B", "-c")
_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); import lockstep_client; lockstep_client.main(sys.argv[2:])"


@dataclasses.dataclass(frozen=True)
class Program:
    """The client as it can be run here: `folder` holds the module, `doubt` says why it is not compiled."""

    folder: Path
    description: str
    doubt: str = ""

    @property
    def command(self) -> list[str]:
        return [*_START, _MAIN, str(self.folder)]

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"client not compiled: {self.doubt}",) if self.doubt else ()


def build() -> Program:
    try:
        return _compiled()
    except ClientFailed as failure:
        doubt = str(failure)
    except OSError as error:
        doubt = error.strerror or "cannot be kept"  # without its path: reports name none
    return Program(_HERE, "lockstep (own; not compiled)", doubt)


def _compiled() -> Program:
    for module in ("Cython", "setuptools"):
        if not importlib.util.find_spec(module):
            raise ClientFailed(f"no {module}")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise ClientFailed("no C compiler")
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    module = "lockstep_client" + sysconfig.get_config_var("EXT_SUFFIX")
    kept = _KEPT / f"lockstep-{digest.hexdigest()[:16]}" / module
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=_KEPT) as name:
            for source in _SOURCES:
                shutil.copy(_HERE / source, name)
            command = [sys.executable, str(Path(name, "lockstep_build.py"))]
            try:
                finished(command, _BUILD_SECONDS, "the compilation of the own client")
            except ClientFailed as failure:
                print(failure, file=sys.stderr)  # its words name paths
                raise ClientFailed("the compilation failed") from failure
            Path(name, "made", module).replace(kept)  # at once: another run may be making the same
    return Program(kept.parent, f"lockstep (own; compiled, CPython {sys.version.split()[0]})")


class Closed(Client):
    """Closed loop: as many messages as the server answers."""

    def __init__(self, program: Program, target: Target) -> None:
        super().__init__(target)
        self._program = program

    def _command(self, seconds: float, connections: int, *more: str) -> list[str]:
        folder, workload, address = self._target.folder, self._target.workload, self._target.address
        command = [*self._program.command, "--seconds", str(seconds), "--connections", str(connections), *more]
        command += ["--unix", address.path] if address.path else ["--port", str(address.port)]
        if workload.message:
            (folder / "handshake").write_bytes(upgrade_bytes(workload.path))
            return [*command, "--websocket", str(workload.message), "--handshake", str(folder / "handshake")]
        (folder / "request").write_bytes(request_bytes(workload))
        return [*command, "--request", str(folder / "request")]

    def _load(self, seconds: float, *more: str) -> Load:
        return _load(self._summary(seconds, *more), *self._program.notes)

    def _summary(self, seconds: float, *more: str) -> dict[str, float]:
        command = self._command(seconds, self._target.connections, *more)
        summary: dict[str, float] = json.loads(finished(command, seconds, "lockstep"))
        return summary


class Paced(Closed):
    """Open loop at a given rate; latency counts from the moment a request was due."""

    def run(self, seconds: float) -> Load:
        return self._at(self._target.rate, seconds, f"{self._target.rate:,.0f}/s offered")

    def _at(self, rate: float, seconds: float, note: str) -> Load:
        summary = self._summary(seconds, "--rate", f"{rate:.1f}")
        late = f"{note}, client late by {summary['late_p99']:.0f} µs at p99"
        return _load(summary, late, *self._program.notes)


class Saturated(Paced):
    """Open loop at a share of what the same server just did in a closed loop."""

    def __init__(self, program: Program, target: Target) -> None:
        super().__init__(program, target)
        self._saturation = 0.0

    def warm(self, seconds: float) -> Load:
        self._load(seconds)
        load = self._load(max(_SATURATION_SECONDS, seconds))
        self._saturation = load.requests / load.seconds
        return load

    def run(self, seconds: float) -> Load:
        if not self._saturation:
            raise ClientFailed("no answers in the closed loop that finds saturation")
        rate = SATURATION_SHARE * self._saturation
        share = f"{SATURATION_SHARE:.0%} of {self._saturation:,.0f}"
        return self._at(rate, seconds, f"{rate:,.0f}/s offered, {share}")


class Counted(Closed):
    """Closed loop until a number of requests is answered."""

    def run(self, seconds: float) -> Load:
        return self._load(_COUNTED_SECONDS, "--limit", str(self._target.counted_requests))


class Idle(Closed):
    """Many connections, one request each, then silence until `close`."""

    def __init__(self, program: Program, target: Target) -> None:
        super().__init__(program, target)
        self._holder: subprocess.Popen[bytes] | None = None

    def run(self, seconds: float) -> Load:
        count = self._target.idle_connections
        self._holder = subprocess.Popen(
            self._command(seconds, count, "--hold"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._holder.stdout is not None
        load = _load(json.loads(_line(self._holder.stdout, _HOLD_SECONDS)))
        time.sleep(_SETTLE_SECONDS)  # what the server frees on going idle is freed now
        notes = (f"{load.requests:,} connections held", *self._program.notes)
        return dataclasses.replace(load, held=load.requests, notes=notes)

    def close(self) -> None:
        if self._holder is None:
            return
        holder, self._holder = self._holder, None
        try:
            holder.communicate(timeout=GRACE_SECONDS)  # closes its standard input, which is its sign to end
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()


def _line(stream: IO[bytes], seconds: float) -> str:
    ready, _, _ = select.select([stream], [], [], seconds)
    line = stream.readline() if ready else b""
    if not line:
        raise ClientFailed(f"the connections were not open within {seconds:.0f} s")
    return line.decode()


def _load(summary: dict[str, float], *notes: str) -> Load:
    known = bool(summary["requests"])
    return Load(
        requests=int(summary["requests"]),
        seconds=summary["seconds"],
        p50=summary["p50"] if known else None,
        p99=summary["p99"] if known else None,
        p999=summary["p999"] if known else None,
        errors=some({name: int(summary[name]) for name in ("connect", "read", "status", "timeout")}),
        notes=notes,
    )
