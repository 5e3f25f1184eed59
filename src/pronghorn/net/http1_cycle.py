"""One request on an HTTP/1 connection and its response: the exchange's way back, and what is counted of both.

Opened for each request and ended with it: what is counted belongs to one request, and an application that holds on to a
request that has ended writes into nothing. It serves the next request of its connection only when its exchange has left
it. The order of the requests is ``net/http1``'s.
"""

from __future__ import annotations

from pronghorn.asgi.files import FilePart
from pronghorn.asgi.stream import Exchange, Stream
from pronghorn.net.connection import Connection
from pronghorn.net.protocol import Protocol
from pronghorn.net.sendfile import FileTransfer
from pronghorn.wire.http1_writer import Http1Writer
from pronghorn.wire.response import Response

#: What a response's head and framing add to its content, about.
_HEAD_ESTIMATE = 256


class CycleOwner(Protocol):
    """Reads the requests of ``connection``, writes what their cycles append to ``out``. Implemented in ``net/http1``.

    ``writer``: the Http1Writer of the cycle under way, which is ``_cycle``.
    """

    __slots__ = ("_cycle", "_spare", "connection", "out", "writer")

    _cycle: Cycle | None
    _spare: Cycle | None

    connection: Connection
    out: list[bytes]
    writer: Http1Writer

    def _new_cycle(self, keep_alive: bool) -> Cycle:
        cycle = self._spare
        if cycle is None:
            cycle = Cycle.__new__(Cycle)
        else:
            self._spare = None
        cycle.open(self)
        self.writer.begin(keep_alive)
        self._cycle = cycle
        return cycle

    def _end_cycle(self) -> Exchange | None:
        """End the cycle and return its exchange, if there was one."""
        cycle = self._cycle
        self._cycle = None
        if cycle is None:
            return None
        exchange = cycle.exchange
        cycle.end()
        return exchange

    def _exchange(self) -> Exchange | None:
        """The exchange under way."""
        cycle = self._cycle
        return None if cycle is None else cycle.exchange

    def written(self, size: int) -> None:
        """About ``size`` bytes were appended, perhaps the last of the response."""
        raise NotImplementedError

    def consumed(self) -> None:
        """The application took content."""
        raise NotImplementedError

    def keep_alive_after(self, end: bool) -> bool:
        """Whether the connection may go on after the response whose head is about to be written."""
        raise NotImplementedError

    def enter_tunnel(self) -> None:
        """The exchange has left HTTP: what is read from here on is its own."""
        raise NotImplementedError

    def end_tunnel(self) -> None:
        """The exchange has written its last byte, and expects none."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """Close the connection: what was written is still sent, the end of the response is missing."""
        raise NotImplementedError

    def set_deadline(self) -> None:
        """Something was sent that the peer has to answer."""
        raise NotImplementedError


class Cycle(Stream):
    """The stream of ``exchange``.

    ``received``: bytes of the request's content that were parsed. ``unconsumed``: those that the application has not
    taken. ``deadline``: loop time by which the whole request has to be answered, 0 for none.
    """

    __slots__ = ("_owner", "_tunnel", "deadline", "exchange", "received", "unconsumed")

    def __init__(self, owner: CycleOwner | None) -> None:
        self.open(owner)

    def open(self, owner: CycleOwner | None) -> None:
        """What ``__init__`` does. Compiled, ``__new__`` and this take half the time."""
        self._owner: CycleOwner | None = owner
        self._tunnel = False
        self.exchange: Exchange | None = None
        self.sent = 0
        self.received = 0
        self.unconsumed = 0
        self.deadline = 0.0

    def end(self) -> None:
        """Nothing more is written or read for this request."""
        self._owner = None
        self.exchange = None

    def send_informational(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        exchange = self.exchange
        if owner is not None and exchange is not None and not exchange.request.is_1_0:
            owner.writer.informational(owner.out, status, headers)
            owner.written(_HEAD_ESTIMATE)
            owner.set_deadline()  # the peer that waited for 100 has to go on now

    def send_head(self, response: Response, data: bytes, end: bool) -> None:
        owner = self._owner
        exchange = self.exchange
        if owner is None or exchange is None:
            return
        writer = owner.writer
        if writer.keep_alive and not owner.keep_alive_after(end):
            writer.keep_alive = False
        try:
            writer.head(owner.out, exchange.request, response, data, end, owner.connection.context.defaults)
        finally:
            self.sent = writer.sent
            owner.written(len(data) + _HEAD_ESTIMATE)

    def send_data(self, data: bytes, end: bool) -> None:
        owner = self._owner
        if owner is None:
            return
        if self._tunnel:
            if data:
                self.sent += len(data)
                owner.out.append(data)
                owner.written(len(data))
            if end:
                owner.end_tunnel()
            return
        try:
            owner.writer.data(owner.out, data, end)
        finally:
            self.sent = owner.writer.sent
            owner.written(len(data))

    def send_file(self, response: Response | None, part: FilePart) -> None:
        owner = self._owner
        exchange = self.exchange
        if owner is None or exchange is None:
            part.close()
            return
        writer = owner.writer
        if response is not None:
            if writer.keep_alive and not owner.keep_alive_after(part.last):
                writer.keep_alive = False
            writer.head(owner.out, exchange.request, response, b"", False, owner.connection.context.defaults)
        FileTransfer(owner.connection, writer, self, owner.out, owner.written, part).start()

    def send_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        if owner is None:
            return
        try:
            owner.writer.trailers(owner.out, headers)
        finally:
            owner.written(_HEAD_ESTIMATE)

    def open_tunnel(self, headers: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        if owner is None:
            return
        owner.writer.informational(owner.out, 101, headers)
        self._tunnel = True
        self.deadline = 0.0
        self.unconsumed = 0
        owner.enter_tunnel()
        owner.written(_HEAD_ESTIMATE)

    def wake_within(self, seconds: float) -> None:
        owner = self._owner
        if owner is not None and owner.connection.writable:
            owner.connection.deadline = owner.connection.within(seconds)

    def consumed(self, size: int) -> None:
        owner = self._owner
        if owner is not None:
            self.unconsumed -= size
            owner.consumed()

    def blocked(self) -> bool:
        owner = self._owner
        return owner is not None and not owner.connection.writable

    def has_unread(self) -> bool:
        owner = self._owner
        return owner is not None and owner.connection.has_unread()

    def has_left(self) -> bool:
        owner = self._owner
        return owner is None or owner.connection.has_left()

    def abort(self) -> None:
        owner = self._owner
        if owner is not None:
            owner.cut_off()


#: Of a request that is over, for whoever still holds on to it.
ENDED = Cycle(None)
