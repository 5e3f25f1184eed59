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

SIZES = {"32 B": 32, "4 KiB": 4096, "1 MiB": 1 << 20}
#: What one read of a socket hands over at most.
READ = 256 * 1024
KEY = b"\x37\xfa\x21\x3d"
ROUNDS = 5


def load(name: str, compiled: bool) -> ModuleType | None:
    """The module in the build that is asked for, or None where there is no such build."""
    installed = importlib.import_module(f"pronghorn.wire.{name}")
    path = Path(str(installed.__file__))
    if compiled:
        return installed if path.suffix != ".py" else None
    if path.suffix == ".py":
        return installed
    source = path.with_name(f"{name}.py")
    if not source.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"{name}_interpreted", source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
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


def client_frame(frames: ModuleType, opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    header = bytearray(frames.header(opcode, len(payload), True, rsv1))
    header[1] |= 0x80
    masked = bytearray(payload)
    frames.unmask(masked, 0, len(masked), struct.unpack("!I", KEY)[0])
    return bytes(header) + KEY + bytes(masked)


def reader(frames: ModuleType, data: bytes, inflater: object = None) -> Callable[[], object]:
    """A call that reads one message as a connection does: what a read of the socket gave, then all events."""
    parser = frames.FrameParser(16 << 20, inflater)
    feed, pull = parser.feed, parser.next
    reads = [data[i : i + READ] for i in range(0, len(data), READ)]

    def read() -> None:
        for piece in reads:
            feed(piece)
            while pull():
                pass

    return read


def time_unmasking(frames: ModuleType, seconds: float) -> None:
    for name, size in SIZES.items():
        data = bytearray(random.Random(size).randbytes(size))
        taken = best(lambda data=data, size=size: frames.unmask(data, 0, size, 0x37FA213D), seconds)
        print(f"  unmask        {name:>6} {taken:12.3f} µs {size / taken:8,.0f} MB/s")


def time_messages(frames: ModuleType, deflate: ModuleType, seconds: float) -> None:
    rng = random.Random(7)
    records = [{"id": rng.randrange(10**6), "name": rng.choice(["Ada", "Bob"])} for _ in range(40_000)]
    document = json.dumps(records)
    for name, size in SIZES.items():
        time_message(frames, deflate, name, document[:size], seconds)


def time_message(frames: ModuleType, deflate: ModuleType, name: str, text: str, seconds: float) -> None:
    payload = text.encode()
    write_text, write_binary = frames.text, frames.binary
    # Without takeover, so that the same frame can be read over and over.
    agreed = deflate.Deflate(deflate.DeflateRules(threshold=0), b"", True, True, 12, 12)
    deflater = agreed.deflater()
    squeezed = client_frame(frames, 1, deflater.deflate(payload), True)
    for kind, read, write in (
        ("text", reader(frames, client_frame(frames, 1, payload)), lambda: write_text(text)),
        ("binary", reader(frames, client_frame(frames, 2, payload)), lambda: write_binary(payload)),
        ("deflated text", reader(frames, squeezed, agreed.inflater()), lambda: write_text(text, deflater)),
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
            frames, deflate = (load(name, title == "compiled") for name in ("ws_frames", "ws_deflate"))
            if frames is None or deflate is None:
                print(f"\n{title}: not installed here")
                continue
            print(f"\n{title}: {frames.__file__}")
            time_unmasking(frames, options.seconds)
            time_messages(frames, deflate, options.seconds)
            shown += 1
    if not shown:
        sys.exit(1)


if __name__ == "__main__":
    main()
