"""HTTP/1 on one connection: drives parser and writer, opens one exchange at a time, in the order of the requests.

Owns keep-alive, pipelining, backpressure both ways and what an HTTP/1 deadline means (RFC 9112 section 9); opens
exchanges but knows nothing of scopes and ASGI messages.
Hazard: compiled code does not hold a reference to the object whose method it calls. An exchange that ends clears
``_exchange``, so each call of one goes through a local variable, which does hold it.
"""

from __future__ import annotations

from enum import IntEnum

from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.stream import Exchange
from pronghorn.asgi.websocket import WebSocketExchange
from pronghorn.net.connection import Connection
from pronghorn.net.http1_cycle import ENDED, Cycle, CycleOwner
from pronghorn.net.refusal import content_too_slow, head_too_slow, log_refusal, too_large
from pronghorn.wire import http1_parser, ws_handshake
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_writer import Http1Writer
from pronghorn.wire.request import GET, Request


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

_ENDED = ENDED
_EVENT_NEED_DATA = int(http1_parser.Event.NEED_DATA)
_EVENT_HEAD = int(http1_parser.Event.HEAD)
_EVENT_DATA = int(http1_parser.Event.DATA)

#: Bytes of pipelined requests that wait while another is answered; reading pauses beyond.
_MOST_PIPELINED = 65536
#: What one connection may have handled in one turn of the loop: requests, or parts of content for each; and seconds, as
#: of the end of the first request, whoever takes them.
MOST_REQUESTS = 16
MOST_PARTS = 512
MOST_SECONDS = 0.002
_MOST_PARTS, _BUDGET, _MOST_SECONDS = MOST_PARTS, MOST_PARTS, MOST_SECONDS
_REQUEST_COST = MOST_PARTS // MOST_REQUESTS
_QUICK = _BUDGET - 3 * _REQUEST_COST
#: Bytes of responses, and parts, gathered into one write while several requests of one turn are answered.
_MOST_GATHERED = 65536
_MOST_OBJECTS = 256
#: Content that nobody wants is read to its end when it is at most this long; beyond, the connection is closed.
_MOST_DISCARDED = 65536
#: Seconds an idle connection stays open when draining, for a request that is already on its way.
DRAIN_LINGER = 0.3


class Http1(CycleOwner):
    """The HTTP/1 protocol of ``connection``."""

    __slots__ = (
        "_budget",
        "_context",
        "_gathered",
        "_head_deadline",
        "_lost",
        "_parser",
        "_peer_ended",
        "_pump_scheduled",
        "_pumping",
        "_reading",
        "_since",
        "_stalled",
    )

    def __init__(self, connection: Connection) -> None:
        context = connection.context
        self.connection = connection
        self._context = context
        self._parser = Http1Parser(context.trusting_rules if connection.endpoint.trusted else context.rules)
        self.writer = Http1Writer()
        self._cycle = None
        self._spare = None
        self.out: list[bytes] = []
        self._gathered = 0
        self._reading = _HEAD
        self._pumping = False
        self._pump_scheduled = False
        self._stalled = False
        self._budget = 0
        self._since = 0.0
        self._peer_ended = False
        self._lost = False
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
        much = self._parser.feed(data) > _MOST_PIPELINED
        if self._reading == _DONE or self._pump_scheduled or self._stalled:
            if much:
                self._read_or_wait()
        elif self._reading == _HEAD and self._context.eager:
            self._schedule_pump()
            if much:
                self._read_or_wait()
        else:
            self._pump(False)

    def _read_or_wait(self) -> None:
        """Read, unless what was read has to wait. No other place decides it.

        Idle means reading: of who is not read from, neither a request nor the end would be noticed.
        """
        reading = self._reading
        if reading == _NOTHING or self._peer_ended:
            return  # lingering reads by itself; and who reads on after the end, reads the end again
        if reading == _TUNNEL:
            cycle = self._cycle
            wait = cycle is not None and cycle.unconsumed > self._context.high_water
        elif self._stalled:
            wait = True
        elif reading == _DONE or self._pump_scheduled or not self.connection.writable:
            wait = self._parser.buffered() > _MOST_PIPELINED
        else:
            wait = False
        if wait:
            self.connection.pause_reading()
        else:
            self.connection.resume_reading()

    def _pump(self, hold: bool) -> None:
        """Parse and answer until bytes, application, peer or turn are waited for. ``hold``: do not yet write."""
        if self._pumping or self._lost:
            return
        self._pumping = True
        self._budget = _BUDGET
        self._since = 0.0
        try:
            while self._advance():
                pass
        except ProtocolError as error:
            self._refuse(error)
        finally:
            self._pumping = False
            if self.out and not hold:
                self.flush()
        self._read_or_wait()
        self.set_deadline()

    def _advance(self) -> bool:
        """Take one event from the parser; False when there is none to take now."""
        if self._reading == _HEAD:
            if not self._parser.buffered():
                event = _EVENT_NEED_DATA
            elif not self.connection.writable or self._has_had_its_turn():
                return False
            else:
                event = self._parser.next()
        elif self._reading == _BODY:
            cycle = self._cycle
            if cycle is not None and cycle.unconsumed > self._context.high_water:
                self._stalled = True
                return False
            if self._budget <= 0:
                self._ask_for_turn()
                return False
            event = self._parser.next()
        else:
            self._tell_of_end()
            return False
        if event == _EVENT_NEED_DATA:
            if self._peer_ended:
                self._end_of_input()
            return False
        if event == _EVENT_HEAD:
            self._budget -= _REQUEST_COST
            self._begin(self._parser.request)
        elif event == _EVENT_DATA:
            self._budget -= 1
            self._take_data()
        else:
            self._take_end()
        if self._reading == _DONE and self.writer.complete:
            self._turn_over()
        return True

    def _tell_of_end(self) -> None:
        """An answer is under way: where the peer had ended its side before, the application has to hear of it."""
        if self._peer_ended:
            exchange = self._exchange()
            if exchange is not None:
                exchange.on_disconnect(False)

    def _begin(self, request: Request) -> None:
        """Open an exchange for ``request`` and run the application."""
        context = self._context
        context.count_request()
        cycle = self._new_cycle(request.keep_alive and not context.draining and context.keepalive > 0)
        self._reading = _BODY if request.has_body else _DONE
        self._head_deadline = 0.0
        self.connection.deadline = 0.0
        if context.request_timeout > 0:
            cycle.deadline = self.connection.within(context.request_timeout)
        exchange: Exchange
        if request.upgrade and context.websockets.enabled and ws_handshake.is_listed(request.upgrade):
            exchange = WebSocketExchange(context, cycle, request, self.connection.endpoint)
        else:
            plain = HttpExchange.__new__(HttpExchange)
            plain.open(context, cycle, request, self.connection.endpoint)
            exchange = plain
        cycle.exchange = exchange
        if request.method is not GET and request.method == "CONNECT":
            raise ProtocolError(501, "CONNECT is not served here")
        if context.max_body_size and request.content_length > context.max_body_size:
            raise too_large(context, f"Content-Length {request.content_length}")
        if self._reading == _BODY and self._parser.buffered() and not request.upgrade:
            self._take_early(cycle)
        exchange.start()

    def _take_early(self, cycle: Cycle) -> None:
        """Take the content that came with the head, so that an application that asks for it need not wait."""
        least = self._budget - _MOST_PARTS
        while self._reading == _BODY and cycle.unconsumed <= self._context.high_water and self._budget > least:
            event = self._parser.next()
            if event == _EVENT_NEED_DATA:
                return
            if event == _EVENT_DATA:
                self._budget -= 1
                self._take_data()
            else:
                self._take_end()

    def _take_end(self) -> None:
        self._reading = _DONE
        exchange = self._exchange()
        if exchange is not None:
            exchange.on_end(self._parser.trailers)

    def _take_data(self) -> None:
        data = self._parser.data
        self._parser.data = b""  # to keep nothing of a read until the next one
        cycle = self._cycle
        if cycle is None:
            return
        size = len(data)
        cycle.received += size
        if self._context.max_body_size and cycle.received > self._context.max_body_size:
            raise too_large(self._context, "Request content")
        if self.writer.complete:
            # Nobody will read it. It was decided when the response ended that it is little.
            return
        cycle.unconsumed += size
        exchange = cycle.exchange
        if exchange is not None:
            exchange.on_data(data)

    def enter_tunnel(self) -> None:
        self._reading = _TUNNEL
        self._read_or_wait()
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
        cycle = self._cycle
        if cycle is None:
            return
        cycle.unconsumed += len(data)
        self._pumping = True
        exchange = cycle.exchange
        try:
            if exchange is not None:
                exchange.on_data(data)
        finally:
            self._pumping = False
            if self.out:
                self.flush()
        # Only now: what the exchange has taken at once need not stop the next read, at two system calls each time.
        self._read_or_wait()

    def end_tunnel(self) -> None:
        self._reading = _DONE
        self.writer.keep_alive = False
        self.writer.complete = True
        self._hang_up()

    def _end_of_input(self) -> None:
        """All that came before the peer's end of input is parsed: nothing more can be answered than is under way."""
        exchange = self._exchange()
        if exchange is None:
            self._reading = _NOTHING
            if not self._parser.is_between_messages():
                peer = self.connection.peer()
                self._context.peer_log.debug(peer, "Closed connection from ip=%s: incomplete request", peer)
            self.flush()
            self.connection.close()
        elif self._reading == _BODY:
            if self.writer.complete:  # it was read on only for the connection to be kept
                self._hang_up()
                return
            self._reading = _DONE
            self.writer.keep_alive = False
            exchange.on_disconnect(False)

    def eof_received(self) -> bool:
        self._peer_ended = True
        exchange = self._exchange()
        if exchange is not None and self._reading in (_DONE, _TUNNEL):
            exchange.on_disconnect(False)
        elif not self._stalled and (not self._pump_scheduled or self.connection.is_tls()):
            self._pump(False)  # under TLS at once, for it ends in both directions
        return self._reading != _NOTHING

    def exchanges(self) -> tuple[Exchange, ...]:
        exchange = self._exchange()
        return () if exchange is None else (exchange,)

    def consumed(self) -> None:
        """Read on, when it was reading that waited for the application."""
        cycle = self._cycle
        if cycle is None or cycle.unconsumed > self._context.high_water:
            return
        if self._reading == _TUNNEL:
            self._read_or_wait()
        elif self._stalled:
            self._stalled = False
            self._schedule_pump()

    def _schedule_pump(self) -> None:
        """Go on from the loop: not within the application's call, and not in its context."""
        if not self._pumping and not self._pump_scheduled:
            self._ask_for_turn()

    def _ask_for_turn(self) -> None:
        self._pump_scheduled = True
        self.connection.turn.add(self.connection)

    def _has_had_its_turn(self) -> bool:
        """Whether the next request has to wait for the next turn of the loop, because others have to have theirs."""
        if self._budget > 0:
            if self._budget == _BUDGET:
                return False
            # One was answered. From the second on it is looked at how long they take; where the first three were quick,
            # at every other one, for to look at the clock takes 1 % of a small request.
            if self._budget < _QUICK and self._budget & _REQUEST_COST:
                return False
            now = self.connection.turn.now()
            if self._since == 0.0:
                self._since = now
            if now - self._since < _MOST_SECONDS:
                return False
        self._ask_for_turn()
        return True

    def take_turn(self) -> None:
        self._pump_scheduled = False
        self._pump(True)

    # -- writing ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if self.out:
            self._gathered = 0
            self.connection.write(self.out, self.writer.complete)

    def written(self, size: int) -> None:
        self._gathered += size
        if not self._pumping or self._gathered > _MOST_GATHERED or len(self.out) > _MOST_OBJECTS:
            self.flush()
        if self.writer.complete:
            self._response_ended()

    def _response_ended(self) -> None:
        if self._reading == _BODY:
            self._judge_rest()
        elif not self._pumping and self._reading == _DONE:
            self._turn_over()
            if self._parser.buffered() or self._peer_ended:
                self._schedule_pump()
            else:
                self.set_deadline()
            self._read_or_wait()

    def _judge_rest(self) -> None:
        """The response is complete and the request is not: read what is left if it is little, else hang up."""
        cycle = self._cycle
        if cycle is None:
            return
        cycle.unconsumed = 0
        if not self.writer.keep_alive or self._is_much_left(cycle, self._parser.request):
            self._hang_up()
            return
        if self._stalled:
            self._stalled = False
            self._schedule_pump()

    def _is_much_left(self, cycle: Cycle, request: Request) -> bool:
        if request.expect_continue:
            return True  # it was never asked for: the peer may send it, or the next request
        return request.chunked or request.content_length - cycle.received > _MOST_DISCARDED

    def keep_alive_after(self, end: bool) -> bool:
        cycle = self._cycle
        if cycle is None or self._context.draining or not self._parser.request.keep_alive:
            return False
        return not (end and self._reading == _BODY and self._is_much_left(cycle, self._parser.request))

    def _turn_over(self) -> None:
        """Request and response are complete: on to the next request, or close."""
        cycle = self._cycle
        exchange = self._end_cycle()
        if exchange is not None and exchange.leave(_ENDED):
            self._spare = cycle
        if self.writer.keep_alive:
            self._reading = _HEAD
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection after what has been written."""
        exchange = self._end_cycle()
        body_left = self._reading in (_BODY, _TUNNEL)
        self._reading = _NOTHING
        self.flush()
        sending = body_left or self._parser.buffered() > 0
        # Who did not ask for the end may have sent more.
        if not self._peer_ended and (sending or self._parser.request.keep_alive):
            self.connection.linger(sending)
        else:
            self.connection.close()
        if exchange is not None and body_left:
            exchange.on_disconnect(False)

    def cut_off(self) -> None:
        self.writer.keep_alive = False
        self.writer.complete = True
        self._hang_up()

    def _refuse(self, error: ProtocolError) -> None:
        """The peer broke the protocol or a limit: say so, in the response and in the log, and hang up."""
        exchange = self._exchange()
        if exchange is None:
            cycle = self._new_cycle(False)
            plain = HttpExchange(self._context, cycle, self._parser.so_far(), self.connection.endpoint)
            cycle.exchange = exchange = plain
            log_refusal(self._context, plain, error, False)
        else:
            log_refusal(self._context, exchange, error, True)
        self._reading = _BODY
        self.writer.keep_alive = False
        exchange.on_fault(error)
        if self._reading != _NOTHING:
            self._hang_up()

    def resume_writing(self) -> None:
        exchange = self._exchange()
        if exchange is not None:
            exchange.on_writable()
        self.set_deadline()
        if self._reading == _HEAD:
            self._schedule_pump()
        self._read_or_wait()

    # -- time -------------------------------------------------------------------------------------------------------

    def set_deadline(self) -> None:
        """Say by when the connection must have moved on, from where it stands."""
        connection = self.connection
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
            last_call = self.last_call()
            connection.deadline = last_call if last_call and (not deadline or last_call < deadline) else deadline
        elif self._reading in (_BODY, _DONE):
            connection.deadline = self.last_call()

    def on_deadline(self, now: float) -> None:
        cycle = self._cycle
        exchange = self._exchange()
        if self._pump_scheduled:
            self.connection.deadline = now  # first what has come; where it changes nothing, this again
            return
        if self._reading == _HEAD:
            if not self._parser.is_between_messages():
                self.refuse(head_too_slow(self._context))
            elif not self._context.unhurried and self.connection.close_idle():
                self._reading = _NOTHING
            else:
                self.set_deadline()  # a request came in time and this loop was late to read it, or may still come
        elif self._reading == _TUNNEL:
            if exchange is not None:
                exchange.on_timeout()
        elif cycle is not None and cycle.deadline and now >= cycle.deadline:
            cycle.deadline = 0.0
            self.writer.keep_alive = False
            if self.writer.complete:
                self._hang_up()  # only the rest of the request is missing
            elif exchange is not None:
                exchange.on_timeout()
        elif self._reading == _BODY:
            self.refuse(content_too_slow(self._context))

    def close_if_idle(self) -> bool:
        if self._reading != _HEAD or self._pump_scheduled or self._head_deadline:
            return False  # under way, or new: a new connection has not had its first answer
        if not self._parser.is_between_messages() or not self.connection.close_idle():
            return False
        self._reading = _NOTHING
        return True

    def refuse(self, error: ProtocolError) -> None:
        self._refuse(error)
        self.flush()

    def last_call(self) -> float:
        cycle = self._cycle
        return 0.0 if cycle is None else cycle.deadline

    # -- the end ----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        exchange = self._exchange()
        if self._reading == _HEAD:
            self.set_deadline()
        elif exchange is not None:
            exchange.on_drain()

    def wind_up(self) -> None:
        exchange = self._exchange()
        if exchange is not None:
            exchange.on_last_call()

    def terminate(self) -> None:
        exchange = self._exchange()
        if exchange is None:
            self.connection.abort()
        else:
            self.writer.keep_alive = False
            exchange.cancel()

    def connection_lost(self) -> None:
        self._lost = True
        self._reading = _NOTHING
        exchange = self._end_cycle()
        self.out.clear()
        if exchange is not None:
            exchange.on_disconnect(True)
