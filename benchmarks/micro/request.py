"""Time of head parsing, and of a whole request from bytes to response against transports that go nowhere.

    python benchmarks/micro/request.py [--repeat 7] [--number 20000]

Prints microseconds per request, the best of the repeats (noise only ever adds), for a 40-byte and a browser's request.
Sixteen connections are read, then the loop runs, so a whole request has a sixteenth of a turn of the loop in it, of two
where tasks cannot start eagerly (before Python 3.12). Left out is what the kernel does: reads, writes, wake-ups.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import uvloop
from timing import arguments, best
from wire import AT_ONCE, BROWSER, CONTENT, SMALL, Wire, hello

import pronghorn
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules


def parse(data: bytes) -> Callable[[], None]:
    parser = Http1Parser(Rules())

    def once() -> None:
        parser.feed(data)
        parser.next()
        parser.next()

    return once


async def answered(data: bytes, repeat: int, number: int, **attributes: Any) -> float:
    """Microseconds of a request, in the best of ``repeat`` rounds; ``attributes`` as in ``Wire``."""
    wire = Wire(hello, **attributes)
    turns = max(1, number // AT_ONCE)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(turns):
            await wire.ask(data)
        times.append(time.perf_counter() - start)
    wire.check(repeat * turns * AT_ONCE, CONTENT)
    return min(times) / (turns * AT_ONCE) * 1e6


async def main() -> None:
    options = arguments(__doc__, 7, 20000 if pronghorn.compiled else 2000)
    for name, data in (("small", SMALL), ("browser", BROWSER)):
        head = best(parse(data), options.repeat, options.number)
        whole = await answered(data, options.repeat, options.number)
        print(f"{name:8} {len(data):4} bytes   head {head:6.2f} us   whole request {whole:6.2f} us")


if __name__ == "__main__":
    uvloop.run(main())
