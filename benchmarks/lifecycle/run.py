"""Requests lost while workers come and go, and how evenly connections spread.

    python benchmarks/lifecycle/run.py                                  everything, Pronghorn only
    python benchmarks/lifecycle/run.py --short --scenarios hup,term     a minute
    python benchmarks/lifecycle/run.py --workers pronghorn.AsyncWorker,uvicorn_worker.UvicornWorker,asgi
    python benchmarks/lifecycle/run.py --scenarios max-requests,hup --front nginx,haproxy
    python benchmarks/lifecycle/run.py --spread 64,1000,slow,blocked,hup

The servers run under the interpreter that runs this. README.md says what is counted. Exit code 1 when Pronghorn lost
something that no scenario forgives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import scenarios
import spread
from fronts import Front

_OURS = "pronghorn.AsyncWorker"


def main() -> None:
    arguments = _arguments()
    result: dict[str, list[dict[str, object]]] = {"scenarios": [], "spread": []}
    size = scenarios.SHORT if arguments.short else scenarios.FULL
    names = _names(arguments.scenarios, list(scenarios.SCENARIOS))
    fronts = [None if name == "none" else Front(name) for name in arguments.front.split(",")]
    for front in fronts:
        if front is not None and not front.is_installed:
            raise SystemExit(f"{front.name} is not installed")
    for name in names:
        for front in fronts:
            for worker in arguments.workers.split(","):
                if worker != "granian" and not (front and name == "term"):
                    row = asyncio.run(scenarios.run(scenarios.SCENARIOS[name], worker, size, front))
                    result["scenarios"].append(row)
                    print(json.dumps(row, ensure_ascii=False), file=sys.stderr, flush=True)
    for worker in arguments.workers.split(","):
        result["spread"] += asyncio.run(spread.measure(worker, _names(arguments.spread, list(spread.CASES))))
    text = _markdown(result)
    print(text, end="")
    if arguments.output:
        Path(arguments.output + ".md").write_text(text, encoding="utf-8")
        Path(arguments.output + ".json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    ours = [row for row in result["scenarios"] if row["worker"] == _OURS]
    raise SystemExit(0 if all(row["passed"] for row in ours) else 1)


def _names(given: str, known: list[str]) -> list[str]:
    names = known if given == "all" else [name for name in given.split(",") if name and name != "none"]
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


def _markdown(result: dict[str, list[dict[str, object]]]) -> str:
    lines = []
    if result["scenarios"]:
        names = "scenario, worker class, in front, seconds, answered, lost, refused, longest s, stalled s, what"
        lines.append(f"| {' | '.join(names.split(', '))} |")
        lines.append("|---|---|---|--:|--:|--:|--:|--:|--:|---|")
        for row in result["scenarios"]:
            kinds = row["kinds"]
            assert isinstance(kinds, dict)
            what = ", ".join([*(f"{count} × {kind}" for kind, count in kinds.items()), *filter(None, [row["note"]])])
            lines.append(
                f"| {row['scenario']} | {row['worker']} | {row['front']} | {row['seconds']} | {row['answered']:,} "
                f"| {row['lost']} | {row['refused']} | {row['longest_s']} | {row['stalled_s']} | {what} |"
            )
        lines.append("")
    if result["spread"]:
        lines += ["| connections | worker class | per worker | max/mean | longest s | |", "|---|---|---|--:|--:|---|"]
        for row in result["spread"]:
            counts = row["counts"]
            assert isinstance(counts, list)
            lines.append(
                f"| {row['case']} | {row['worker']} | {'/'.join(map(str, counts))} | {row['max/mean']} "
                f"| {row['longest_s']} | {row['note']} |"
            )
        lines.append("")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--workers", default=_OURS, metavar="A,B", help="worker classes of Gunicorn; also: granian (spread only)")
    add("--scenarios", default="all", metavar="A,B", help=f"all, none, or of: {', '.join(scenarios.SCENARIOS)}")
    add("--spread", default="all", metavar="A,B", help=f"all, none, or of: {', '.join(spread.CASES)}")
    add("--front", default="none", metavar="A,B", help="none, nginx, haproxy (default: none)")
    add("--short", action="store_true", help="a few seconds for each scenario, with fewer clients")
    add("--output", metavar="PREFIX", help="write PREFIX.md and PREFIX.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
