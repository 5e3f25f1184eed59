"""Puts the figures of a stored run into the page for users, between the marks that page has for them.

    python benchmarks/load/page.py benchmarks/results/NAME.json [docs/benchmarks.md]

What stood there before is replaced. One short table per interpreter, the goals, the plots, and a link to the whole
table, which `run.py --output` has written beside the JSON.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import goals
from report import NONE, Key, Row, medians, number, rows, stored
from servers import SERVERS
from workloads import WORKLOADS

BEGIN, END = "<!-- results: written by benchmarks/load/page.py -->", "<!-- end of results -->"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def figures(run: dict[str, Any], prefix: Path, page: Path) -> str:
    """The Markdown between the marks."""
    beside = os.path.relpath(prefix.parent.resolve(), page.parent.resolve())
    lines = [f"- {name}: {value}" for name, value in run["host"].items()]
    lines.append(f"- {medians(run)} of {run['seconds']:g} s, in full: [{prefix.name}.md]({beside}/{prefix.name}.md)")
    lines += ["", "In brackets: how many times Pronghorn's figure. –: the server does not have it."]
    known = rows(run["results"])
    for python in run["pythons"]:
        lines += ["", f"### CPU µs per request, Python {python}", "", *_table(run, known, python)]
    lines += ["", "### The goals", "", goals.table(run).rstrip()]
    plots = sorted(prefix.parent.glob(f"{prefix.name}-*.svg"))
    lines += [line for plot in plots for line in ("", f"![{plot.stem}]({beside}/{plot.name})")]
    return "\n".join(lines) + "\n"


def _table(run: dict[str, Any], known: dict[Key, Row], python: str) -> list[str]:
    """Each peer's figure with how many times ours it is."""
    servers = [name for name in SERVERS if any(key[0] == python and key[2] == name for key in known)]
    lines = ["| workload |" + "".join(f" {SERVERS[name].label} |" for name in servers)]
    lines.append("|---|" + "--:|" * len(servers))
    for name in run["workloads"]:
        if WORKLOADS[name].client != "idle":
            cells = [_cell(known, (python, name, server)) for server in servers]
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def _cell(known: dict[Key, Row], key: Key) -> str:
    row, ours = known.get(key), known.get((*key[:2], "pronghorn"))
    cpu = row.middle("cpu") if row else None
    if row is None or cpu is None:
        return NONE
    ratio = row.ratio(ours, "cpu") if ours and key[2] != "pronghorn" else None
    return number(cpu) + (f" (× {ratio.middle:.2f})" if ratio else "")


def main() -> None:
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} RESULT.json [PAGE.md]")
    result = Path(sys.argv[1])
    page = Path(sys.argv[2]) if len(sys.argv) == 3 else PAGE
    before, mark, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"{page} has no place for results: {BEGIN} … {END}")
    text = figures(stored(str(result)), result.with_suffix(""), page)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
    print(f"Wrote {page}")


if __name__ == "__main__":
    main()
