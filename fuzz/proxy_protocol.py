"""Fuzzes the PROXY protocol parser.

Invariant: however the input is cut, the outcome is the same; what is not part of the header comes back unchanged, and
no more is held than the longest header. Allowed errors: ``ProtocolError`` with status 400.

    python fuzz/proxy_protocol.py --seconds 60 --seed 1     random input, no fuzzer needed
    python fuzz/proxy_protocol.py --atheris corpus/         with atheris; what follows goes to libFuzzer
"""

from __future__ import annotations

import argparse
import random
import sys
import time

ATHERIS = "--atheris" in sys.argv
if ATHERIS:
    import atheris

    with atheris.instrument_imports(include=["pronghorn.wire"]):
        from pronghorn.wire import proxy_protocol
        from pronghorn.wire.errors import ProtocolError
else:
    from pronghorn.wire import proxy_protocol
    from pronghorn.wire.errors import ProtocolError

MODES = ("auto", "v1", "v2")


def outcome(pieces: list[bytes], mode: str) -> tuple[object, ...]:
    parser = proxy_protocol.ProxyHeaderParser(mode)
    rest = b""
    for at, piece in enumerate(pieces):
        try:
            taken = parser.feed(piece)
        except ProtocolError as error:
            assert error.status == 400, error  # noqa: PT017
            return ("error", error.reason)
        assert 0 <= taken <= len(piece)
        rest += piece[taken:]
        if parser.state >= proxy_protocol.State.COMPLETE:
            rest += b"".join(pieces[at + 1 :])
            break
    whole = b"".join(pieces)
    if parser.state == proxy_protocol.State.COMPLETE:
        size = len(whole) - len(rest)
        assert parser.header is not None
        assert whole.endswith(rest)
        assert size <= (proxy_protocol.V1_MOST if parser.header.version == 1 else proxy_protocol.V2_MOST)
        return ("header", parser.header, size)
    if parser.state == proxy_protocol.State.ABSENT:
        assert parser.early + rest == whole
        return ("absent",)
    assert not rest
    assert len(whole) < proxy_protocol.V2_MOST
    return ("more",)


def test_one_input(data: bytes) -> None:
    """The first byte says which mode, and how to cut the rest."""
    if not data:
        return
    mode, step, data = MODES[data[0] % 3], data[0] // 3 or 256, data[1:]
    cut = [data[i : i + step] for i in range(0, len(data), step)]
    whole, parted = outcome([data], mode), outcome(cut, mode)
    assert whole == parted, (whole, parted)


def random_input(rng: random.Random) -> bytes:
    """A header, most of it right, of which some bytes are then changed."""
    first = bytes([rng.randrange(256)])
    header = bytearray(rng.choice((_text, _binary))(rng) + rng.randbytes(rng.choice((0, 1, 40))))
    for _ in range(rng.choice((0, 0, 1, 3))):
        header[rng.randrange(len(header))] = rng.choice((0, 10, 13, 32, 48, 255, rng.randrange(256)))
    return first + bytes(header[: rng.choice((len(header), len(header), rng.randrange(len(header) + 1)))])


def _text(rng: random.Random) -> bytes:
    host = rng.choice(("192.0.2.1", "255.255.255.255", "::1", "2001:db8::ffff", "::ffff:1.2.3.4", "1" * 99, ""))
    words = ["PROXY", rng.choice(("TCP4", "TCP6", "UNKNOWN")), host, host, str(rng.randrange(70000)), "443"]
    return " ".join(words[: rng.choice((6, 6, 2, rng.randrange(1, 7)))]).encode() + b"\r\n"


def _binary(rng: random.Random) -> bytes:
    family = rng.choice((0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, rng.randrange(256)))
    size = {0: 0, 1: 12, 2: 36, 3: 216}.get(family >> 4, 5) + rng.choice((0, 0, 0, -1))
    block = rng.randbytes(max(size, 0))
    fixed = proxy_protocol.V2_SIGNATURE + bytes([rng.choice((0x20, 0x21, 0x21, 0x21)), family])
    for _ in range(rng.choice((0, 0, 1, 3))):
        value = rng.randbytes(rng.choice((0, 1, 5, 300)))
        kind = rng.choice((1, 2, 4, 5, 0x20, 0xEE))
        block += bytes([kind]) + (len(value) + rng.choice((0, 0, 0, 1))).to_bytes(2, "big") + value
    if rng.random() < 0.3:
        block += b"\x03\0\4\0\0\0\0"
        checksum = proxy_protocol.crc32c(fixed + len(block).to_bytes(2, "big") + block)
        block = block[:-4] + checksum.to_bytes(4, "big")
    return fixed + (len(block) + rng.choice((0, 0, 0, 0, 1, 20000))).to_bytes(2, "big") + block


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    count = 0
    while time.monotonic() < end:
        data = random_input(rng)
        try:
            test_one_input(data)
        except BaseException:
            print("failed on", data.hex())
            raise
        count += 1
    print(f"{count} inputs, seed {options.seed}: no failure")


if __name__ == "__main__":
    if ATHERIS:
        sys.argv.remove("--atheris")
        atheris.Setup(sys.argv, test_one_input)
        atheris.Fuzz()
    else:
        main()
