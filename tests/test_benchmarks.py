"""The programs in ``benchmarks/micro`` and the guard's scenarios run, and print figures of something that was done."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MICRO = BENCHMARKS / "micro"

COMPILED = r"\ncoroutine, compiled +\d+ ns\niterator, compiled +\d+ ns$"
NOT_COMPILED = r"\nnot compiled: (?:\w+ is not installed|there is no C compiler)$"
#: What each program is asked for, how a line of figures reads in what it then prints, and how many there are.
PROGRAMS = {
    "accesslog.py": ("--repeat 1 --number 64", r"call +F us .* batch of 1 +F, of 8 +F, of 64 +F$", 3),
    "forwarded.py": ("--repeat 1 --number 16", r"not trusted +F us   trusted +F us ", 5),
    "http1_vs_httptools.py": ("--repeat 1 --number 20", r", \d+ bytes +F µs +F µs +F$", 2),
    "receive.py": ("--repeat 1 --number 1000", rf"^coroutine, interpreted +F ns(?:{COMPILED}|{NOT_COMPILED})", 1),
    "request.py": ("--repeat 1 --number 16", r"bytes   head +F us   whole request +F us$", 2),
    "ws_frames.py": ("--seconds 0.001 --build interpreted", r"^ .* F µs read +F µs written$", 9),
}
NEEDS = {"forwarded.py": "uvloop", "http1_vs_httptools.py": "httptools", "request.py": "uvloop"}


def printed(path: Path, *arguments: str) -> str:
    command = [sys.executable, str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_is_listed() -> None:
    programs = {path.name for path in MICRO.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    assert programs == set(PROGRAMS)
    assert programs == set(re.findall(r"^\| `(\w+\.py)` \|", (BENCHMARKS / "README.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", PROGRAMS)
def test_micro(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    arguments, line, lines = PROGRAMS[name]
    text = printed(MICRO / name, *arguments.split())
    found = re.findall(line.replace("F", r"(\d+(?:\.\d+)?)"), text, re.MULTILINE)
    assert len(found) == lines, text
    for figures in found:
        for figure in (figures,) if isinstance(figures, str) else figures:
            assert float(figure) > 0, text


def test_instructions() -> None:
    """Without valgrind, so nothing is counted; each scenario checks that it was answered."""
    pytest.importorskip("uvloop")
    scenarios = re.findall(r'^    "([\w-]+)": \(', (BENCHMARKS / "instructions/scenarios.py").read_text(), re.MULTILINE)
    assert "websocket-echo" in scenarios
    text = printed(BENCHMARKS / "instructions/scenarios.py", *scenarios)
    assert [line.split()[0] for line in text.splitlines()] == scenarios


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(MICRO))
    import wire

    yield wire
    del sys.modules["wire"]


def test_what_was_not_answered_is_no_figure(wire: Any) -> None:
    async def answers_nothing(scope: object, receive: object, send: object) -> None:
        await asyncio.get_running_loop().create_future()

    async def run() -> None:
        answered = wire.Wire(wire.hello)
        await answered.ask(wire.SMALL)
        answered.check(wire.AT_ONCE, wire.CONTENT)
        with pytest.raises(RuntimeError, match=f"{wire.AT_ONCE} requests"):
            answered.check(wire.AT_ONCE + 1, wire.CONTENT)
        with pytest.raises(RuntimeError, match="last write"):
            answered.check(wire.AT_ONCE, b"another content")

        slow = wire.Wire(wire.hello, clock=itertools.count().__next__)  # one connection a turn: a second has passed
        await slow.ask(wire.SMALL)
        slow.check(wire.AT_ONCE, wire.CONTENT)

        begun = wire.Wire(answers_nothing, disconnect_grace_period=0)
        for connection in begun.connections:
            connection.data_received(wire.SMALL)
        for _ in range(2):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="last write"):
            begun.check(wire.AT_ONCE, wire.CONTENT)
        await begun.end()

    asyncio.run(run())
