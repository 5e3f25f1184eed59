"""HTTP/1 on one connection: drives parser and writer, opens one exchange at a time, in the order of the requests.

Owns keep-alive, pipelining, backpressure both ways and what an HTTP/1 deadline means (RFC 9112 section 9); opens
exchanges but knows nothing of scopes and ASGI messages.
Hazard: compiled code does not hold a reference to the object whose method it calls. An exchange that ends clears
``_exchange``, so each call of one goes through a local variable, which does hold it.
"""

from __future__ import annotations

from enum import IntEnum

from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.files import FilePart
from pronghorn.asgi.stream import Exchange, Stream
from pronghorn.asgi.websocket import WebSocketExchange
from pronghorn.net.connection import Connection
from pronghorn.net.protocol import Protocol
from pronghorn.net.sendfile import FileTransfer
from pronghorn.wire import http1_parser
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_writer import Http1Writer
from pronghorn.wire.request import GET, Request, unread_request
from pronghorn.wire.response import Response


class Reading(IntEnum):
    """Which part of a request is read next; drawn in ``http1.pxd``."""

    HEAD = 0
    BODY = 1
    DONE = 2
    TUNNEL = 3
    NOTHING = 4


_HEAD = int(Reading.HEAD)
_BODY = int(Reading.BODY)
_DONE = int(Reading.DONE)
_TUNNEL = int(Reading.TUNNEL)
_NOTHING = int(Reading.NOTHING)

_EVENT_NEED_DATA = int(http1_parser.Event.NEED_DATA)
_EVENT_HEAD = int(http1_parser.Event.HEAD)
_EVENT_DATA = int(http1_parser.Event.DATA)

#: Bytes of pipelined requests that wait while another is answered; reading pauses beyond.
_MOST_PIPELINED = 65536
#: Bytes of responses gathered into one write while several requests of one read are answered.
_MOST_GATHERED = 65536
#: What a response's head and framing add to its content, about.
_HEAD_ESTIMATE = 256
#: Content that nobody wants is read to its end when it is at most this long; beyond, the connection is closed.
_MOST_DISCARDED = 65536
#: Seconds an idle connection stays open when draining, for a request that is already on its way.
DRAIN_LINGER = 0.3


class Http1(Protocol):
    """The HTTP/1 protocol of ``connection``."""

    __slots__ = (
        "_connection",
        "_context",
        "_exchange",
        "_gathered",
        "_head_deadline",
        "_lost",
        "_out",
        "_parser",
        "_peer_ended",
        "_pump_scheduled",
        "_pumping",
        "_reading",
        "_received",
        "_request_deadline",
        "_stalled",
        "_stream",
        "_unconsumed",
        "_writer",
    )

    def __init__(self, connection: Connection) -> None:
        context = connection.context
        self._connection = connection
        self._context = context
        self._parser = Http1Parser(context.trusting_rules if connection.endpoint.trusted else context.rules)
        self._writer = Http1Writer()
        self._stream: Http1Stream = Http1Stream(self)
        self._exchange: Exchange | None = None
        self._out: list[bytes] = []
        self._gathered = 0
        self._reading = _HEAD
        self._pumping = False
        self._pump_scheduled = False
        self._stalled = False
        self._unconsumed = 0
        self._received = 0
        self._peer_ended = False
        self._lost = False
        self._request_deadline = 0.0
        self._head_deadline = connection.within(context.header_timeout)
        connection.deadline = self._head_deadline

    @property
    def reading(self) -> Reading:
        return Reading(self._reading)

    # -- reading ----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._reading == _TUNNEL:
            self._pass_on(data)
            return
        self._parser.feed(data)
        much = self._parser.buffered() > _MOST_PIPELINED
        if self._reading == _HEAD and self._context.eager and not much:
            self._schedule_pump()
        elif self._reading != _DONE and not self._stalled:
            self._pump(False)
        elif much:
            self._connection.pause_reading()

    def _pump(self, hold: bool) -> None:
        """Parse and answer until bytes, application or peer have to be waited for. ``hold``: do not yet write."""
        if self._pumping or self._lost:
            return
        self._pumping = True
        try:
            while self._advance():
                pass
        except ProtocolError as error:
            self._refuse(error)
        finally:
            self._pumping = False
            if self._out and not hold:
                self.flush()
        self._set_deadline()

    def _advance(self) -> bool:
        """Take one event from the parser; False when there is none to take now."""
        if self._reading >= _DONE:
            return False
        if not self._connection.writable and self._reading == _HEAD:
            self._connection.pause_reading()
            return False
        if self._unconsumed > self._context.high_water:
            self._stalled = True
            self._connection.pause_reading()
            return False
        event = _EVENT_NEED_DATA if self._reading == _HEAD and not self._parser.buffered() else self._parser.next()
        if event == _EVENT_NEED_DATA:
            if self._peer_ended:
                self._end_of_input()
            else:
                self._connection.resume_reading()
            return False
        if event == _EVENT_HEAD:
            self._begin(self._parser.request)
        elif event == _EVENT_DATA:
            self._take_data(self._parser.data)
        else:
            self._take_end()
        if self._reading == _DONE and self._writer.complete:
            self._end_cycle()
        return True

    def _begin(self, request: Request) -> None:
        """Open an exchange for ``request`` and run the application."""
        context = self._context
        context.count_request()
        self._writer.begin(request.keep_alive and not context.draining and context.keepalive > 0)
        self._reading = _BODY if request.has_body else _DONE
        self._unconsumed = 0
        self._received = 0
        self._head_deadline = 0.0
        self._connection.deadline = 0.0
        if context.request_timeout > 0:
            self._request_deadline = self._connection.within(context.request_timeout)
        exchange: Exchange
        if request.upgrade and request.upgrade == b"websocket" and context.websockets.enabled:
            exchange = WebSocketExchange(context, self._stream, request, self._connection.endpoint)
        else:
            plain = HttpExchange.__new__(HttpExchange)
            plain.open(context, self._stream, request, self._connection.endpoint)
            exchange = plain
        self._exchange = exchange
        if request.method is not GET and request.method == "CONNECT":
            raise ProtocolError(501, "CONNECT is not served here")
        if context.max_body_size and request.content_length > context.max_body_size:
            raise ProtocolError(413, f"Content-Length {request.content_length} is over the limit")
        if self._reading == _BODY and self._parser.buffered() and not request.upgrade:
            self._take_early()
        exchange.start()

    def _take_early(self) -> None:
        """Take the content that came with the head, so that an application that asks for it need not wait."""
        while self._reading == _BODY and self._unconsumed <= self._context.high_water:
            event = self._parser.next()
            if event == _EVENT_NEED_DATA:
                return
            if event == _EVENT_DATA:
                self._take_data(self._parser.data)
            else:
                self._take_end()

    def _take_end(self) -> None:
        self._reading = _DONE
        exchange = self._exchange
        if exchange is not None:
            exchange.on_end(self._parser.trailers)

    def _take_data(self, data: bytes) -> None:
        size = len(data)
        self._received += size
        if self._context.max_body_size and self._received > self._context.max_body_size:
            raise ProtocolError(413, "Request content is over the limit")
        if self._writer.complete:
            # Nobody will read it. It was decided when the response ended that it is little.
            return
        self._unconsumed += size
        exchange = self._exchange
        if exchange is not None:
            exchange.on_data(data)

    def enter_tunnel(self) -> None:
        """The exchange has left HTTP: what is read from here on is its own."""
        self._reading = _TUNNEL
        self._request_deadline = 0.0
        self._unconsumed = 0
        if self._parser.buffered():
            self._context.loop.call_soon(self._pass_on_rest, context=self._context.contextvars)

    def _pass_on_rest(self) -> None:
        """What came right behind the request that opened the tunnel."""
        rest = self._parser.take_rest()
        if self._reading == _TUNNEL and rest:
            self._pass_on(rest)

    def _pass_on(self, data: bytes) -> None:
        if self._parser.buffered():
            self._parser.feed(data)  # behind what _pass_on_rest is about to take
            return
        self._unconsumed += len(data)
        self._pumping = True
        exchange = self._exchange
        try:
            if exchange is not None:
                exchange.on_data(data)
        finally:
            self._pumping = False
            if self._out:
                self.flush()
        # Only now: what the exchange has taken at once need not stop the next read, at two system calls each time.
        if self._reading == _TUNNEL and self._unconsumed > self._context.high_water:
            self._connection.pause_reading()

    def end_tunnel(self) -> None:
        """The exchange has written its last byte, and expects none."""
        self._reading = _DONE
        self._writer.keep_alive = False
        self._writer.complete = True
        self._hang_up()

    def _end_of_input(self) -> None:
        """All that came before the peer's end of input is parsed: nothing more can be answered than is under way."""
        exchange = self._exchange
        if exchange is None:
            self._reading = _NOTHING
            if not self._parser.is_between_messages():
                peer = self._connection.peer()
                self._context.peer_log.debug(peer, "Closed connection from ip=%s: incomplete request", peer)
            self.flush()
            self._connection.close()
        elif self._reading == _BODY:
            self._reading = _DONE
            self._writer.keep_alive = False
            exchange.on_disconnect(False)

    def eof_received(self) -> bool:
        self._peer_ended = True
        exchange = self._exchange
        if exchange is not None and self._reading in (_DONE, _TUNNEL):
            exchange.on_disconnect(False)
        elif not self._stalled:
            self._pump(False)
        return self._exchange is not None or bool(self._out)

    def exchanges(self) -> tuple[Exchange, ...]:
        exchange = self._exchange
        return () if exchange is None else (exchange,)

    def consumed(self, size: int) -> None:
        """The application took content: read on when it was reading that waited for it."""
        self._unconsumed -= size
        if self._reading == _TUNNEL:
            if self._unconsumed <= self._context.high_water:
                self._connection.resume_reading()
            return
        if self._stalled and self._unconsumed <= self._context.high_water:
            self._stalled = False
            self._schedule_pump()

    def _schedule_pump(self) -> None:
        """Go on from the loop: not within the application's call, and not in its context."""
        if not self._pumping and not self._pump_scheduled:
            self._pump_scheduled = True
            self._connection.turn.add(self._connection)

    def take_turn(self) -> None:
        self._pump_scheduled = False
        self._pump(True)

    # -- writing ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if self._out:
            self._gathered = 0
            self._connection.write(self._out, self._writer.complete)

    def written(self, size: int) -> None:
        """The stream has appended about ``size`` bytes to ``_out``, perhaps the last of the response."""
        self._gathered += size
        if not self._pumping or self._gathered > _MOST_GATHERED:
            self.flush()
        if self._writer.complete:
            self._response_ended()

    def _response_ended(self) -> None:
        if self._reading == _BODY:
            self._judge_rest()
        elif not self._pumping and self._reading == _DONE:
            self._end_cycle()
            if self._parser.buffered() or self._peer_ended:
                self._schedule_pump()
            else:
                self._connection.resume_reading()
                self._set_deadline()

    def _judge_rest(self) -> None:
        """The response is complete and the request is not: read what is left if it is little, else hang up."""
        request = self._parser.request
        self._unconsumed = 0
        if not self._writer.keep_alive or self._is_much_left(request):
            self._hang_up()
            return
        if self._stalled:
            self._stalled = False
            self._schedule_pump()

    def _is_much_left(self, request: Request) -> bool:
        if request.expect_continue:
            return True  # it was never asked for: the peer may send it, or the next request
        return request.chunked or request.content_length - self._received > _MOST_DISCARDED

    def keep_alive_after(self, end: bool) -> bool:
        """Whether the connection may go on after the response whose head is about to be written."""
        if self._context.draining or not self._parser.request.keep_alive:
            return False
        return not (end and self._reading == _BODY and self._is_much_left(self._parser.request))

    def _end_cycle(self) -> None:
        """Request and response are complete: on to the next request, or close."""
        self._exchange = None
        self._request_deadline = 0.0
        if self._writer.keep_alive:
            self._reading = _HEAD
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection after what has been written."""
        exchange = self._exchange
        self._exchange = None
        body_left = self._reading in (_BODY, _TUNNEL)
        self._reading = _NOTHING
        self._request_deadline = 0.0
        self.flush()
        sending = body_left or self._parser.buffered() > 0
        # Who did not ask for the end may have sent more.
        if not self._peer_ended and (sending or self._parser.request.keep_alive):
            self._connection.linger(sending)
        else:
            self._connection.close()
        if exchange is not None and body_left:
            exchange.on_disconnect(False)

    def abort(self) -> None:
        """Cut the response off: what was written is still sent, its end is missing."""
        self._writer.keep_alive = False
        self._writer.complete = True
        self._hang_up()

    def _refuse(self, error: ProtocolError) -> None:
        """The peer broke the protocol or a limit: say so, in the response and in the log, and hang up."""
        self._connection.log_refusal(error)
        exchange = self._exchange
        if exchange is None:
            self._writer.begin(False)
            exchange = HttpExchange(self._context, self._stream, unread_request(), self._connection.endpoint)
            self._exchange = exchange
        self._reading = _BODY
        self._writer.keep_alive = False
        exchange.on_fault(error)
        if self._reading != _NOTHING:
            self._hang_up()

    def resume_writing(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.on_writable()
        self._set_deadline()
        if self._reading == _HEAD:
            self._schedule_pump()

    # -- time -------------------------------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        """Say by when the connection must have moved on, from where it stands."""
        connection = self._connection
        if not connection.writable or self._lost:
            return
        if self._reading == _HEAD:
            if not self._parser.is_between_messages():
                if self._head_deadline == 0.0:
                    self._head_deadline = connection.within(self._context.header_timeout)
                connection.deadline = self._head_deadline
            elif self._context.draining:
                connection.deadline = connection.within(DRAIN_LINGER)
            elif self._head_deadline == 0.0:
                connection.deadline = connection.within(self._context.keepalive)
        elif self._reading == _BODY and not self._stalled and not self._parser.request.expect_continue:
            deadline = connection.within(self._context.body_timeout)
            if self._request_deadline and (not deadline or self._request_deadline < deadline):
                deadline = self._request_deadline
            connection.deadline = deadline
        elif self._reading in (_BODY, _DONE):
            connection.deadline = self._request_deadline

    def on_deadline(self, now: float) -> None:
        exchange = self._exchange
        if self._pump_scheduled:
            self._connection.deadline = now  # first what has come; where it changes nothing, this again
            return
        if self._reading == _HEAD:
            if not self._parser.is_between_messages():
                self.refuse(ProtocolError(408, "Request head is not complete in time"))
            elif not self._context.unhurried and self._connection.close_idle():
                self._reading = _NOTHING
            else:
                self._set_deadline()  # a request came in time and this loop was late to read it, or may still come
        elif self._reading == _TUNNEL:
            if exchange is not None:
                exchange.on_timeout()
        elif self._request_deadline and now >= self._request_deadline:
            self._request_deadline = 0.0
            self._writer.keep_alive = False
            if self._writer.complete:
                self._hang_up()  # only the rest of the request is missing
            elif exchange is not None:
                exchange.on_timeout()
        elif self._reading == _BODY:
            self.refuse(ProtocolError(408, "Request content is not complete in time"))

    def refuse(self, error: ProtocolError) -> None:
        self._refuse(error)
        self.flush()

    def last_call(self) -> float:
        return self._request_deadline

    # -- the end ----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        exchange = self._exchange
        if self._reading == _HEAD:
            self._set_deadline()
        elif exchange is not None:
            exchange.on_drain()

    def wind_up(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.on_last_call()

    def terminate(self) -> None:
        exchange = self._exchange
        if exchange is None:
            self._connection.abort()
        else:
            self._writer.keep_alive = False
            exchange.cancel()

    def connection_lost(self) -> None:
        self._lost = True
        self._reading = _NOTHING
        exchange = self._exchange
        self._exchange = None
        self._out = []
        # An exchange that still runs keeps the stream, and that this object; the other way round is not needed any
        # more, and would leave the garbage collector a cycle per connection.
        self._stream = None  # type: ignore[assignment]
        if exchange is not None:
            exchange.on_disconnect(True)


class Http1Stream(Stream):
    """The way back for the exchange that a ``Http1`` has in hand, one after the other."""

    __slots__ = ("_http",)

    def __init__(self, http: Http1) -> None:
        super().__init__()
        self._http = http

    def send_informational(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        http = self._http
        if http._exchange is not None and not http._exchange.request.is_1_0:
            http._writer.informational(http._out, status, headers)
            http.written(_HEAD_ESTIMATE)
            http._set_deadline()  # the peer that waited for 100 has to go on now

    def send_head(self, response: Response, data: bytes, end: bool) -> None:
        http = self._http
        exchange = http._exchange
        if exchange is None:
            return
        writer = http._writer
        if writer.keep_alive and not http.keep_alive_after(end):
            writer.keep_alive = False
        try:
            writer.head(http._out, exchange.request, response, data, end, http._context.defaults)
        finally:
            self.sent = writer.sent
            http.written(len(data) + _HEAD_ESTIMATE)

    def send_data(self, data: bytes, end: bool) -> None:
        http = self._http
        if http._exchange is None:
            return
        if http._reading == _TUNNEL:
            if data:
                self.sent += len(data)
                http._out.append(data)
                http.written(len(data))
            if end:
                http.end_tunnel()
            return
        try:
            http._writer.data(http._out, data, end)
        finally:
            self.sent = http._writer.sent
            http.written(len(data))

    def send_file(self, response: Response | None, part: FilePart) -> None:
        http = self._http
        exchange = http._exchange
        if exchange is None:
            part.close()
            return
        writer = http._writer
        if response is not None:
            if writer.keep_alive and not http.keep_alive_after(part.last):
                writer.keep_alive = False
            writer.head(http._out, exchange.request, response, b"", False, http._context.defaults)
        FileTransfer(http._connection, writer, self, http._out, http.written, part).start()

    def send_trailers(self, headers: list[tuple[bytes, bytes]]) -> None:
        http = self._http
        if http._exchange is None:
            return
        try:
            http._writer.trailers(http._out, headers)
        finally:
            http.written(_HEAD_ESTIMATE)

    def open_tunnel(self, headers: list[tuple[bytes, bytes]]) -> None:
        http = self._http
        http._writer.informational(http._out, 101, headers)
        http.enter_tunnel()
        http.written(_HEAD_ESTIMATE)

    def wake_within(self, seconds: float) -> None:
        connection = self._http._connection
        if connection.writable:
            connection.deadline = connection.within(seconds)

    def consumed(self, size: int) -> None:
        self._http.consumed(size)

    def blocked(self) -> bool:
        return not self._http._connection.writable

    def has_unread(self) -> bool:
        return self._http._connection.has_unread()

    def abort(self) -> None:
        if self._http._exchange is not None:
            self._http.abort()
