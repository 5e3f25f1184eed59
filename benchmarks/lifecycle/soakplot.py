"""The soak as a picture: resident memory and descriptors of each process over time, as SVG written by hand.

    python soakplot.py RESULT.json RESULT.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_WIDTH, _HEIGHT = 760, 180
_LEFT, _RIGHT, _TOP, _BETWEEN, _BELOW = 60, 16, 56, 52, 34
_COLOURS = ("#c2571a", "#4d7ea8", "#7d9d5c", "#8c6fae")
_MASTER = "#777777"
_TICKS = 4


def drawing(result: dict[str, object]) -> str:
    samples: list[list[float]] = result["samples"]  # type: ignore[assignment]
    height = _TOP + 2 * _HEIGHT + _BETWEEN + _BELOW
    title = f"{result['minutes']:g} minutes of mixed traffic, workers recycled"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{title}">',
        _STYLE,
        '<rect class="paper" width="100%" height="100%"/>',
        _text(14, 22, title, "title"),
    ]
    span = max(sample[0] for sample in samples) or 1.0
    master = result["master"]
    parts += _panel(samples, span, master, _TOP, "MiB resident: the master in grey, each worker in a colour", 2, 2**20)
    parts += _panel(samples, span, master, _TOP + _HEIGHT + _BETWEEN, "open descriptors", 3, 1)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    samples: list[list[float]], span: float, master: object, top: int, what: str, column: int, unit: int
) -> list[str]:
    """One figure of all processes. The axis begins at 0, or a slow growth would look like one out of all measure, and
    a flat line like noise."""
    most = max(sample[column] for sample in samples) / unit * 1.1
    width = _WIDTH - _LEFT - _RIGHT
    parts = [_text(_LEFT, top - 8, what, "small")]
    for tick in range(_TICKS + 1):
        y = top + _HEIGHT - _HEIGHT * tick / _TICKS
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{most * tick / _TICKS:.0f}", "small", "end"))
    for minute in range(0, int(span / 60) + 1, max(int(span / 60) // 6, 1)):
        parts.append(_text(_LEFT + width * minute * 60 / span, top + _HEIGHT + 16, f"{minute} min", "small", "middle"))
    pids = list(dict.fromkeys(int(sample[1]) for sample in samples))
    workers = [pid for pid in pids if pid != master]
    for pid in pids:
        line = "L".join(
            f"{_LEFT + width * sample[0] / span:.1f} {top + _HEIGHT - _HEIGHT * sample[column] / unit / most:.1f}"
            for sample in samples
            if sample[1] == pid
        )
        colour = _MASTER if pid == master else _COLOURS[workers.index(pid) % len(_COLOURS)]
        parts.append(f'<path class="line" stroke="{colour}" d="M{line}"/>')
    return parts


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{words}</text>'


_STYLE = """<style>
.paper { fill: #ffffff }
text { font-family: system-ui, sans-serif; fill: #222222 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #666666 }
.grid { stroke: #99999944; stroke-width: 1 }
.line { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  .paper { fill: #16181c }
  text { fill: #e6e6e6 }
  .small { fill: #a0a0a0 }
}
</style>"""


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: soakplot.py RESULT.json RESULT.svg")
    Path(sys.argv[2]).write_text(drawing(json.loads(Path(sys.argv[1]).read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
