"""The goals of the project, read off a finished run: what was asked, what was measured, whether it is met.

A goal whose figures are not in the run is left out; it is neither met nor missed.
Run by itself it prints the goals of a stored run: `python goals.py results/NAME.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from report import Key, Row, main, rows, with_range
from servers import SERVERS

_PEERS = ("uvicorn", "asgi", "granian", "hypercorn")


@dataclass(frozen=True)
class Goal:
    """Ours ≤ `factor` × theirs, or with `more` ours ≥ `factor` × theirs. The best of `servers` counts."""

    workload: str
    figure: str
    factor: float
    servers: tuple[str, ...]
    more: bool = False
    against: str | None = None

    def text(self) -> str:
        name = SERVERS[self.servers[0]].label if len(self.servers) == 1 else "the best peer"
        sign = "≥" if self.more else "≤"
        times = "" if self.factor == 1 else f"{self.factor:g} × "
        other = f" ({self.against})" if self.against else ""
        return f"{self.workload}, {_NAMES[self.figure]} {sign} {times}{name}{other}"


GOALS = (
    Goal("plaintext", "cpu", 0.4, ("uvicorn",)),
    Goal("plaintext", "cpu", 0.5, ("granian",)),
    Goal("plaintext", "cpu", 1.35, ("floor",)),
    Goal("access-log", "cpu", 0.25, ("uvicorn",)),
    Goal("access-log", "cpu", 1.3, ("pronghorn",), against="plaintext"),
    Goal("pipeline-16", "rps", 4, ("uvicorn",), more=True),
    Goal("post-1m", "cpu", 1, _PEERS),
    Goal("response-1m", "cpu", 1, _PEERS),
    Goal("json-fastapi", "cpu", 1, _PEERS),
    Goal("websocket-32", "cpu", 0.5, ("uvicorn",)),
    Goal("websocket-4k", "cpu", 0.5, ("uvicorn",)),
    Goal("http2", "rps", 1.5, ("granian",), more=True),
    Goal("tail-70", "p99", 1, _PEERS),
    Goal("tail-70", "p999", 1, _PEERS),
    Goal("tail-equal", "p99", 1, _PEERS),
    Goal("tail-equal", "p999", 1, _PEERS),
    Goal("memory-requests", "rss", 1, ("uvicorn",)),
    Goal("memory-idle", "kib_per_connection", 1, ("uvicorn",)),
)


def table(run: dict[str, Any]) -> str:
    known = rows(run["results"])
    lines = ["| goal | Python | measured | met |", "|---|---|---|---|"]
    for goal in GOALS:
        lines += [line for python in run["pythons"] if (line := _judged(goal, python, known))]
    return "\n".join(lines) + "\n"


def _judged(goal: Goal, python: str, known: dict[Key, Row]) -> str | None:
    ours = known.get((python, goal.workload, "pronghorn"))
    others = [known.get((python, goal.against or goal.workload, name)) for name in goal.servers]
    ratios = [ratio for row in others if ours and row and (ratio := ours.ratio(row, goal.figure))]
    if not ratios:
        return None
    hardest = (min if goal.more else max)(ratios, key=lambda each: each.middle)
    met = hardest.middle >= goal.factor if goal.more else hardest.middle <= goal.factor
    measured = with_range(hardest, "{:.2f}".format)
    return f"| {goal.text()} | {python} | × {measured} | {'yes' if met else '**no**'} |"


_NAMES = {
    "cpu": "CPU/request", "rps": "requests/s", "p99": "p99", "p999": "p99.9", "rss": "RSS",
    "kib_per_connection": "memory per connection",
}  # fmt: skip

if __name__ == "__main__":
    main(table)
