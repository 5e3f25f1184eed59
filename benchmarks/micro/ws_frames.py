"""Times WebSocket frames: unmasking, reading and writing messages of 32 B, 4 KiB and 1 MiB, in both builds.

    python benchmarks/micro/ws_frames.py [--seconds 0.2] [--build compiled|interpreted|both]

The interpreted build is the same source, loaded past the compiled module. Each figure is the best of five
rounds: what the code takes when nothing disturbs it. Read the ratios; the figures move with the machine, and
from 1 MiB on with how the C library gives memory back and takes it again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest import mock

SIZES = {"32 B": 32, "4 KiB": 4096, "1 MiB": 1 << 20}
#: What one read of a socket hands over at most.
READ = 256 * 1024
KEY = b"\x37\xfa\x21\x3d"
ROUNDS = 5


class Build(NamedTuple):
    """What is timed."""

    masking: ModuleType
    frames: ModuleType
    writer: ModuleType
    deflate: ModuleType
    messages: ModuleType


def load(compiled: bool) -> Build | None:
    """The modules in the build that is asked for, or None where there is no such build."""
    names = [f"pronghorn.wire.ws_{name}" for name in Build._fields]
    installed = Build(*map(importlib.import_module, names))
    if compiled == (Path(str(installed.frames.__file__)).suffix != ".py"):
        return installed
    if compiled:
        return None
    with mock.patch.dict(sys.modules):
        # In this order each finds the ones that it imports interpreted.
        modules = list(map(interpreted, names))
    return None if None in modules else Build(*filter(None, modules))


def interpreted(name: str) -> ModuleType | None:
    source = Path(str(sys.modules[name].__file__)).with_name(f"{name.rpartition('.')[2]}.py")
    if not source.exists():
        return None
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def best(call: Callable[[], object], seconds: float) -> float:
    """Microseconds a call, in the best of some rounds that together take about ``seconds``."""
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    number = max(1, int(seconds / ROUNDS / once))
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(number):
            call()
        rounds.append((time.perf_counter() - start) / number)
    return min(rounds) * 1e6


def client_frame(build: Build, opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    header = bytearray(build.writer.header(opcode, len(payload), True, rsv1))
    header[1] |= 0x80
    masked = bytearray(payload)
    build.masking.unmask(masked, 0, len(masked), struct.unpack("!I", KEY)[0])
    return bytes(header) + KEY + bytes(masked)


def reader(build: Build, data: bytes, inflater: object = None) -> Callable[[], object]:
    """A call that reads one message as a connection does: what a read of the socket gave, then all events."""
    parser = build.frames.FrameParser(16 << 20, inflater is not None)
    unpacker = build.messages.Unpacker(16 << 20, 0, inflater)
    feed, pull = parser.feed, parser.next
    reads = [data[i : i + READ] for i in range(0, len(data), READ)]

    def read() -> None:
        for piece in reads:
            feed(piece)
            while pull():
                if parser.payload is not None:
                    unpacker.begin(parser.payload, parser.is_text, parser.is_deflated)
                    while unpacker.is_busy:
                        unpacker.go_on(1 << 20)

    return read


def time_unmasking(build: Build, seconds: float) -> None:
    for name, size in SIZES.items():
        data = bytearray(random.Random(size).randbytes(size))
        taken = best(lambda data=data, size=size: build.masking.unmask(data, 0, size, 0x37FA213D), seconds)
        print(f"  unmask        {name:>6} {taken:12.3f} µs {size / taken:8,.0f} MB/s")


def time_messages(build: Build, seconds: float) -> None:
    rng = random.Random(7)
    records = [{"id": rng.randrange(10**6), "name": rng.choice(["Ada", "Bob"])} for _ in range(40_000)]
    document = json.dumps(records)
    for name, size in SIZES.items():
        time_message(build, name, document[:size], seconds)


def time_message(build: Build, name: str, text: str, seconds: float) -> None:
    payload = text.encode()
    write_text, write_binary = build.writer.text, build.writer.binary
    # Without takeover, so that the same frame can be read over and over.
    agreed = build.deflate.Deflate(build.deflate.DeflateRules(threshold=0), b"", True, True, 12, 12)
    deflater = agreed.deflater()
    squeezed = client_frame(build, 1, deflater.deflate(payload), True)
    for kind, read, write in (
        ("text", reader(build, client_frame(build, 1, payload)), lambda: write_text(text)),
        ("binary", reader(build, client_frame(build, 2, payload)), lambda: write_binary(payload)),
        ("deflated text", reader(build, squeezed, agreed.inflater()), lambda: write_text(text, deflater)),
    ):
        taken = best(read, seconds)
        written = best(write, seconds)
        print(f"  {kind:13} {name:>6} {taken:12.3f} µs read {written:12.3f} µs written")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=0.2, help="time for each figure (default: 0.2)")
    arguments.add_argument("--build", choices=["compiled", "interpreted", "both"], default="both")
    options = arguments.parse_args()
    print(f"CPython {platform.python_version()}, {platform.platform()}")
    shown = 0
    for title in ("compiled", "interpreted"):
        if options.build in (title, "both"):
            build = load(title == "compiled")
            if build is None:
                print(f"\n{title}: not installed here")
                continue
            print(f"\n{title}: {build.frames.__file__}")
            time_unmasking(build, options.seconds)
            time_messages(build, options.seconds)
            shown += 1
    if not shown:
        sys.exit(1)


if __name__ == "__main__":
    main()
