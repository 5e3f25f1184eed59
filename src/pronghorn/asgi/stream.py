"""The waist: what an exchange writes to, and what a protocol hands up. Everything above knows HTTP, not its version.

``Stream`` is implemented in ``net/``, one per request; ``Exchange`` in ``asgi/``. ``RecordingStream`` stands in for a
protocol, so that all of ``asgi/`` can be driven without a socket or a parser.
"""

from __future__ import annotations

from pronghorn.asgi.files import FilePart
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response


class Stream:
    """One request's way back to the peer. All methods return at once; what cannot be written yet is buffered.

    ``sent`` int: bytes of content handed over so far, framing not counted.
    """

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = 0

    def send_informational(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send an interim response: 100 or 103 (RFC 9110 section 15.2)."""
        raise NotImplementedError

    def send_head(self, response: Response, data: bytes, end: bool) -> None:
        """Send the head with the first part of the content; ``end``: it is all. Raises ContentError as below."""
        raise NotImplementedError

    def send_data(self, data: bytes, end: bool) -> None:
        """Send a part of the content. Raises ContentError where it does not fit the declared length."""
        raise NotImplementedError

    def send_file(self, response: Response | None, part: FilePart) -> None:
        """Send a file as content, behind the head where ``response`` is given, and then call ``part.finish``.

        Until then nothing else may be sent, and ``blocked`` is True. Where the exchange ends before, ``part`` is only
        closed. Raises ContentError, with nothing sent, where the file does not fit the declared length.
        """
        raise NotImplementedError

    def send_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """End the response with a trailer section (RFC 9110 section 6.5)."""
        raise NotImplementedError

    def open_tunnel(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Leave HTTP: what follows on this stream, both ways, is the new protocol's bytes.

        HTTP/1 answers 101 (RFC 9110 section 7.8). From here on ``send_data`` writes as it is, ``end`` ends the stream.
        """
        raise NotImplementedError

    def wake_within(self, seconds: float) -> None:
        """Call ``Exchange.on_timeout`` in a tunnel after ``seconds``, replacing an earlier wish; 0: not at all."""
        raise NotImplementedError

    def consumed(self, size: int) -> None:
        """The application has taken ``size`` bytes of the request's content: as many more may be read."""
        raise NotImplementedError

    def blocked(self) -> bool:
        """Whether the peer reads too slowly: ``Exchange.on_writable`` comes when it has caught up."""
        raise NotImplementedError

    def has_unread(self) -> bool:
        """Whether the peer has sent what was not read yet: it is alive, though nothing of it was heard."""
        return False

    def has_left(self) -> bool:
        """Whether the peer is known to be gone, though nothing is read, so that nobody would have heard of it."""
        return False

    def abort(self) -> None:
        """End the exchange where it is: HTTP/1 closes the connection, HTTP/2 resets the stream."""
        raise NotImplementedError


class Exchange:
    """The upward half of the waist: what a protocol tells the exchange that it opened.

    ``request``: Request.
    """

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request

    def start(self) -> None:
        """Run the application. Raises ProtocolError where the request is not what it says to be."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel the application: the time for draining is over."""
        raise NotImplementedError

    def on_data(self, data: bytes) -> None:
        """A part of the request's content, never empty."""
        raise NotImplementedError

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The request is complete."""
        raise NotImplementedError

    def on_disconnect(self, lost: bool) -> None:
        """The peer sends nothing more; ``lost``: it cannot be sent to either."""
        raise NotImplementedError

    def on_fault(self, error: ProtocolError) -> None:
        """The peer broke the protocol or a limit: it gets the error's status, if nothing else was sent."""
        raise NotImplementedError

    def on_writable(self) -> None:
        """``Stream.blocked`` has become False."""
        raise NotImplementedError

    def on_timeout(self) -> None:
        """The time for the whole request is over; in a tunnel, the time of ``Stream.wake_within``."""
        raise NotImplementedError

    def on_drain(self) -> None:
        """The worker is to stop: end what has no end of its own."""
        raise NotImplementedError

    def on_last_call(self) -> None:
        """The time for draining is almost over, and ``cancel`` comes next."""
        raise NotImplementedError

    def is_endless(self) -> bool:
        """Whether nobody can tell that it will end by itself, as a response of events will not."""
        return False

    def leave(self, ended: Stream) -> bool:
        """Whether it is over and will not use its stream again: what is late goes to ``ended``, which takes nothing."""
        return False

    def on_round(self) -> None:
        """The next round of the loop has begun, after ``Round.wait``."""
        raise NotImplementedError

    def go_on(self, budget: int) -> bool:
        """Do large work as far as ``budget`` goes, after ``Round.wait_alone``; return whether it is done."""
        raise NotImplementedError


class RecordingStream(Stream):
    """A ``Stream`` that writes down what it is told, for tests."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[object, ...]] = []
        self.is_blocked = False
        self.is_unread = False

    @property
    def content(self) -> bytes:
        """All content sent so far."""
        parts = [call[2] if call[0] == "head" else call[1] for call in self.calls if call[0] in ("head", "data")]
        return b"".join(part for part in parts if isinstance(part, bytes))

    @property
    def complete(self) -> bool:
        """Whether the response was ended."""
        return any(call[0] == "trailers" or (call[0] in ("head", "data") and call[-1]) for call in self.calls)

    def send_informational(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.calls.append(("informational", status, headers))

    def send_head(self, response: Response, data: bytes, end: bool) -> None:
        self.sent += len(data)
        self.calls.append(("head", response, data, bool(end)))

    def send_data(self, data: bytes, end: bool) -> None:
        self.sent += len(data)
        self.calls.append(("data", data, bool(end)))

    def send_file(self, response: Response | None, part: FilePart) -> None:
        data = part.read()
        if response is not None:
            self.send_head(response, data, part.last)
        else:
            self.send_data(data, part.last)
        part.finish()

    def send_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.calls.append(("trailers", headers))

    def open_tunnel(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.calls.append(("tunnel", headers))

    def wake_within(self, seconds: float) -> None:
        self.calls.append(("wake", seconds))

    def consumed(self, size: int) -> None:
        self.calls.append(("consumed", size))

    def blocked(self) -> bool:
        return self.is_blocked

    def has_unread(self) -> bool:
        return self.is_unread

    def abort(self) -> None:
        self.calls.append(("abort",))
