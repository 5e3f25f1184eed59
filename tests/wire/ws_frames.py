"""What the tests of frames share: a reader of events, and streams of frames, most of them right."""

from __future__ import annotations

from hypothesis import strategies as st

from pronghorn.wire.ws_deflate import Inflater
from pronghorn.wire.ws_frames import Event, FrameParser
from pronghorn.wire.ws_messages import Unpacker
from pronghorn.wire.ws_vocabulary import FrameError
from tests.support.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, sent

MAX_SIZE = 1000

client_frames = st.builds(
    sent,
    st.sampled_from([CONT, CONT, TEXT, TEXT, BINARY, CLOSE, PING, PONG, 3]),
    st.one_of(st.binary(max_size=20), st.text(max_size=10).map(str.encode), st.integers(100, 400).map(bytes)),
    st.sampled_from([True, True, False]),
    st.sampled_from([0] * 12 + [1, 4]),
    st.binary(min_size=4, max_size=4),
)


def reading(parser: FrameParser, inflater: Inflater | None = None, max_size: int = 0):
    """A pair of who reads frames and who unpacks the messages in them."""
    return parser, Unpacker(max_size, 0, inflater)


def deflating(max_size: int, inflater: Inflater | None = None):
    """As ``reading``, where messages may be compressed."""
    return reading(FrameParser(max_size, True), inflater or Inflater(), max_size)


def ask(parser):
    """The next event that a frame alone is not."""
    while (event := parser.next()) == Event.FRAGMENT:
        pass
    return event


def pull(reader, into: list, budget: int = 1 << 20) -> None:
    """Take every event that is there, and the error that ends them."""
    parser, unpacker = reader
    while not into or into[-1][0] != "error":
        try:
            event = parser.next()
            if event == Event.MESSAGE:
                into.append(message(parser, unpacker, budget))
        except FrameError as error:
            into.append(("error", error.code))
            return
        if event == Event.NEED_DATA:
            return
        if event == Event.CLOSE:
            into.append(("close", parser.close_code, parser.close_reason))
        elif event not in (Event.MESSAGE, Event.FRAGMENT):
            into.append((Event(event).name.lower(), parser.data))


def message(parser, unpacker, budget):
    assert (parser.data if parser.is_text else parser.text) in (b"", "")
    if parser.payload is None:
        return ("text", parser.text) if parser.is_text else ("binary", parser.data)
    assert not parser.text
    assert not parser.data
    unpacker.begin(parser.payload, parser.is_text, parser.is_deflated)
    while unpacker.is_busy:
        assert unpacker.go_on(budget) > 0 or not unpacker.is_busy
    return ("text", unpacker.text) if parser.is_text else ("binary", unpacker.data)


def events(*pieces: bytes, max_size: int = MAX_SIZE, make=FrameParser) -> list:
    reader = reading(make(max_size))
    found: list = []
    for piece in pieces:
        reader[0].feed(piece)
        pull(reader, found)
    return found


def each_way(data: bytes):
    """The input whole, in two parts split everywhere, and one byte at a time."""
    yield [data]
    for i in range(1, len(data)):
        yield [data[:i], data[i:]]
    yield [data[i : i + 1] for i in range(len(data))]
