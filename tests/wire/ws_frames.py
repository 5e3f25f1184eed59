"""What the tests of frames share: a reader of events, and streams of frames, most of them right."""

from __future__ import annotations

from hypothesis import strategies as st

from pronghorn.wire.ws_frames import Event, FrameParser
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


def pull(parser, into: list) -> None:
    """Take every event that is there, and the error that ends them."""
    while not into or into[-1][0] != "error":
        try:
            event = parser.next()
        except FrameError as error:
            into.append(("error", error.code))
            return
        if event == Event.NEED_DATA:
            return
        if event == Event.MESSAGE:
            assert (parser.data if parser.is_text else parser.text) in (b"", "")
            into.append(("text", parser.text) if parser.is_text else ("binary", parser.data))
        elif event == Event.CLOSE:
            into.append(("close", parser.close_code, parser.close_reason))
        else:
            into.append((Event(event).name.lower(), parser.data))


def events(*pieces: bytes, max_size: int = MAX_SIZE, make=FrameParser) -> list:
    parser = make(max_size)
    found: list = []
    for piece in pieces:
        parser.feed(piece)
        pull(parser, found)
    return found


def each_way(data: bytes):
    """The input whole, in two parts split everywhere, and one byte at a time."""
    yield [data]
    for i in range(1, len(data)):
        yield [data[:i], data[i:]]
    yield [data[i : i + 1] for i in range(len(data))]
