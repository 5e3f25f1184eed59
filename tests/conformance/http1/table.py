"""Smuggling and injection payloads against several worker classes: prints a Markdown table.

    python -m tests.conformance.http1.table [worker class ...]

A number is the status of a refusal. Where a request was read, the cell says as what; "last" is the request that stands
behind each payload. Bold: read where Pronghorn refuses, or not answered with a whole and legal response.
"""

from __future__ import annotations

import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from tests.conformance.http1.answers import APP, answer
from tests.conformance.http1.payloads import PAYLOADS, Payload
from tests.support.server import GunicornServer

WORKERS = {
    "pronghorn.AsyncWorker": "Pronghorn",
    "uvicorn_worker.UvicornWorker": "UvicornWorker",
    "asgi": "`-k asgi`",
}
#: Seconds of silence after which a server is taken to wait for more.
_PATIENCE = 3.0
_READ = re.compile(r"(\S+ .*?) of (.*) with (\d+) bytes")
_UNANSWERED = ("injected", "malformed", "reset", "closed", "waits", "cut off")
_BY_NAME = {"injected": "header injected", "closed": "no answer", "waits": "waits for more"}


def answers_of(worker: str) -> list[str]:
    """The answer to each payload."""
    with (
        tempfile.TemporaryDirectory() as directory,
        GunicornServer(APP, Path(directory), worker_class=worker) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        return list(pool.map(lambda payload: answer(server, payload, _PATIENCE), PAYLOADS))


def cell(payload: Payload, said: str) -> str:
    """One answer, short; bold as the module says."""
    parts = said.split("; ")
    text = ", ".join(map(_brief, parts))
    refused = payload.answer.split("; ")[0].isdigit()
    bold = (refused and not parts[0].isdigit()) or any(part in _UNANSWERED or "/hidden" in part for part in parts)
    return f"**{text}**" if bold else text


def _brief(part: str) -> str:
    match = _READ.fullmatch(part)
    if match is None:
        return _BY_NAME.get(part, part if part.isdigit() or part in _UNANSWERED else f"200 {part!r}")
    request, host, size = match.groups()
    if request == "GET /last":
        return "last"
    if "/send/" in request:
        return "200"
    return f"{request}" + (f" of {host}" if host != "a" else "") + (f", {size} bytes" if size != "0" else "")


def main(workers: list[str]) -> None:
    found = {worker: answers_of(worker) for worker in workers}
    names = [WORKERS.get(worker, worker) for worker in workers]
    print(f"| | payload | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(workers))
    group = ""
    for number, payload in enumerate(PAYLOADS):
        shown = payload.group if payload.group != group else ""
        group = payload.group
        cells = " | ".join(cell(payload, found[worker][number]) for worker in workers)
        print(f"| {shown} | {payload.name} | {cells} |")
    bold = [sum("**" in cell(*pair) for pair in zip(PAYLOADS, found[worker], strict=True)) for worker in workers]
    print(f"| | in bold, of {len(PAYLOADS)} | {' | '.join(map(str, bold))} |")
    versions = [f"{name} {version(name)}" for name in ("gunicorn", "uvicorn-worker", "uvicorn", "httptools")]
    print("\n" + ", ".join(versions))


if __name__ == "__main__":
    main(sys.argv[1:] or list(WORKERS))
