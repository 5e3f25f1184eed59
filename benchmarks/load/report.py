"""Results of all rounds → medians, spreads and ratios → one Markdown table.

Run by itself it prints the table of a stored run: `python report.py results/NAME.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from servers import SERVERS
from workloads import WORKLOADS

NONE = "–"
_MEBI = 1024 * 1024
_SATURATED_SHARE = 0.9
_FOREIGN_SHARE = 0.05
_STEAL_SHARE = 0.02
_OPEN_LOOP = frozenset({"paced", "saturated"})


@dataclass(frozen=True)
class Figure:
    """The median of one value over the rounds, and the smallest and largest."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Figure | None:
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Row:
    """All rounds of one workload on one server under one interpreter."""

    python: str
    workload: str
    server: str
    rounds: list[dict[str, Any]]

    @property
    def good(self) -> list[dict[str, Any]]:
        return [each for each in self.rounds if each["status"] == "ok"]

    def figure(self, name: str) -> Figure | None:
        return Figure.of([each["values"][name] for each in self.good if name in each["values"]])

    def middle(self, name: str) -> float | None:
        figure = self.figure(name)
        return figure.middle if figure else None

    def ratio(self, base: Row, name: str) -> Figure | None:
        """To another server, round by round: both were measured within moments of each other."""
        others = {each["round"]: each["values"].get(name) for each in base.good}
        pairs = ((each["values"].get(name), others.get(each["round"])) for each in self.good)
        return Figure.of([mine / theirs for mine, theirs in pairs if mine is not None and theirs])


Key = tuple[str, str, str]


def rows(results: Iterable[dict[str, Any]]) -> dict[Key, Row]:
    """In the order first seen; keyed by interpreter, workload, server."""
    found: dict[Key, Row] = {}
    for each in results:
        key = each["python"], each["workload"], each["server"]
        found.setdefault(key, Row(*key, rounds=[])).rounds.append(each)
    return found


def markdown(run: dict[str, Any]) -> str:
    baseline = run["baseline"]
    table = rows(run["results"])
    label = SERVERS[baseline].label
    lines = [*_host(run), ""]
    lines += [
        f"| workload | Python | server | CPU µs/request (min–max) | user + sys | × {label} (min–max) "
        "| requests/s (min–max) | p50 ms | p99 ms | p99.9 ms | worker RSS MiB | errors | notes |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    order = [*WORKLOADS]
    for key in sorted(table, key=lambda key: (order.index(key[1]), run["pythons"].index(key[0]))):
        lines.append(_line(table[key], table.get((key[0], key[1], baseline))))
    lines += ["", *_legend(run)]
    return "\n".join(lines) + "\n"


def _host(run: dict[str, Any]) -> list[str]:
    lines = [f"- {name}: {value}" for name, value in run["host"].items()]
    lines += [f"- Python {name}: {versions}" for name, versions in run["versions"].items()]
    lines.append(f"- command: `{run['command']}`")
    return lines


def _line(row: Row, base: Row | None) -> str:
    workload = WORKLOADS[row.workload]
    cells = [workload.name, row.python, SERVERS[row.server].label]
    if not row.good:
        last = row.rounds[-1]
        word = NONE if last["status"] == "unsupported" else "**failed**"
        return _join([*cells, word, *([NONE] * 8), _words(last["reason"])])
    idle = workload.client == "idle"
    cells += [NONE, NONE] if idle else [_spread(row.figure("cpu")), _user_and_system(row)]
    cells += [_ratio(row, base, workload.figure), NONE if idle else _spread(row.figure("rps"))]
    cells += [_scaled(row.middle(name), 1000) for name in ("p50", "p99", "p999")]
    cells += [_scaled(row.middle("rss"), _MEBI), _errors(row), _notes(row)]
    return _join(cells)


def _user_and_system(row: Row) -> str:
    user, system = row.middle("user"), row.middle("system")
    return NONE if user is None or system is None else f"{number(user)} + {number(system)}"


def _ratio(row: Row, base: Row | None, name: str) -> str:
    ratio = row.ratio(base, name) if base else None
    if ratio is None:
        return NONE
    text = with_range(ratio, "{:.2f}".format)
    return text if name == "cpu" else f"{_FIGURES[name]}: {text}"


def _errors(row: Row) -> str:
    totals: dict[str, int] = {}
    for each in row.good:
        for name, count in each["errors"].items():
            totals[name] = totals.get(name, 0) + count
    return ", ".join(f"{count:,} {name}" for name, count in totals.items()) or "0"


def _notes(row: Row) -> str:
    notes = [*row.good[-1]["notes"]]
    bad = len(row.rounds) - len(row.good)
    if bad:
        reason = next(each["reason"] for each in row.rounds if each["status"] != "ok")
        notes.insert(0, f"**{bad} of {len(row.rounds)} rounds failed**: {reason}")
    before, after = row.middle("rss_before"), row.middle("rss")
    if row.workload == "memory-idle" and (each := row.figure("kib_per_connection")):
        notes.append(f"{with_range(each, number)} KiB per connection")
    if row.workload.startswith("memory-") and before and after:
        notes.append(f"RSS {number(before / _MEBI)} → {number(after / _MEBI)} MiB")
    return _words("; ".join([*notes, *_doubts(row)]))


def _doubts(row: Row) -> list[str]:
    """What a reader must know before he believes the figures."""
    client = WORKLOADS[row.workload].client
    busy, foreign, steal = row.figure("busy"), row.figure("foreign"), row.figure("steal")
    doubts: list[str] = []
    if client == "idle":
        return doubts
    if client not in _OPEN_LOOP and busy and busy.middle < _SATURATED_SHARE:
        doubts.append(f"server busy {busy.middle:.0%}: not saturated, requests/s is not its limit")
    if foreign and foreign.high > _FOREIGN_SHARE:
        doubts.append(f"others used up to {foreign.high:.0%} of the server's core")
    if steal and steal.high > _STEAL_SHARE:
        doubts.append(f"hypervisor took up to {steal.high:.0%}")
    return doubts


def _legend(run: dict[str, Any]) -> list[str]:
    named = [f"`{name}`: {WORKLOADS[name].summary}" for name in run["workloads"]]
    return [
        f"{medians(run)} of {run['seconds']:g} s. "
        "The ratio is of CPU per request unless it names another figure, and is taken round by round. "
        "Less is better. –: the server does not have it, or there is nothing to report.",
        "",
        "Workloads: " + "; ".join(named) + ".",
    ]


def _spread(figure: Figure | None) -> str:
    return with_range(figure, number) if figure else NONE


def medians(run: dict[str, Any]) -> str:
    return f"Medians of {run['rounds']} rounds" if run["rounds"] > 1 else "One round"


def with_range(figure: Figure, write: Callable[[float], str]) -> str:
    """The range only where there is one."""
    middle, low, high = write(figure.middle), write(figure.low), write(figure.high)
    return middle if low == high else f"{middle} ({low}–{high})"


def _scaled(value: float | None, unit: float) -> str:
    return NONE if value is None else number(value / unit)


def number(value: float) -> str:
    """Three significant digits, whole thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _words(text: str) -> str:
    """One cell's worth: no line ends, no column ends, not a whole traceback."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= 300 else flat[:299] + "…"


def _join(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_FIGURES = {"cpu": "CPU", "p99": "p99", "kib_per_connection": "KiB/connection", "rss": "RSS"}


def stored(path: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return run


def main(render: Callable[[dict[str, Any]], str] = markdown) -> None:
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} RESULT.json")
    print(render(stored(sys.argv[1])), end="")


if __name__ == "__main__":
    main()
