"""Drives wrk: closed loop, one thread, keep-alive unless the workload says otherwise."""

from __future__ import annotations

import json
from pathlib import Path

from . import Client, ClientFailed, Load, finished, some

_SCRIPT = Path(__file__).with_name("wrk.lua")


class Wrk(Client):
    def _load(self, seconds: float) -> Load:
        workload, address = self._target.workload, self._target.address
        whole = max(1, round(seconds))
        scheme = "https" if address.tls else "http"
        command = ["wrk", "-t1", f"-c{self._target.connections}", f"-d{whole}s", "--timeout", "5s"]
        command += ["-s", str(_SCRIPT), f"{scheme}://127.0.0.1:{address.port}{workload.path}", "--"]
        command += [workload.method, str(workload.body), str(workload.pipeline)]
        for name, value in workload.headers:
            command += [name, value]
        for line in finished(command, whole).splitlines():
            if line.startswith("JSON "):
                return _load(json.loads(line[5:]), pipelined=workload.pipeline > 1)
        raise ClientFailed("wrk printed no summary")


def _load(summary: dict[str, int], pipelined: bool) -> Load:
    # wrk times a pipelined batch as one request and counts it as many: its percentiles are then void.
    known = summary["requests"] > 0 and not pipelined
    return Load(
        requests=summary["requests"],
        seconds=summary["microseconds"] / 1e6,
        p50=summary["p50"] if known else None,
        p99=summary["p99"] if known else None,
        p999=summary["p999"] if known else None,
        errors=some({name: summary[name] for name in ("connect", "read", "write", "status", "timeout")}),
    )
