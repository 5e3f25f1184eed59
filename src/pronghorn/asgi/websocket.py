"""One WebSocket as an ASGI application sees it: a scope, ``receive`` and ``send`` (ASGI WebSocket 2.5).

Owns the order of events, the keep-alive pings and the closing handshake (RFC 6455 sections 4, 5.5, 7). Frames are
``wire/ws_frames``' and ``wire/ws_writer``'s, the handshake's fields ``wire/ws_handshake``'s. It is told what arrives
through ``Exchange`` and answers through ``Stream``, so it runs on any protocol that can open a tunnel.
"""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine
from types import MethodType
from typing import Any

from pronghorn.asgi import awaitables
from pronghorn.asgi.app_task import CLIENT_CLOSED_REQUEST
from pronghorn.asgi.context import Context
from pronghorn.asgi.errors import ClientDisconnected, EventError, came_of_disconnect, is_disconnect
from pronghorn.asgi.events import as_bytes, as_dict, kind_of
from pronghorn.asgi.receive import receive, woken
from pronghorn.asgi.scope import Endpoint, address_of, endpoint_of, websocket_scope
from pronghorn.asgi.stream import Stream
from pronghorn.asgi.websocket_events import as_str, close_of, denial_of, tells_disconnect
from pronghorn.asgi.websocket_input import State, WebSocketInput
from pronghorn.wire import ws_deflate, ws_handshake, ws_writer
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response
from pronghorn.wire.ws_frames import FrameParser
from pronghorn.wire.ws_messages import Unpacker
from pronghorn.wire.ws_session import Due, Session
from pronghorn.wire.ws_vocabulary import CloseCode, FrameError, Opcode
from pronghorn.wire.ws_writer import binary as binary_frame
from pronghorn.wire.ws_writer import header as frame_header
from pronghorn.wire.ws_writer import text as text_frame

_CONNECTING = int(State.CONNECTING)
_DENYING = int(State.DENYING)
_OPEN = int(State.OPEN)
_CLOSING = int(State.CLOSING)
_CLOSED = int(State.CLOSED)

_PING_DUE = int(Due.PING)
_PONG_DUE = int(Due.PONG)
_CLOSE_DUE = int(Due.CLOSE)
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)

_DONE_AWAITABLE = awaitables.DONE
_monotonic = time.monotonic

_DEFLATE_RULES = ws_deflate.DeflateRules()
_RESTART_REASON = "Service restart"
_PING_SIZE = 4
#: Seconds between two looks whether a peer is still there from which nothing is read.
LOOK = 2.0
_LOOK = LOOK
_AT_ONCE = 0.001
#: From this size on a copy of the payload costs more than a second part of a write.
_LARGE = 65536

Event = dict[str, Any]


class WebSocketExchange(WebSocketInput):
    """One WebSocket. ``start`` runs the application; the protocol calls the ``on_`` methods as things arrive.

    ``status`` int: 101, or what the handshake was answered with · ``close_code`` int: how it ended, 0 while it has
    not · ``latency`` float: seconds that the last answered ping took, 0 before · otherwise as ``AppTask``.
    """

    __slots__ = ("_deflater", "_denial", "_handshake", "_pinged", "_session", "_verdict", "latency")

    def __init__(self, context: Context, stream: Stream, request: Request, endpoint: Endpoint) -> None:
        super().__init__(context, request, context.websockets.max_queue)
        self._prepare(context, stream, request, endpoint)
        self.latency = 0.0
        self._handshake: Any = None
        self._denial = False
        self._deflater: Any = None
        self._session: Session | None = None
        self._pinged = 0.0
        self._verdict: tuple[int, str, bytes, bool] | None = None

    # -- the application's task -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Check the handshake, build the scope and run the application. Raises ProtocolError."""
        context = self._context
        if self.endpoint.trusted:
            self.endpoint = endpoint_of(self.request, self.endpoint, context)
        self.started = _monotonic() if context.timed else context.clock
        request = self.request
        self._handshake = ws_handshake.read(request.method, request.http_version, request.headers)
        try:
            self._enter()
            self.scope = websocket_scope(request, self.endpoint, context, self._handshake.subprotocols)
            self._put({"type": "websocket.connect"}, 0)
            # A method of Python's own, for ``receive`` is Python's: a call through compiled code would cost more.
            task = self._new_task(context.app(self.scope, MethodType(receive, self), self.send), False)
        except BaseException as error:
            self._within(self._fail, (error,))
            return
        self._follow(task, False)
        self._limit_answer()

    def _end_cancelled(self) -> None:
        if not self._cancelling and self._last is None:
            self._context.log.error("ASGI application cancelled itself in %s", self.describe())
        self._end(CloseCode.SERVICE_RESTART if self._cancelling else CloseCode.INTERNAL_ERROR, "")

    def _end_returned(self) -> None:
        if self._state <= _DENYING and self._peer_ended:
            self._context.log.debug("ASGI application ended with its client: %s", self.describe())
        elif self._state <= _DENYING and self._last is None:
            what = "an answer" if self._state == _CONNECTING else "the end of its answer"
            self._context.log.error("ASGI application returned without %s to %s", what, self.describe())
        self._end(CloseCode.NORMAL, "")

    def _fail(self, error: BaseException) -> None:
        gone = self._state >= _CLOSING or self._last is not None
        if not (is_disconnect(error) or (gone and (came_of_disconnect(error) or tells_disconnect(error)))):
            self._log_exception(error)
        self._end(CloseCode.INTERNAL_ERROR, "")
        self._observe()

    def _end(self, code: int, reason: str) -> None:
        """Nobody is left to speak to the peer: close, or answer the handshake with an error."""
        self._drop_queue()
        if self._state == _CONNECTING or (self._state == _DENYING and not self._denial):
            self._refuse(503 if self._cancelling else 500, "", (), self._peer_ended)
        elif self._state == _DENYING:
            self._set_state(_CLOSED)
            self.stream.abort()
        elif self._state == _OPEN:
            self._send_close(code, reason)

    def _refuse(
        self, status: int, reason: str = "", headers: tuple[tuple[bytes, bytes], ...] = (), gone: bool = False
    ) -> None:
        """Answer the handshake with a plain response. ``gone``: the client left before anybody thought of that."""
        self.response = Response(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers])
        self.status = CLIENT_CLOSED_REQUEST if gone else status
        self._set_state(_CLOSED)
        self._put_disconnect(CloseCode.ABNORMAL, "")
        self.stream.send_head(self.response, (reason or _PHRASES.get(status, "Error")).encode() + b"\n", True)
        self._observe()

    def cancel(self) -> None:
        """Close and cancel: the time for draining is over."""
        self._cancelling = True
        self._restart()
        if self._task is not None:
            self._task.cancel()
        else:
            self.stream.abort()

    def describe(self) -> str:
        return f"WebSocket {self.request.target[:200].decode('latin-1')!r}"

    # -- what the protocol tells ------------------------------------------------------------------------------------

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """A handshake has no content."""

    def on_disconnect(self, lost: bool) -> None:
        """Messages that came before are still the application's, if it takes them in time.

        A peer that only sends nothing more can still be answered, its handshake too, but it is not waited for longer
        than one that closes in order.
        """
        self._peer_ended = True
        if lost:
            self._lose()
        if self._state <= _DENYING:
            self._stop_timer()
            self._limit_answer()
        elif not self._held:
            self._end_of_input()
        elif not lost:
            self._begin_end()
        self._observe_if_alone()

    def _lose(self) -> None:
        """The connection is, or is about to be, no more."""
        if self._state == _CLOSING:  # of what came since our close frame nothing is passed on
            self._parser = None
            self._held = 0
        self._set_state(_CLOSED)
        if not self.close_code:
            self.close_code = int(CloseCode.ABNORMAL)

    def _end_of_input(self) -> None:
        """All that the peer sent was taken, and it sends nothing more."""
        if self._verdict is None:
            self._close_with(CloseCode.ABNORMAL, "", b"", True)

    def _limit_answer(self) -> None:
        """Give the handshake its time to be answered once the peer has ended its side.

        Look now and then whether it has: nothing is read where more came behind the handshake than is kept.
        """
        timeout = self._context.websockets.close_timeout
        if timeout and self._grace is None and self._task is not None:
            judge = self._judge_answer
            self._grace = self._context.loop.call_later(timeout, judge, self._peer_ended, self.stream.sent)

    def _judge_answer(self, ended: bool, sent: int) -> None:
        """The peer had ``ended`` a while ago, when ``sent`` bytes of an answer had been sent."""
        self._grace = None
        if self._state > _DENYING:
            return
        # There is a deadline for a peer that does not read.
        is_answered = self._state == _DENYING and (self.stream.blocked() or self.stream.sent > sent)
        if ended and not is_answered:
            self._abandon()
            self._put_disconnect(CloseCode.ABNORMAL, "")
        else:
            self._peer_ended = ended or self.stream.has_left()
            self._limit_answer()

    def on_fault(self, error: ProtocolError) -> None:
        if self._state == _CONNECTING:
            self._refuse(error.status, error.reason, error.headers)
        else:
            self.on_disconnect(False)

    def on_writable(self) -> None:
        self._wake()
        self._await_peer()

    def on_timeout(self) -> None:
        """A ping is due, its answer is, the rest of a message, or the end."""
        session = self._session
        if self._state == _CLOSING:
            self._abandon()
        elif self._verdict is not None:
            self.on_asked()
        elif self._state == _OPEN and session is not None:
            self._look_after(session, self._context.clock)
            if self._state == _OPEN:
                self._await_peer()

    def _look_after(self, session: Session, now: float) -> None:
        due = session.due(now)
        if due == _CLOSE_DUE:
            if self._peer_ended or self.stream.has_left():
                self._abandon()
            else:
                session.go_on()
        elif self._message_by and now >= self._message_by:
            self._refuse_frame(FrameError(CloseCode.POLICY_VIOLATION, "message not complete in time"))
        elif due == _PONG_DUE:
            self._judge_silence(session)
        elif due == _PING_DUE:
            self._heard = False
            self._pinged = _monotonic()
            payload = random.randbytes(_PING_SIZE)  # noqa: S311  # no secret
            self.stream.send_data(session.ping(payload, now), False)
        elif self._stalled and self.stream.has_left():
            session.close_soon(now)

    def _judge_silence(self, session: Session) -> None:
        """Any sign of life will do, also one that was not read because the application or this loop is slow."""
        if self._heard or self.stream.has_unread():
            session.answered(self._context.clock)
            return
        ip = address_of(self.endpoint)
        setting = f"websocket_ping_timeout={self._context.websockets.ping_timeout:g}"
        message = "%s from ip=%s closed with 1011: no answer to a ping (%s)"
        self._context.peer_log.info(ip, message, self.describe(), ip, setting)
        code, reason = int(CloseCode.INTERNAL_ERROR), "keepalive ping timeout"
        self.close_code = code
        self.stream.send_data(ws_writer.close(code, reason), False)
        if not self._held:
            self._put_disconnect(code, reason)
        self._abandon()

    def _abandon(self) -> None:
        """Wait for the peer, or for the application to take what came from it, no longer."""
        self._peer_ended = True
        self._lose()
        self.stream.abort()
        self._observe_if_alone()

    def on_drain(self) -> None:
        """Close with 1012, at some moment of the spread, lest all clients come back at once."""
        if self._state == _OPEN:
            delay = random.uniform(0, self._context.websockets.restart_spread)  # noqa: S311  # no secret
            self._context.loop.call_later(delay, self._restart)

    def on_last_call(self) -> None:
        """The closing handshake began when the worker began to drain, or begins now."""
        self._restart()

    def is_endless(self) -> bool:
        return self._state in (_OPEN, _CLOSING)

    def _restart(self) -> None:
        if self._state == _OPEN:
            self._send_close(CloseCode.SERVICE_RESTART, _RESTART_REASON)

    # -- frames -----------------------------------------------------------------------------------------------------

    def _on_all_read(self, parser: FrameParser) -> None:
        session = self._session
        now = self._context.clock
        is_news = self._stalled
        self._stalled = False
        if is_news and session is not None and not self._peer_ended and self._verdict is None:
            session.go_on()
        timeout = self._context.websockets.message_timeout
        if self._state == _OPEN and not self._message_by and timeout and parser.is_under_way():
            self._message_by = now + timeout
            is_news = True
        if self._peer_ended:
            self._end_of_input()
        elif is_news:
            self._await_peer()

    def _on_stalled(self) -> None:
        self._await_peer()

    def _answer_ping(self, data: bytes) -> None:
        if self._state == _OPEN and not self.stream.blocked():
            self.stream.send_data(ws_writer.pong(data), False)

    def _take_pong(self, data: bytes) -> None:
        session = self._session
        if session is not None and session.is_answer(data):
            self.latency = _monotonic() - self._pinged
            session.answered(self._context.clock)
            self._await_peer()

    def _take_close(self, code: int, reason: str) -> None:
        """The peer's close frame: answer it if it is the first, and end (RFC 6455 section 5.5.1)."""
        if self._state != _CLOSING:
            self.close_code = code
        if self.status == CLIENT_CLOSED_REQUEST:
            self.status = 101  # it had ended its side before it was answered, but in order
        # The reason goes back too, for that is what a browser tells the page of its own close.
        self._close_with(code, reason, ws_writer.close(None if code == CloseCode.NO_STATUS else code, reason), True)

    def _refuse_frame(self, error: FrameError) -> None:
        ip, fault = address_of(self.endpoint), (error.code, error.reason)
        if error.code == CloseCode.MESSAGE_TOO_BIG:
            limit = self._context.websockets.max_message_size
            fault = error.code, f"{error.reason} (websocket_max_message_size={limit})"
        self._context.peer_log.info(ip, "%s from ip=%s closed with %d: %s", self.describe(), ip, *fault)
        if self._state != _CLOSING:
            self.close_code = error.code
        self._close_with(error.code, error.reason, ws_writer.close(error.code, error.reason), False)

    def _close_with(self, code: int, reason: str, frame: bytes, ended: bool) -> None:
        """End with the last frame, unless one was sent already or cannot be sent.

        Messages came before: the application may answer them, also the one that it took last (RFC 6455 section 5.5.1
        lets an answer come before the close frame). When it asks for more, or takes too long, this is it.
        """
        self._parser = None
        self._message_by = 0.0
        if self._state == _OPEN and (self._queue or self._is_answering):
            self._verdict = code, reason, frame, ended
            self._begin_end()
        else:
            self._end_with(code, reason, frame, ended)

    def _end_with(self, code: int, reason: str, frame: bytes, ended: bool) -> None:
        state = self._state
        self._verdict = None
        self._set_state(_CLOSED)
        self._put_disconnect(code, reason)
        if state != _CLOSED:
            self.stream.send_data(frame if state == _OPEN else b"", ended)
            if not ended:  # who broke the protocol may be in the middle of a message
                self.stream.abort()
        self._observe_if_alone()

    def on_asked(self) -> None:
        verdict = self._verdict
        if verdict is not None:
            code, reason, frame, ended = verdict
            self._end_with(code, reason, frame, ended)

    def _send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; end it where the peer has begun it, or failed."""
        self.close_code = int(code)
        if self._verdict is not None:
            self._verdict = code, reason, ws_writer.close(code, reason), self._verdict[3]
            self.on_asked()
            return
        self._set_state(_CLOSING)
        self._put_disconnect(code, reason)
        self.stream.send_data(ws_writer.close(code, reason), False)
        self._begin_end()
        if self._held and not self._awaits_round:
            self._read_frames()

    def _begin_end(self) -> None:
        session = self._session
        if session is not None:
            session.close_soon(self._context.clock)
            self._await_peer()

    def _end_sooner(self) -> None:
        """The peer has ended, and the application has answered what came before."""
        session = self._session
        if session is not None and session.close_sooner(self._context.clock):
            self._await_peer()

    def _await_peer(self) -> None:
        """Ask to be woken when the peer, or the application, should have done something."""
        session = self._session
        if session is None or self._state > _CLOSING:
            return
        now = self._context.clock
        is_ending = self._state == _CLOSING or self._verdict is not None
        if is_ending and not self._context.websockets.close_timeout:
            self.stream.wake_within(0)
            return
        most = 0.0
        if self._message_by:
            most = max(self._message_by - now, _AT_ONCE)
        if self._stalled and (not most or most > _LOOK):
            most = _LOOK
        self.stream.wake_within(session.next(now, most))

    # -- send -------------------------------------------------------------------------------------------------------

    def send(self, message: Event) -> Coroutine[Any, Any, None]:
        """ASGI ``send``. The event is handled at once; what is awaited is the error, or the peer's catching up."""
        try:
            self._send(message if type(message) is dict else as_dict(message))
        except Exception as error:
            return awaitables.Failed(error) if self.ends_at_once() else awaitables.fail_later(error)
        if (self._state == _OPEN or self._state == _DENYING) and self.stream.blocked():
            return self._wait_until_writable()
        return _DONE_AWAITABLE

    async def _wait_until_writable(self) -> None:
        while (self._state == _OPEN or self._state == _DENYING) and self.stream.blocked():
            await woken(self)
        if self._state == _CLOSED:
            raise ClientDisconnected

    def _send(self, message: Event) -> None:
        kind = message.get("type")
        if type(kind) is not str and kind is not None:
            kind = kind_of(message)
        if kind == "websocket.send":
            self._send_message(message)
            if self._verdict is not None and not self._queue:
                self._end_sooner()
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._close(message)
        elif kind == "websocket.http.response.start" or kind == "websocket.http.response.body":
            self._deny(str(kind), message)
        else:
            raise EventError(f"Unknown event type {kind!r:.60}")

    def _send_message(self, message: Event) -> None:
        text = message.get("text")
        data = message.get("bytes")
        if self._state != _OPEN:
            if self._state < _OPEN:
                raise EventError("websocket.send sent before websocket.accept")
            raise ClientDisconnected
        if (text is None) == (data is None):
            raise EventError("websocket.send needs exactly one of 'text' and 'bytes'")
        if text is None:
            if type(data) is not bytes:
                data = as_bytes(data, "websocket.send: 'bytes'")
            if len(data) > _LARGE and self._deflater is None:
                self._send_large(_BINARY, data)
            else:
                self.stream.send_data(binary_frame(data, self._deflater), False)
        else:
            if type(text) is not str:
                text = as_str(text)
            if len(text) > _LARGE and self._deflater is None:
                self._send_large(_TEXT, text.encode())
            else:
                self.stream.send_data(text_frame(text, self._deflater), False)

    def _send_large(self, opcode: int, payload: bytes) -> None:
        """Its header alone: behind it the payload need not be copied."""
        self.stream.send_data(frame_header(opcode, len(payload)), False)
        self.stream.send_data(payload, False)

    def _accept(self, message: Event) -> None:
        settings = self._context.websockets
        deflate = ws_deflate.negotiate(self._handshake.extensions, _DEFLATE_RULES) if settings.compression else None
        try:
            headers = ws_handshake.accept(
                self._handshake,
                message.get("subprotocol"),
                message.get("headers") or (),
                b"" if deflate is None else deflate.header,
            )
        except (TypeError, ValueError) as error:
            raise EventError(f"websocket.accept: {error}") from error
        # Only now: reading the event may have run code of the application, which may have sent another.
        if self._state >= _CLOSING:
            raise ClientDisconnected
        if self._state != _CONNECTING:
            raise EventError("websocket.accept sent twice, or after the handshake was answered")
        self.status = CLIENT_CLOSED_REQUEST if self._peer_ended else 101
        self._is_answering = False
        self._stop_timer()
        self._parser = FrameParser(settings.max_message_size, deflate is not None)
        inflater = None if deflate is None else deflate.inflater()
        self._unpacker = Unpacker(settings.max_message_size, settings.compression_ratio, inflater)
        now = self._context.clock
        self._session = Session(settings.ping_interval, settings.ping_timeout, settings.close_timeout, now)
        self._deflater = None if deflate is None else deflate.deflater()
        self.response = Response(200, headers)
        self._set_state(_OPEN)
        self.stream.open_tunnel(headers)
        self._await_peer()
        if self._peer_ended:
            self._context.loop.call_soon(self._read_frames)  # behind what came with the handshake
        if self._context.draining:
            self.on_drain()

    def _close(self, message: Event) -> None:
        if self._state == _CONNECTING:
            self._refuse(403)
            return
        code, reason = close_of(message)
        if self._state == _DENYING:
            raise EventError("websocket.close sent after websocket.http.response.start")
        if self._state != _OPEN:
            raise ClientDisconnected
        self._send_close(code, reason)

    def _deny(self, kind: str, message: Event) -> None:
        """The extension websocket.http.response: an ordinary response instead of the handshake's."""
        if kind.endswith("start"):
            response = denial_of(message)
            if self._state != _CONNECTING:
                raise EventError(f"{kind} sent after the handshake was answered")
            self.response = response
            self.status = self.response.status
            self._set_state(_DENYING)
            return
        data = message.get("body", b"")
        if type(data) is not bytes:
            data = as_bytes(data, f"{kind}: 'body'")
        end = not message.get("more_body")
        if self._state != _DENYING or self.response is None:
            if self._state >= _CLOSING:
                raise ClientDisconnected
            raise EventError(f"{kind} sent before websocket.http.response.start")
        if self._denial:
            self.stream.send_data(data, end)
        else:
            self._denial = True
            self.stream.send_head(self.response, data, end)
        if end:
            self._set_state(_CLOSED)
            self._put_disconnect(CloseCode.ABNORMAL, "")
            self._observe()

    # -- states and observation -------------------------------------------------------------------------------------

    def _set_state(self, state: int) -> None:
        self._state = state
        if state == _CLOSED:
            self._limit_backlog()
        self._wake()

    def _observe_if_alone(self) -> None:
        """The connection is gone; the application may go on for a while, the log does not wait for it."""
        if self._state == _CLOSED:
            self._observe()


_PHRASES = {403: "Forbidden", 500: "Internal Server Error", 503: "Service Unavailable"}
