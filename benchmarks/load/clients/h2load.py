"""Drives h2load (nghttp2): cleartext HTTP/2 with prior knowledge, many streams per connection."""

from __future__ import annotations

import re

from . import Client, ClientFailed, Load, finished, some

STREAMS = 32

_RATE = re.compile(r"^finished in ([0-9.]+)(us|ms|s|m),", re.MULTILINE)
_REQUESTS = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_STATUS = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class H2load(Client):
    def _load(self, seconds: float) -> Load:
        log = self._target.folder / "h2load.log"
        log.unlink(missing_ok=True)
        address, workload = self._target.address, self._target.workload
        command = ["h2load", f"-c{self._target.connections}", f"-m{STREAMS}", "-t1"]
        command += [f"-D{max(1, round(seconds))}", f"--log-file={log}"]
        command.append(f"http://127.0.0.1:{address.port}{workload.path}")
        output = finished(command, seconds)
        finish, requests, status = _RATE.search(output), _REQUESTS.search(output), _STATUS.search(output)
        if not (finish and requests and status):
            raise ClientFailed("h2load printed no summary")
        succeeded, failed, errored, timeout = map(int, requests.groups())
        wrong = sum(map(int, status.groups()[1:]))
        times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        return Load(
            requests=succeeded,
            seconds=float(finish[1]) * _UNITS[finish[2]],
            p50=_percentile(times, 0.5),
            p99=_percentile(times, 0.99),
            p999=_percentile(times, 0.999),
            errors=some({"failed": failed, "read": errored, "timeout": timeout, "status": wrong}),
            notes=(f"{self._target.connections} connections × {STREAMS} streams",),
        )


def _percentile(ordered: list[int], share: float) -> float | None:
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None
