"""Fuzz target of the HTTP/1 request parser.

Invariant: whatever bytes arrive, in whatever pieces and under whatever rules, the parser says the same
events, keeps no more than one unfinished line, and refuses, if it refuses, with one ``ProtocolError`` for
good.

Allowed errors: ``pronghorn.wire.errors.ProtocolError``, and nothing else. Seeds: ``tests/corpus/http1``.

README.md beside this file has the commands.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import mmap
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

#: Rules that inputs choose from with their first byte; the first is what a server has by default.
RULES: list[dict[str, Any]] = [
    {},
    {"limit_request_line": 40, "limit_request_fields": 4, "limit_request_field_size": 40},
    {"limit_request_line": 0, "limit_request_field_size": 0, "limit_request_head": 200},
    {"permit_obsolete_folding": True},
    {"permit_obsolete_folding": True, "limit_request_field_size": 30, "strip_header_spaces": True},
    {"strip_header_spaces": True, "header_map": "refuse", "forwarder_headers": frozenset({"X_Y"})},
    {"permit_unconventional_http_method": True, "permit_unconventional_http_version": True},
    {"casefold_http_method": True, "header_map": "dangerous", "limit_request_line": 30},
]

#: Words of the protocol, and bytes at the borders of its character classes.
WORDS = [
    b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"=", b'"', b"\\", b"#", b"%",
    b"%41", b"?", b"/", b"*", b"@", b"[", b"]", b"[::1]", b"_", b"\x0b", b"\x7f", b"\x80", b"\xff",
    b"\xc3\xa9", b"0", b"1", b"9", b"f", b"GET ", b"POST ", b"CONNECT a:1 ", b"OPTIONS * ", b"get ",
    b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/1.2\r\n", b" HTTP/2.0\r\n", b"http://a.b:80/",
    b"Host: a\r\n", b"X_Y: 1\r\n", b"X : 1\r\n", b" fold\r\n", b"Content-Length: ",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, ", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"TE: trailers\r\n",
    b"Trailer: x\r\n", b"3\r\nabc\r\n", b"3;a=b\r\nabc\r\n", b'1;a="\\""\r\nx\r\n', b"0\r\n\r\n",
    b"0\r\nX: 1\r\n\r\n", b"fffffffffffffff", b"10000000000000000", b"999999999999999999",
    b"9223372036854775808", b"18446744073709551617",
]  # fmt: skip

_MOST_INPUT = 4096
_MOST_POOL = 4000
_HANG_SECONDS = 60


class Target:
    """The invariant, as code. Made after the parser was imported, which atheris wants to instrument first."""

    def __init__(self, *, compare_builds: bool) -> None:
        from tests.corpus.loader import load
        from tests.properties.builds import COMPILED, INSTALLED, PURE
        from tests.properties.test_noise import assert_grammar, most_buffered

        self.compiled = COMPILED
        self._builds = [INSTALLED, PURE] if compare_builds else [INSTALLED]
        self._assert_grammar = assert_grammar
        self._most_buffered = [most_buffered(rules) for rules in RULES]
        self.seeds = [b"\0\0" + case.input for case in load()]

    def check(self, data: bytes) -> tuple[Any, ...]:
        """Check one input and return what is remarkable about it: inputs of one kind give the same."""
        from tests.corpus.transcript import without_wording

        if len(data) < 2:
            return ()
        number = data[0] % len(RULES)
        whole = self._read(self._builds[0], number, [data[2:]])
        for build in self._builds:
            pieces = self._read(build, number, cut(data[2:], data[1]))
            said, expected = without_wording(pieces.transcript), without_wording(whole.transcript)
            assert said == expected, f"cut otherwise, the {build.name} build says {said}, not {expected}"
        kinds = [type(event).__name__[0] for event in whole.transcript]
        last = re.sub(r"'.*'|\".*\"", "", whole.transcript[-1].reason) if whole.failed else ""
        return number, "".join(kinds[:8]), last, whole.parser.state

    def _read(self, build: Any, number: int, pieces: list[bytes]) -> Any:
        from tests.corpus.transcript import Reader

        reader = Reader(build, RULES[number])
        for piece in pieces:
            failed = reader.failed
            reader.feed(piece)
            assert reader.parser.buffered() <= self._most_buffered[number], "more than a line is kept"
            if failed:
                break  # once more after the refusal, which must have stayed, is enough
        self._assert_grammar(reader)
        return reader


def cut(data: bytes, how: int) -> list[bytes]:
    """Cut ``data`` byte by byte, or into pieces whose sizes ``how`` decides."""
    if how % 4 == 0:
        return [data[at : at + 1] for at in range(len(data))]
    if how % 4 == 1:
        at = len(data) * how // 256
        return [data[:at], data[at:]]
    sizes = random.Random(how)
    pieces = []
    at = 0
    while at < len(data):
        size = sizes.randrange(1, 24)
        pieces.append(data[at : at + size])
        at += size
    return pieces


# --- with atheris ---


def fuzz_with_atheris(arguments: list[str], *, compare_builds: bool, seconds: float) -> None:
    """Hand over to libFuzzer, guided by the coverage of the parser's Python source."""
    import atheris

    with atheris.instrument_imports(include=["pronghorn.wire"]):
        from pronghorn.wire import http1_parser  # noqa: F401
    target = Target(compare_builds=compare_builds)
    if target.compiled:
        sys.exit("atheris sees Python code only: install with PRONGHORN_PURE=1, or run without --atheris")

    def test_one_input(data: bytes) -> None:
        target.check(data)

    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", *arguments], test_one_input)
    atheris.Fuzz()


def write_seeds(directory: Path, target: Target) -> None:
    """Write the corpus as libFuzzer wants it, once for each of the rules, and ``WORDS`` as its dictionary."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        for number in range(len(RULES)):
            data = bytes([number, len(seed) % 256]) + seed[2:]
            (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)
    words = "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS)
    directory.with_suffix(".dict").write_text(words)


# --- without atheris ---


class Mutator:
    """Makes inputs from a pool of others. New behaviour joins the pool, which stands in for coverage."""

    def __init__(self, seeds: list[bytes], choice: random.Random) -> None:
        self._pool = list(seeds)
        self._choice = choice

    def add(self, data: bytes) -> None:
        if len(self._pool) < _MOST_POOL:
            self._pool.append(data)
        else:
            self._pool[self._choice.randrange(len(self._pool))] = data

    def make(self) -> bytes:
        choice = self._choice
        if choice.random() < 0.02:
            return choice.randbytes(choice.randrange(200))
        data = bytearray(choice.choice(self._pool))
        for _ in range(1 + int(choice.expovariate(0.7))):
            choice.choice(self._edits)(self, data)
        return bytes([choice.randrange(256), choice.randrange(256)]) + bytes(data[2:_MOST_INPUT])

    def _range(self, data: bytearray) -> slice:
        start = self._choice.randrange(len(data) + 1)
        return slice(start, start + int(self._choice.expovariate(0.2)))

    def _insert_word(self, data: bytearray) -> None:
        at = self._choice.randrange(len(data) + 1)
        data[at:at] = self._choice.choice(WORDS)

    def _overwrite_with_word(self, data: bytearray) -> None:
        at = self._choice.randrange(len(data) + 1)
        word = self._choice.choice(WORDS)
        data[at : at + len(word)] = word

    def _change_byte(self, data: bytearray) -> None:
        if data:
            data[self._choice.randrange(len(data))] = self._choice.randrange(256)

    def _delete(self, data: bytearray) -> None:
        del data[self._range(data)]

    def _repeat(self, data: bytearray) -> None:
        part = self._range(data)
        data[part.start : part.start] = bytes(data[part]) * self._choice.choice([1, 1, 2, 9, 60])

    def _cut_off(self, data: bytearray) -> None:
        del data[self._choice.randrange(len(data) + 1) :]

    def _splice(self, data: bytearray) -> None:
        other = self._choice.choice(self._pool)
        data[self._choice.randrange(len(data) + 1) :] = other[self._choice.randrange(len(other) + 1) :]

    _edits: tuple[Callable[[Mutator, bytearray], None], ...] = (
        _insert_word, _insert_word, _overwrite_with_word, _change_byte, _delete, _repeat, _cut_off, _splice,
    )  # fmt: skip


class LastInput:
    """The input in hand, in a file which outlives a crash, a sanitizer's abort or a hang."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_MOST_INPUT + 4))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _MOST_INPUT + 4)

    def note(self, data: bytes) -> None:
        self._map[:4] = len(data).to_bytes(4, "big")
        self._map[4 : 4 + len(data)] = data

    @staticmethod
    def read(path: Path) -> bytes:
        """Return the input that a file holds, of this class or a plain one of libFuzzer."""
        data = path.read_bytes()
        size = int.from_bytes(data[:4], "big")
        return data[4 : 4 + size] if len(data) == _MOST_INPUT + 4 and size <= _MOST_INPUT else data


def fuzz(target: Target, seconds: float, seed: int, last: LastInput) -> Counter[str]:
    """Mutate for ``seconds`` and return counts. Any exception is a finding; ``last`` has the input."""
    mutator = Mutator(target.seeds, random.Random(seed))
    counts: Counter[str] = Counter()
    seen: set[tuple[Any, ...]] = set()
    until = time.monotonic() + seconds
    while True:
        if counts["inputs"] % 256 == 0:
            faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
            if time.monotonic() >= until:
                break
        data = mutator.make()
        last.note(data)
        kind = target.check(data)
        counts["inputs"] += 1
        counts["bytes"] += len(data)
        counts["refused" if kind and kind[2] else "not refused"] += 1
        if kind not in seen:
            seen.add(kind)
            mutator.add(data)
    faulthandler.cancel_dump_traceback_later()
    counts["kinds of behaviour"] = len(seen)
    return counts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    options.add_argument("--seed", type=int, default=0, help="of the random generator (default 0)")
    options.add_argument("--compare-builds", action="store_true", help="also read with the uncompiled source")
    options.add_argument("--atheris", action="store_true", help="coverage-guided; further arguments are libFuzzer's")
    options.add_argument(
        "--write-seeds", type=Path, metavar="DIR", help="write seeds and DIR.dict for libFuzzer, and stop"
    )
    options.add_argument("--replay", type=Path, metavar="FILE", help="check one input and stop")
    options.add_argument("--last-input", type=Path, default=Path("fuzz-http1.last"), metavar="FILE",
                         help="where the input in hand is kept (default fuzz-http1.last)")  # fmt: skip
    arguments, rest = options.parse_known_args()
    if arguments.atheris:
        fuzz_with_atheris(rest, compare_builds=arguments.compare_builds, seconds=arguments.seconds)
        return
    if rest:
        options.error(f"unknown arguments: {rest}")
    target = Target(compare_builds=arguments.compare_builds)
    if arguments.write_seeds:
        write_seeds(arguments.write_seeds, target)
        return
    if arguments.replay:
        print(target.check(LastInput.read(arguments.replay)))
        return
    print(
        f"build: {'compiled' if target.compiled else 'pure'}, seed {arguments.seed}, {arguments.seconds:g} s",
        flush=True,
    )
    counts = fuzz(target, arguments.seconds, arguments.seed, LastInput(arguments.last_input))
    for name, count in counts.items():
        print(f"{count:>14,} {name}")
    arguments.last_input.unlink()


if __name__ == "__main__":
    main()
