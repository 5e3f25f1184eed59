"""permessage-deflate: RFC 7692's examples, the negotiation as a table, bombs, and two peers."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pronghorn.wire import ws_writer
from pronghorn.wire.ws_deflate import Deflate, Deflater, DeflateRules, Inflater, negotiate
from pronghorn.wire.ws_frames import Event
from pronghorn.wire.ws_handshake import Extension
from pronghorn.wire.ws_vocabulary import FrameError
from tests.wire.ws_frames import deflating, each_way, pull

CONT, TEXT, BINARY, PING = 0, 1, 2, 9
NO_LIMIT = -1
TAIL = b"\x00\x00\xff\xff"
WIDE = DeflateRules(server_max_window_bits=15, client_max_window_bits=15)


def sent(opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False) -> bytes:
    """A client's frame, masked with zero."""
    header = bytearray(ws_writer.header(opcode, len(payload), fin, rsv1))
    header[1] |= 0x80
    return bytes(header) + bytes(4) + payload


def events(reader, *pieces: bytes) -> list:
    found: list = []
    for piece in pieces:
        reader[0].feed(piece)
        pull(reader, found)
    return found


def raw_deflate(data: bytes, wbits: int = -15, level: int = 9, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, wbits)
    return stream.compress(data) + stream.flush(flush)


def deflated(data: bytes) -> bytes:
    return raw_deflate(data).removesuffix(TAIL)


# RFC 7692 section 7.2.3: messages of the client, as payloads with RSV1.

EXAMPLES = {
    "7.2.3.1, one frame": ([("f248cdc9c90700", True)], ["Hello"]),
    "7.2.3.1, fragmented": ([("f248cd", False), ("c9c90700", True)], ["Hello"]),
    "7.2.3.2, shared window": ([("f248cdc9c90700", True), ("f200110000", True)], ["Hello", "Hello"]),
    "7.2.3.3, no compression": ([("000500faff48656c6c6f00", True)], ["Hello"]),
    "7.2.3.4, final block": ([("f348cdc9c9070000", True)], ["Hello"]),
    "7.2.3.4, twice": ([("f348cdc9c9070000", True), ("f248cdc9c90700", True)], ["Hello", "Hello"]),
    "final block and nothing added": (
        [("f348cdc9c90700", True), ("f248cdc9c90700", True)],
        ["Hello", "Hello"],
    ),
    "7.2.3.5, two blocks": ([("f24805000000ffffcac9c90700", True)], ["Hello"]),
    "7.2.3.6, empty": ([("00", True), ("00", True)], ["", ""]),
    "empty last fragment": ([("f248cdc9c90700", False), ("", True)], ["Hello"]),
    "final blocks in fragments": ([("f348cdc9c90700", False), ("f348cdc9c9070000", True)], ["HelloHello"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_rfc(name):
    payloads, texts = EXAMPLES[name]
    data = b""
    first = True
    for payload, fin in payloads:
        data += sent(TEXT if first else CONT, bytes.fromhex(payload), fin, rsv1=first)
        data += sent(PING, b"between")
        first = fin
    for pieces in each_way(data):
        found = events(deflating(100), *pieces)
        assert [event for event in found if event[0] == "text"] == [("text", text) for text in texts]
        assert found.count(("ping", b"between")) == len(payloads)
        assert len(found) == len(texts) + len(payloads)


def test_compressed_and_plain_messages_alternate():
    data = b"".join(
        sent(opcode, deflated(b"Hello") if rsv1 else b"Hello", rsv1=rsv1)
        for opcode in (TEXT, BINARY)
        for rsv1 in (True, False)
    )
    expected = [("text", "Hello")] * 2 + [("binary", b"Hello")] * 2
    for pieces in each_way(data):
        assert events(deflating(5, Inflater(15, takeover=False)), *pieces) == expected


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([sent(TEXT, b"\x06", rsv1=True)], 1007),  # a block of the reserved type
        ([sent(BINARY, b"\xff" * 8, rsv1=True)], 1007),
        ([sent(BINARY, deflated(b"Hello") + b"\x06", rsv1=True)], 1007),
        ([sent(TEXT, deflated(b"\xff"), rsv1=True)], 1007),
        ([sent(TEXT, deflated(b"\xff"), rsv1=True, fin=False), sent(CONT)], 1007),
        ([sent(TEXT, deflated(b"\xe2\x82"), rsv1=True)], 1007),
        ([sent(TEXT, deflated(b"a"), fin=False, rsv1=True), sent(CONT, b"", rsv1=True)], 1002),
        ([sent(PING, b"", rsv1=True)], 1002),
    ],
)
def test_what_is_not_valid(frames, code):
    data = b"".join(frames)
    for pieces in each_way(data):
        assert events(deflating(100), *pieces) == [("error", code)]


def test_text_cut_between_compressed_fragments():
    stream = zlib.compressobj(wbits=-15)
    halves = "a€b".encode()[:2], "a€b".encode()[2:]
    parts = [stream.compress(half) + stream.flush(zlib.Z_SYNC_FLUSH) for half in halves]
    data = sent(TEXT, parts[0], False, True) + sent(CONT, parts[1].removesuffix(TAIL))
    for pieces in each_way(data):
        assert events(deflating(5), *pieces) == [("text", "a€b")]


# The limit.


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000, 100_000])
@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_limit_counts_what_is_inflated(size, level, parts):
    whole = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    stream = zlib.compressobj(level, wbits=-15)
    step = size // parts + 1
    data = b""
    for i in range(parts):
        payload = stream.compress(whole[i * step : (i + 1) * step]) + stream.flush(zlib.Z_SYNC_FLUSH)
        data += sent(CONT if i else BINARY, payload, False, not i)
    data += sent(CONT, b"")
    assert events(deflating(size), data) == [("binary", whole)]
    assert events(deflating(0), data) == [("binary", whole)]
    if size > 1:
        assert events(deflating(size - 1), data) == [("error", 1009)]


def test_incompressible_messages_of_just_the_limit_pass():
    for size in (200, 1000, 100_000):
        message = bytes(random.Random(size).choices(range(144, 256), k=size))
        fixed = zlib.compressobj(9, zlib.DEFLATED, -15, 1, zlib.Z_FIXED)  # nine bits for each byte
        payload = fixed.compress(message) + fixed.flush(zlib.Z_SYNC_FLUSH)
        assert len(payload) > size
        assert events(deflating(size), sent(BINARY, payload, rsv1=True)) == [("binary", message)]


def test_a_bomb_is_refused_before_it_is_inflated():
    limit = 1 << 20
    bomb = deflated(bytes(64 << 20))
    assert len(bomb) < 100_000
    parser, unpacker = deflating(limit)
    parser.feed(sent(BINARY, bomb, rsv1=True))
    tracemalloc.start()
    assert parser.next() == Event.MESSAGE
    assert tracemalloc.get_traced_memory()[1] < 3 * len(bomb) + 10_000  # as it came, until somebody asks
    unpacker.begin(parser.payload, False, True)
    with pytest.raises(FrameError) as caught:  # noqa: PT012 - after some pieces
        while unpacker.is_busy:
            assert unpacker.go_on(1 << 16) < (1 << 16) + 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == 1009
    assert peak < 4 * limit


def test_a_bomb_in_fragments_is_refused():
    stream = zlib.compressobj(9, wbits=-15)
    data = b"".join(
        sent(
            CONT if i else BINARY,
            stream.compress(bytes(300_000)) + stream.flush(zlib.Z_SYNC_FLUSH),
            i == 9,
            not i,
        )
        for i in range(10)
    )
    assert events(deflating(1 << 20), data) == [("error", 1009)]


def test_a_bomb_behind_a_final_block_is_refused():
    bomb = raw_deflate(bytes(100), flush=zlib.Z_FINISH) + raw_deflate(bytes(1 << 20), flush=zlib.Z_FINISH)
    assert events(deflating(1000), sent(BINARY, bomb, rsv1=True)) == [("error", 1009)]
    assert events(deflating(99), sent(BINARY, bomb, rsv1=True)) == [("error", 1009)]


def test_blocks_without_content_are_limited():
    """They inflate to nothing, but are kept until their frame is complete, and cost time."""
    empty = b"\x00\x00\x00\xff\xff" * 1000
    assert events(deflating(1000), sent(BINARY, empty, rsv1=True)) == [("error", 1009)]
    one = sent(BINARY, empty[:1000], False, True)
    assert events(deflating(1000), one + sent(CONT, empty[:1000], False) * 2) == [("error", 1009)]


def test_final_blocks_are_limited():
    for count, expected in ((60, ("binary", b"")), (100, ("error", 1008))):
        data = sent(BINARY, b"\x03\x00" * count + b"\x00", rsv1=True)
        assert events(deflating(0), data) == [expected]


# By the piece.


def by_the_piece(inflater: Inflater, payload: bytes, most: int, budget: int) -> tuple[object, list[int]]:
    """What comes of a message, or the code of its error, and what each piece of the work took."""
    spent = []
    inflater.begin(payload, most)
    try:
        while inflater.data is None:
            spent.append(inflater.go_on(budget))
    except FrameError as error:
        return error.code, spent
    return inflater.data, spent


@pytest.mark.parametrize("budget", [1, 2, 1000, 65_536, 1 << 30])
def test_work_is_done_by_the_piece_and_comes_to_the_same(budget):
    size = 300 if budget < 1000 else 100_000
    noise = random.Random(4).randbytes(size)
    final = raw_deflate(noise[:99], flush=zlib.Z_FINISH) + raw_deflate(bytes(size), flush=zlib.Z_FINISH)
    messages = {
        "zeros": (deflated(bytes(10 * size)), bytes(10 * size)),
        "noise": (deflated(noise), noise),
        "stored": (raw_deflate(noise, level=0).removesuffix(TAIL), noise),
        "final blocks": (final, noise[:99] + bytes(size)),
        "and empty ones": (final + b"\x00", noise[:99] + bytes(size)),
        "blocks of nothing": (b"\x00\x00\x00\xff\xff" * size, b""),
        "nothing": (b"\x00", b""),
    }
    for name, (payload, expected) in messages.items():
        inflater = Inflater(15, takeover=False)
        for most in (len(expected), -1):
            found, spent = by_the_piece(inflater, payload, most, budget)
            assert found == expected, name
            assert max(spent) <= max(budget, 16_384 + 4 + budget), name
            assert len(spent) >= len(expected) // (budget + 1), name
            assert sum(spent) <= len(expected) + len(payload) + 8, name
        if expected:
            assert by_the_piece(Inflater(15), payload, len(expected) - 1, budget)[0] == 1009, name
        assert by_the_piece(Inflater(15), payload + b"\x06", -1, budget)[0] == 1007, name


def test_the_start_of_a_large_message_costs_no_copy_of_its_end():
    """Stopping for the budget, or for a final block, zlib copies what it was given and did not take."""
    noise = random.Random(5).randbytes(1 << 20)
    payload = b"\x03\x00" * 60 + raw_deflate(noise, level=0)
    inflater = Inflater()
    inflater.begin(payload, -1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    inflater.go_on(1000)
    assert tracemalloc.get_traced_memory()[1] - before < 200_000
    tracemalloc.stop()


# Streams.

MESSAGES = [
    b"",
    b"a",
    b"",
    b"Hello" * 20,
    b"Hello" * 20,
    bytes(range(256)) * 10,
    "späte".encode(),
    b"",
    b"\x00" * 70000,
]


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
def test_messages_come_back(takeover, bits, level):
    deflater, inflater = Deflater(bits, takeover, level=level), Inflater(bits, takeover)
    for message in MESSAGES * 2:
        payload = deflater.deflate(message)
        assert payload
        assert inflater.inflate(payload, len(message)) == message


def test_takeover_refers_to_earlier_messages_and_its_absence_does_not():
    message = random.Random(1).randbytes(500)
    with_takeover, without = Deflater(15, True), Deflater(15, False)
    assert len(with_takeover.deflate(message)) > 500
    assert len(with_takeover.deflate(message)) < 50
    first = without.deflate(message)
    assert without.deflate(message) == first
    alone = Inflater(15, takeover=False)
    assert alone.inflate(first, NO_LIMIT) == message
    second = Deflater(15, True)
    second.deflate(message)
    with pytest.raises(FrameError, match="not valid"):
        alone.inflate(second.deflate(message), NO_LIMIT)


def test_nothing_is_kept_without_takeover_and_nothing_taken_early():
    message = random.Random(2).randbytes(5000)
    payload = deflated(message)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    idle = [(Inflater(15), Deflater(15)) for _ in range(10)]
    assert tracemalloc.get_traced_memory()[0] - before < 10 * 1000
    for takeover, least, most in ((False, 0, 1000), (True, 9000, 120_000)):
        inflater, deflater = Inflater(12, takeover), Deflater(12, takeover)
        before = tracemalloc.get_traced_memory()[0]
        deflater.deflate(message)
        assert len(inflater.inflate(payload, NO_LIMIT)) == 5000
        assert least <= tracemalloc.get_traced_memory()[0] - before <= most
    tracemalloc.stop()
    assert len(idle) == 10


@pytest.mark.parametrize("level", [1, 3, 6, 9])
def test_a_window_of_eight_bits_is_never_left(level):
    """zlib's inflate with a window of 256 bytes, fed byte by byte: it has nothing else to look back into."""
    rng = random.Random(level)
    deflater = Deflater(8, True, level=level, mem_level=9)
    peer = zlib.decompressobj(-8)
    words = [rng.randbytes(rng.randrange(3, 40)) for _ in range(30)]
    for _ in range(200):
        message = b"".join(rng.choices(words, k=rng.randrange(1, 60)))
        out = b""
        for i in deflater.deflate(message) + TAIL:
            out += peer.decompress(bytes([i]))
        assert out == message


def test_short_messages_are_sent_as_they_are():
    deflater = Deflater(15, threshold=10)
    assert ws_writer.text("x" * 9, deflater) == ws_writer.text("x" * 9)
    assert ws_writer.binary(b"x" * 9, deflater) == ws_writer.binary(b"x" * 9)
    for data in (ws_writer.text("x" * 10, deflater), ws_writer.binary(b"x" * 10, deflater)):
        assert data[0] & 0x40
        assert data[1] == len(data) - 2
    assert ws_writer.text("", Deflater()) == b"\xc1\x01\x00"


# Negotiation (RFC 7692 section 7.1).


def offer(text: str) -> list[Extension]:
    """Offers from the header's own syntax, quoting aside."""
    found = []
    for item in text.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        found.append(Extension(name, tuple((key, value if equals else None) for key, equals, value in pairs)))
    return found


PMD = "permessage-deflate"


@pytest.mark.parametrize(
    ("offers", "rules", "header", "agreed"),
    [
        (PMD, WIDE, PMD, (False, False, 15, 15)),
        ("Permessage-Deflate", WIDE, PMD, (False, False, 15, 15)),
        (f"{PMD}; client_max_window_bits", WIDE, PMD, (False, False, 15, 15)),
        (f"{PMD}; client_max_window_bits=15", WIDE, PMD, (False, False, 15, 15)),
        *(
            (f"{PMD}; {parameter}", WIDE, f"{PMD}; {parameter}", agreed)
            for parameter, agreed in (
                ("client_max_window_bits=10", (False, False, 15, 10)),
                ("client_max_window_bits=8", (False, False, 15, 8)),
                ("server_max_window_bits=15", (False, False, 15, 15)),
                ("server_max_window_bits=8", (False, False, 8, 15)),
                ("server_no_context_takeover", (True, False, 15, 15)),
                ("client_no_context_takeover", (False, True, 15, 15)),
            )
        ),
        # What the server wants: its own window it may limit anyhow, the client's only if the client said so.
        (PMD, DeflateRules(), f"{PMD}; server_max_window_bits=12", (False, False, 12, 15)),
        (
            f"{PMD}; client_max_window_bits",
            DeflateRules(),
            f"{PMD}; server_max_window_bits=12; client_max_window_bits=12",
            (False, False, 12, 12),
        ),
        (
            f"{PMD}; client_max_window_bits=9; server_max_window_bits=10",
            DeflateRules(),
            f"{PMD}; server_max_window_bits=10; client_max_window_bits=9",
            (False, False, 10, 9),
        ),
        (
            f"{PMD}; server_max_window_bits=14; client_max_window_bits=14",
            DeflateRules(server_no_context_takeover=True, client_no_context_takeover=True),
            f"{PMD}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12;"
            " client_max_window_bits=12",
            (True, True, 12, 12),
        ),
        # The first offer that can be taken.
        (f"x-other, {PMD}; unknown, {PMD}; server_max_window_bits=9, {PMD}", WIDE,
         f"{PMD}; server_max_window_bits=9", (False, False, 9, 15)),
        (f"{PMD}; server_max_window_bits=10, {PMD}; server_max_window_bits=9", WIDE,
         f"{PMD}; server_max_window_bits=10", (False, False, 10, 15)),
    ],
)  # fmt: skip
def test_offers_that_are_taken(offers, rules, header, agreed):
    deflate = negotiate(offer(offers), rules)
    assert isinstance(deflate, Deflate)
    assert deflate.header == header.encode()
    assert agreed == (
        deflate.server_no_context_takeover,
        deflate.client_no_context_takeover,
        deflate.server_max_window_bits,
        deflate.client_max_window_bits,
    )
    assert deflate.deflater().threshold == rules.threshold
    message = random.Random(3).randbytes(2000) * 2
    payload = deflate.deflater().deflate(message)
    assert zlib.decompressobj(-max(9, agreed[2])).decompress(payload + TAIL) == message
    inflater = deflate.inflater()
    # A client that uses its window to the full.
    peer = zlib.compressobj(9, zlib.DEFLATED, -max(9, agreed[3]))
    for _ in range(3):
        payload = (peer.compress(message) + peer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert inflater.inflate(payload, NO_LIMIT) == message
        if agreed[1]:
            peer = zlib.compressobj(9, zlib.DEFLATED, -max(9, agreed[3]))


@pytest.mark.parametrize(
    "parameters",
    [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "server_max_window_bits",
        *(f"{side}_max_window_bits={value}" for side in ("server", "client")
          for value in ("7", "16", "0", "-9", "08", "010", "9.0", "", "x", "1e1", "٩")),
        "server_max_window_bits=10; server_max_window_bits=10",
        "Server_No_Context_Takeover",
    ],
)  # fmt: skip
def test_offers_that_are_declined(parameters):
    offers = offer(f"{PMD}; {parameters}")
    assert negotiate(offers, WIDE) is None
    taken = negotiate([*offers, *offer(PMD)], WIDE)
    assert taken is not None
    assert taken.header == PMD.encode()


def test_no_offer():
    assert negotiate([], WIDE) is None
    assert negotiate(offer("x-webkit-deflate-frame, permessage-bzip2"), WIDE) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_max_window_bits": 8},
        {"server_max_window_bits": 16},
        {"client_max_window_bits": 8},
        {"client_max_window_bits": 16},
        {"level": -1},
        {"level": 10},
        {"mem_level": 0},
        {"mem_level": 10},
        {"threshold": -1},
    ],
)
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DeflateRules(**wrong)


# Others.

bits = st.integers(9, 15)
messages = st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200)), max_size=6)


@given(bits, bits, st.booleans(), st.booleans(), messages)
@settings(max_examples=100, deadline=None)
def test_websockets_understands_and_is_understood(server_bits, client_bits, server_alone, client_alone, exchanged):
    pytest.importorskip("websockets")
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.frames import Frame, Opcode

    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=server_alone,
        client_no_context_takeover=client_alone,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    asked = tuple((name, value) for name, value in factory.get_request_params())
    ours = negotiate([Extension(PMD, asked)], WIDE)
    assert ours is not None
    theirs = factory.process_response_params(offer(ours.header.decode())[0].parameters, [])
    reader, deflater = deflating(1000, ours.inflater()), ours.deflater()
    for message in exchanged:
        opcode = TEXT if isinstance(message, str) else BINARY
        data = message.encode() if isinstance(message, str) else message
        frame = Frame(Opcode(opcode), data).serialize(mask=True, extensions=[theirs])
        assert frame[0] & 0x40
        assert events(reader, frame) == [("text" if opcode == TEXT else "binary", message)]
        received = Frame(Opcode(opcode), deflater.deflate(data), rsv1=True)
        assert bytes(theirs.decode(received, max_size=1000).data) == data


@given(bits, bits, st.booleans(), st.booleans(), messages)
@settings(max_examples=50, deadline=None)
def test_wsproto_understands_and_is_understood(server_bits, client_bits, server_alone, client_alone, exchanged):
    pytest.importorskip("wsproto")
    from wsproto import events as theirs
    from wsproto.connection import Connection, ConnectionType
    from wsproto.extensions import PerMessageDeflate

    extension = PerMessageDeflate(
        client_no_context_takeover=client_alone,
        server_no_context_takeover=server_alone,
        client_max_window_bits=client_bits,
        server_max_window_bits=server_bits,
    )
    asked = offer(f"{PMD}; {extension.offer()}")
    ours = negotiate(asked, WIDE)
    assert ours is not None
    extension.finalize(ours.header.decode())
    client = Connection(ConnectionType.CLIENT, [extension])
    reader, deflater = deflating(1000, ours.inflater()), ours.deflater()
    for message in exchanged:
        if isinstance(message, str):
            assert events(reader, client.send(theirs.TextMessage(message))) == [("text", message)]
            client.receive_data(ws_writer.text(message, deflater))
        else:
            assert events(reader, client.send(theirs.BytesMessage(message))) == [("binary", message)]
            client.receive_data(ws_writer.binary(message, deflater))
        received = list(client.events())
        empty = message[:0]
        assert empty.join(event.data for event in received) == message


@given(st.binary(max_size=300), st.integers(0, 50))
@settings(deadline=None)
def test_any_bytes_give_a_message_or_a_close_code(payload, most):
    try:
        code, inflated = None, Inflater().inflate(payload, most)
    except FrameError as error:
        code, inflated = error.code, b""
    assert code in (None, 1007, 1008, 1009)
    assert len(inflated) <= most
