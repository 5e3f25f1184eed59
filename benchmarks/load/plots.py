"""Bar charts of a run as SVG, written by hand: no plotting library for four rectangles and a line.

Owns drawing only; figures come from `report.rows`. Run by itself it writes the plots of a stored run beside
it: `python plots.py results/NAME.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from report import Figure, Row, medians, number, rows, stored
from servers import SERVERS
from workloads import WORKLOADS

_WIDTH = 760
_LEFT = 150
_RIGHT = 110
_BAR = 15
_GAP = 5
_GROUP = 34
_TOP = 66
_COLOURS = {
    "pronghorn": "#c2571a",
    "uvicorn": "#4d7ea8",
    "asgi": "#7d9d5c",
    "granian": "#8c6fae",
    "hypercorn": "#a89a3e",
    "floor": "#9a9a9a",
    "floor-asgi": "#c4c4c4",
}


@dataclass(frozen=True)
class Chart:
    """One figure over several workloads. `unit` is what one printed unit is of the stored value."""

    name: str
    title: str
    axis: str
    figure: str
    unit: float
    workloads: tuple[str, ...]


_CPU = tuple(each.name for each in WORKLOADS.values() if each.figure == "cpu")
_LARGE = ("post-1m", "response-1m", "stream-100")
_SMALL = tuple(name for name in _CPU if name not in _LARGE)
_TAILS = ("tail-70", "tail-equal")
_CPU_AXIS = "µs of server CPU, user + system"
_TAIL_AXIS = "ms from the moment a request was due"
_IDLE = "kib_per_connection"
CHARTS = (
    Chart("cpu", "CPU time per request", _CPU_AXIS, "cpu", 1, _SMALL),
    Chart("cpu-large", "CPU time per request, large bodies", _CPU_AXIS, "cpu", 1, _LARGE),
    Chart("tail-p99", "Latency below saturation, p99", _TAIL_AXIS, "p99", 1e3, _TAILS),
    Chart("tail-p999", "Latency below saturation, p99.9", _TAIL_AXIS, "p999", 1e3, _TAILS),
    Chart("memory-idle", "Memory of one idle connection", "KiB resident", _IDLE, 1, ("memory-idle",)),
    Chart("memory-requests", "Memory of a worker", "MiB resident", "rss", 1 << 20, ("memory-requests",)),
)


def all_of(run: dict[str, Any]) -> dict[str, str]:
    """Name → SVG, one per chart and interpreter that has figures for it."""
    drawings: dict[str, str] = {}
    known = rows(run["results"])
    for python in run["pythons"]:
        suffix = "" if len(run["pythons"]) == 1 else "-" + python.replace(" ", "")
        mine = [row for key, row in known.items() if key[0] == python]
        for chart in CHARTS:
            drawing = _drawing(chart, python, mine, run)
            if drawing:
                drawings[chart.name + suffix] = drawing
    return drawings


def _drawing(chart: Chart, python: str, mine: list[Row], run: dict[str, Any]) -> str | None:
    groups = [(name, bars) for name in chart.workloads if (bars := _bars(chart, name, mine))]
    if not groups:
        return None
    # Each group has its own scale: TLS costs several times a plain request, and both must be readable.
    parts: list[str] = []
    y = float(_TOP)
    for name, bars in groups:
        parts.append(_text(_LEFT - 8, y - 8, WORKLOADS[name].name, "end", "group"))
        parts.append(_text(_LEFT, y - 8, WORKLOADS[name].summary, "start", "small"))
        y = _group(parts, bars, y, chart.unit)
    small = f"{chart.axis}; Python {python}. {medians(run)}; a line spans min–max. Less is better."
    height = y - _GROUP + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(chart.title)}">'
    )
    paper = '<rect class="paper" width="100%" height="100%"/>'
    title = [_text(14, 22, chart.title, "start", "title"), _text(14, 38, small, "start", "small")]
    return "\n".join([head, _STYLE, paper, *title, *parts, "</svg>"]) + "\n"


def _bars(chart: Chart, workload: str, mine: Iterable[Row]) -> list[tuple[str, Figure]]:
    found = ((row.server, row.figure(chart.figure)) for row in mine if row.workload == workload)
    order = [*SERVERS]
    return sorted(((name, figure) for name, figure in found if figure), key=lambda bar: order.index(bar[0]))


def _group(parts: list[str], bars: list[tuple[str, Figure]], y: float, unit: float) -> float:
    """Draws one workload's bars from `y` down; returns where the next group may begin."""
    longest = max(figure.high for _, figure in bars) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    for server, figure in bars:
        middle = y + _BAR / 2
        parts.append(_text(_LEFT - 8, middle + 4, SERVERS[server].label, "end", "label"))
        size = f'width="{figure.middle * scale:.1f}" height="{_BAR}"'
        parts.append(f'<rect x="{_LEFT}" y="{y:g}" {size} fill="{_COLOURS[server]}"/>')
        low, high = _LEFT + figure.low * scale, _LEFT + figure.high * scale
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle:g}H{high:.1f}"/>')
        parts.append(_text(high + 6, middle + 4, number(figure.middle / unit), "start", "label"))
        y += _BAR + _GAP
    return y + _GROUP


def _text(x: float, y: float, words: str, anchor: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


_STYLE = """<style>
.paper { fill: #ffffff }
text { font-family: system-ui, sans-serif; fill: #222222 }
.title { font-size: 16px; font-weight: 600 }
.group { font-size: 12px; font-weight: 600 }
.label { font-size: 12px }
.small { font-size: 11px; fill: #666666 }
.whisker { stroke: #222222; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  .paper { fill: #16181c }
  text { fill: #e6e6e6 }
  .small { fill: #a0a0a0 }
  .whisker { stroke: #e6e6e6 }
}
</style>"""


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: plots.py RESULT.json")
    source = Path(sys.argv[1])
    for name, drawing in all_of(stored(sys.argv[1])).items():
        target = source.with_name(f"{source.stem}-{name}.svg")
        target.write_text(drawing, encoding="utf-8")
        print(target.name)


if __name__ == "__main__":
    main()
