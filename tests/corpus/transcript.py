"""What a parser said, as a flat list that can be compared: the expected side of a case and the observed
side alike.

Owns the words of a transcript and the one loop that drives a parser over pieces of input. It knows nothing
of files or of how a test splits its input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

Fields = tuple[tuple[bytes, bytes], ...]


class Head(NamedTuple):
    """A complete request head: the attributes of ``pronghorn.wire.request.Request``."""

    method: str
    target: bytes
    version: str
    path: str
    raw_path: bytes
    query: bytes
    fields: Fields
    length: int = -1
    chunked: bool = False
    has_body: bool = False
    keep_alive: bool = True
    expect_continue: bool = False
    accepts_trailers: bool = False
    upgrade: bytes = b""


class Body(NamedTuple):
    """Content of one message. Neighbouring pieces are joined: where one ends depends on the reads."""

    data: bytes


class End(NamedTuple):
    """The end of a message with a body."""

    trailers: Fields = ()


class Error(NamedTuple):
    """The peer was refused. An expectation has a fragment of the ``reason``, an observation all of it."""

    status: int
    reason: str


Transcript = list["Head | Body | End | Error"]


class Build(NamedTuple):
    """One importable build of the parser: the installed one, or the same sources loaded uncompiled."""

    name: str
    parser: Any
    rules: Any
    event: Any
    protocol_error: Any

    @classmethod
    def of(cls, name: str, parser: ModuleType, rules: ModuleType, errors: ModuleType) -> Build:
        """Return the build that these modules make."""
        return cls(name, parser.Http1Parser, rules.Rules, parser.Event, errors.ProtocolError)


class Reader:
    """Feeds one parser and notes what it says.

    A parser which makes events out of nothing would never come to rest; ``_most_events`` turns that into a
    failure.
    """

    def __init__(self, build: Build, settings: Mapping[str, Any]) -> None:
        self.build = build
        self.settings = settings
        self.parser = build.parser(build.rules(**settings))
        self.transcript: Transcript = []
        #: Where each message begins, the one not yet begun included.
        self.starts = [0]
        self._fed = 0
        self._seen = 0

    @property
    def failed(self) -> bool:
        return bool(self.transcript) and isinstance(self.transcript[-1], Error)

    def hand_over(self, data: bytes) -> None:
        """Give ``data`` to the parser without asking what it says."""
        self.parser.feed(data)
        self._fed += len(data)

    def feed(self, data: bytes) -> None:
        """Feed ``data`` and take events until the parser wants more or refuses."""
        self.hand_over(data)
        event = self.build.event
        while True:
            try:
                said = self.parser.next()
            except self.build.protocol_error as error:
                self._refused(Error(error.status, error.reason))
                return
            if said == event.NEED_DATA:
                return
            self._seen += 1
            assert self._seen <= self._most_events, "the parser makes events out of nothing"
            self._note(said)

    @property
    def _most_events(self) -> int:
        # Each HEAD and each DATA consumes at least one byte, and at most one END follows a HEAD.
        return 2 * self._fed

    def _refused(self, error: Error) -> None:
        if self.failed:
            assert self.transcript[-1] == error, "a refusal must stay the same refusal"
        else:
            self.transcript.append(error)

    def _note(self, said: Any) -> None:
        event = self.build.event
        assert not self.failed, "an event after a refusal"
        if said == event.HEAD:
            head = head_of(self.parser.request)
            self.transcript.append(head)
            if not head.has_body:
                self.starts.append(self._fed - self.parser.buffered())
        elif said == event.DATA:
            data = self.parser.data
            assert type(data) is bytes, "content is bytes"
            assert data, "a DATA event with no data"
            last = self.transcript[-1]
            if isinstance(last, Body):
                self.transcript[-1] = Body(last.data + data)
            else:
                assert isinstance(last, Head), "content outside a message"
                self.transcript.append(Body(data))
        else:
            assert said == event.END, f"unknown event {said!r}"
            self.transcript.append(End(tuple(self.parser.trailers)))
            self.starts.append(self._fed - self.parser.buffered())


def head_of(request: Any) -> Head:
    """Copy ``request`` into a ``Head``, insisting on exact types: they go straight into an ASGI scope."""
    texts = (request.method, request.http_version, request.path)
    raw = (request.target, request.raw_path, request.query_string, request.upgrade)
    assert all(type(text) is str for text in texts), texts
    assert all(type(octets) is bytes for octets in raw), raw
    assert all(type(name) is bytes and type(value) is bytes for name, value in request.headers), request.headers
    return Head(
        request.method,
        request.target,
        request.http_version,
        request.path,
        request.raw_path,
        request.query_string,
        tuple(request.headers),
        request.content_length,
        bool(request.chunked),
        bool(request.has_body),
        bool(request.keep_alive),
        bool(request.expect_continue),
        bool(request.accepts_trailers),
        request.upgrade,
    )


def without_wording(transcript: Transcript) -> Transcript:
    """Return ``transcript`` with the status of its refusal alone.

    How a refusal is worded may depend on how much of a line had arrived; which status it has must not.
    """
    return [Error(event.status, "") if isinstance(event, Error) else event for event in transcript]


def transcript_of(build: Build, settings: Mapping[str, Any], pieces: Iterable[bytes]) -> Transcript:
    """Return what a new parser of ``build`` says about ``pieces``, fed one after the other."""
    reader = Reader(build, settings)
    for piece in pieces:
        reader.feed(piece)
    return reader.transcript
