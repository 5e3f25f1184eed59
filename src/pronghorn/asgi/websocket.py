"""One WebSocket as an ASGI application sees it: a scope, ``receive`` and ``send`` (ASGI WebSocket 2.5).

Owns the order of events, the keep-alive pings and the closing handshake (RFC 6455 sections 4, 5.5, 7). Frames are
``wire/ws_frames``', the handshake's fields ``wire/ws_handshake``'s. It is told what arrives through ``Exchange`` and
answers through ``Stream``, so it runs on any protocol that can open a tunnel.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any

from pronghorn.asgi import awaitables
from pronghorn.asgi.context import Context
from pronghorn.asgi.errors import ClientDisconnected, EventError, came_of_disconnect, is_disconnect
from pronghorn.asgi.exchange import MOST_TOLD_AT_ONCE
from pronghorn.asgi.scope import Endpoint, endpoint_of, websocket_scope
from pronghorn.asgi.stream import Exchange, Stream
from pronghorn.wire import ws_deflate, ws_frames, ws_handshake
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response
from pronghorn.wire.ws_frames import CloseCode, FrameError, FrameParser


class State(IntEnum):
    """How far the WebSocket is (the names of RFC 6455); drawn in ``websocket.pxd``."""

    CONNECTING = 0
    DENYING = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


_CONNECTING = int(State.CONNECTING)
_DENYING = int(State.DENYING)
_OPEN = int(State.OPEN)
_CLOSING = int(State.CLOSING)
_CLOSED = int(State.CLOSED)

_NEED_DATA = int(ws_frames.Event.NEED_DATA)
_MESSAGE = int(ws_frames.Event.MESSAGE)
_PING = int(ws_frames.Event.PING)
_PONG = int(ws_frames.Event.PONG)

_DONE_AWAITABLE = awaitables.DONE
_text_frame = ws_frames.text
_binary_frame = ws_frames.binary
_monotonic = time.monotonic

_DEFLATE_RULES = ws_deflate.DeflateRules()
_RESTART_REASON = "Service restart"

Event = dict[str, Any]


class WebSocketExchange(Exchange):
    """One WebSocket. ``start`` runs the application; the protocol calls the ``on_`` methods as things arrive.

    ``status`` int: 101, or what the handshake was answered with · ``close_code`` int: how it ended, 0 while it has
    not · ``latency`` float: seconds that the last answered ping took, 0 before · otherwise as ``HttpExchange``.
    """

    __slots__ = (
        "_connect_event",
        "_context",
        "_deflater",
        "_denial",
        "_disconnect_event",
        "_handshake",
        "_heard",
        "_held",
        "_observed",
        "_parser",
        "_pinged",
        "_queue",
        "_state",
        "_task",
        "_told",
        "_waiters",
        "close_code",
        "endpoint",
        "latency",
        "logged",
        "response",
        "scope",
        "started",
        "status",
        "stream",
    )

    def __init__(self, context: Context, stream: Stream, request: Request, endpoint: Endpoint) -> None:
        self.request = request
        self.stream = stream
        self.endpoint = endpoint
        self.logged: Any = None
        self.scope: dict[str, Any] | None = None
        self.response: Response | None = None
        self.status = 0
        self.started = 0.0
        self.close_code = 0
        self.latency = 0.0
        self._context = context
        self._state = _CONNECTING
        self._handshake: Any = None
        self._denial = False
        self._parser: FrameParser | None = None
        self._deflater: Any = None
        self._queue: deque[Event] = deque()
        self._connect_event = True
        self._disconnect_event: Event | None = None
        self._held = 0
        self._heard = False
        self._pinged = 0.0
        self._waiters: list[asyncio.Future[None]] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._observed = False
        self._told = 0

    @property
    def state(self) -> State:
        return State(self._state)

    # -- the application's task -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Check the handshake, build the scope and run the application. Raises ProtocolError."""
        context = self._context
        if context.forwarded is not None and self.endpoint.trusted:
            self.endpoint = endpoint_of(self.request, self.endpoint, context)
        self.started = _monotonic() if context.timed else context.clock
        request = self.request
        self._handshake = ws_handshake.read(request.method, request.http_version, request.headers)
        try:
            if context.pre_request is not None:
                context.pre_request(self)
            self.scope = websocket_scope(request, self.endpoint, context, self._handshake.subprotocols)
            task = context.create_task(_run(context.app, self.scope, self.receive, self.send))
        except Exception as error:
            self._fail(error)
            return
        self._task = task
        context.tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        """The application has returned, raised or been cancelled: so ends the WebSocket (ASGI WebSocket, scope)."""
        self._task = None
        self._context.tasks.discard(task)
        try:
            error = task.exception()
        except asyncio.CancelledError:
            self._end(CloseCode.SERVICE_RESTART, _RESTART_REASON)
        else:
            if error is not None:
                self._fail(error)
            elif self._state == _CONNECTING:
                self._context.log.error("ASGI application returned without an answer to %s", self.describe())
                self._refuse(500)
            else:
                self._end(CloseCode.NORMAL, "")
        self._observe()

    def _fail(self, error: BaseException) -> None:
        gone = self._state >= _CLOSING
        if not (is_disconnect(error) or (gone and came_of_disconnect(error))):
            self._context.log.error(
                "Exception in ASGI application, %s", self.describe(), exc_info=(type(error), error, error.__traceback__)
            )
        self._end(CloseCode.INTERNAL_ERROR, "")
        self._observe()

    def _end(self, code: int, reason: str) -> None:
        """Nobody is left to speak to the peer: close, or answer the handshake with an error."""
        if self._state == _CONNECTING:
            self._refuse(500)
        elif self._state == _DENYING:
            self._set_state(_CLOSED)
            self.stream.abort()
        elif self._state == _OPEN:
            self._send_close(code, reason)

    def _refuse(self, status: int, reason: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer the handshake with a plain response."""
        self.response = Response(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers])
        self.status = status
        self._set_state(_CLOSED)
        self._queue_disconnect(CloseCode.ABNORMAL, "")
        self.stream.send_head(self.response, (reason or _PHRASES.get(status, "Error")).encode() + b"\n", True)
        self._observe()

    def cancel(self) -> None:
        """Close and cancel: the time for draining is over."""
        self._end(CloseCode.SERVICE_RESTART, _RESTART_REASON)
        if self._task is not None:
            self._task.cancel()
        else:
            self.stream.abort()

    def describe(self) -> str:
        """The handshake as it may stand in a log line."""
        return f"WebSocket {self.request.target[:200].decode('latin-1')!r}"

    # -- what the protocol tells ------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        self._heard = True
        self._held += len(data)
        if self._parser is not None:
            self._parser.feed(data)
            self._read_frames()

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """A handshake has no content."""

    def on_disconnect(self, lost: bool) -> None:
        if self._state < _CLOSED:
            self._queue_disconnect(CloseCode.ABNORMAL, "")
            opened = self._state >= _OPEN
            self._set_state(_CLOSED)
            if opened and not lost:
                self.stream.send_data(b"", True)
        self._observe_if_alone()

    def on_fault(self, error: ProtocolError) -> None:
        if self._state == _CONNECTING:
            self._refuse(error.status, error.reason, error.headers)
        else:
            self.on_disconnect(False)

    def on_writable(self) -> None:
        self._wake()
        self._await_peer()

    def on_timeout(self) -> None:
        """A ping is due, its answer is, or the closing handshake's."""
        if self._state == _CLOSING:
            self._set_state(_CLOSED)
            self.stream.abort()
            self._observe_if_alone()
        elif self._state == _OPEN:
            if self._pinged and not self._heard:
                self._context.log.info("%s closed: no answer to a ping", self.describe())
                self._send_close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._queue_disconnect(CloseCode.ABNORMAL, "")
                self._set_state(_CLOSED)
                self.stream.abort()
            elif self._pinged:
                self._pinged = 0.0
                self._await_peer()
            else:
                self._heard = False
                self._pinged = _monotonic()
                self.stream.send_data(ws_frames.ping(), False)
                self._await_peer()

    def on_drain(self) -> None:
        """Close with 1012, at some moment of the spread, lest all clients come back at once."""
        if self._state == _OPEN:
            delay = random.uniform(0, self._context.websockets.restart_spread)  # noqa: S311  # no secret
            self._context.loop.call_later(delay, self._restart)

    def on_last_call(self) -> None:
        """The closing handshake began when the worker began to drain, or begins now."""
        self._restart()

    def _restart(self) -> None:
        if self._state == _OPEN:
            self._queue_disconnect(CloseCode.SERVICE_RESTART, _RESTART_REASON)
            self._send_close(CloseCode.SERVICE_RESTART, _RESTART_REASON)

    # -- frames -----------------------------------------------------------------------------------------------------

    def _read_frames(self) -> None:
        """Take frames from the parser while the application keeps up with them."""
        parser = self._parser
        try:
            while self._state < _CLOSED and len(self._queue) < self._context.websockets.max_queue:
                event = parser.next()  # type: ignore[union-attr]  # it came with the tunnel
                if event == _NEED_DATA:
                    break
                if event == _MESSAGE:
                    self._take_message()
                elif event == _PING:
                    if self._state == _OPEN and not self.stream.blocked():
                        # Of pings that pile up behind a peer that does not read, the last is enough (section 5.5.3).
                        self.stream.send_data(ws_frames.pong(parser.data), False)  # type: ignore[union-attr]
                elif event == _PONG:
                    if self._pinged:
                        self.latency = _monotonic() - self._pinged
                else:
                    self._take_close(parser.close_code, parser.close_reason)  # type: ignore[union-attr]
            else:
                return  # the rest waits, and with it the peer
        except FrameError as error:
            self._refuse_frame(error)
        held = self._held
        self._held = 0
        self.stream.consumed(held)

    def _take_message(self) -> None:
        if self._state != _OPEN:
            return
        parser = self._parser
        if parser is None:
            return
        if parser.is_text:
            self._queue.append({"type": "websocket.receive", "text": parser.text})
        else:
            self._queue.append({"type": "websocket.receive", "bytes": parser.data})
        if self._waiters is not None:
            self._wake()

    def _take_close(self, code: int, reason: str) -> None:
        """The peer's close frame: answer it if it is the first, and end (RFC 6455 section 5.5.1)."""
        if self._state == _OPEN:
            self._queue_disconnect(code, reason)
            self.close_code = code
            self.stream.send_data(ws_frames.close(None if code == CloseCode.NO_STATUS else code), False)
        self._set_state(_CLOSED)
        self.stream.send_data(b"", True)
        self._observe_if_alone()

    def _refuse_frame(self, error: FrameError) -> None:
        self._context.log.info("%s closed with %d: %s", self.describe(), error.code, error.reason)
        if self._state == _OPEN:
            self._queue_disconnect(error.code, error.reason)
            self.close_code = error.code
            self.stream.send_data(ws_frames.close(error.code, error.reason[:120]), False)
        self._set_state(_CLOSED)
        self.stream.send_data(b"", True)
        self._observe_if_alone()

    def _send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self.close_code = code
        self._set_state(_CLOSING)
        self._queue_disconnect(code, reason)
        self.stream.send_data(ws_frames.close(code, reason), False)
        self._await_peer()

    def _await_peer(self) -> None:
        """Ask to be woken when the peer should have done something."""
        settings = self._context.websockets
        if self._state == _CLOSING:
            self.stream.wake_within(settings.close_timeout)
        elif self._state == _OPEN:
            if self._pinged:
                self.stream.wake_within(settings.ping_timeout)
            else:
                self.stream.wake_within(settings.ping_interval)

    # -- receive ----------------------------------------------------------------------------------------------------

    def receive(self) -> Coroutine[Any, Any, Event]:
        """ASGI ``receive``: websocket.connect, then messages, then websocket.disconnect."""
        if self.has_event():
            return awaitables.Receive(self)
        return self.wait_for_event()

    def has_event(self) -> bool:
        """Whether ``take_event`` has something to return that the application has not seen."""
        return self._connect_event or bool(self._queue)

    def take_event(self) -> Event:
        """Return the next event; room in the queue lets the peer go on."""
        if self._connect_event:
            self._connect_event = False
            return {"type": "websocket.connect"}
        event = self._queue.popleft()
        if self._held and len(self._queue) < self._context.websockets.max_queue:
            self._read_frames()
        return event

    async def wait_for_event(self) -> Event:
        """Wait for a message, or the end."""
        while not self.has_event():
            if self._disconnect_event is not None:
                # As for HTTP: at once, unless it is asked for again and again.
                self._told += 1
                if self._told > MOST_TOLD_AT_ONCE:
                    await asyncio.sleep(0)
                return self._disconnect_event.copy()
            else:
                await self._wait()
        return self.take_event()

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = self._context.loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters = self._waiters
        self._waiters = None
        if waiters is not None:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _queue_disconnect(self, code: int, reason: str) -> None:
        if self._disconnect_event is None:
            self._disconnect_event = {"type": "websocket.disconnect", "code": int(code), "reason": reason}
            if not self.close_code:
                self.close_code = int(code)
            self._wake()

    # -- send -------------------------------------------------------------------------------------------------------

    def send(self, message: Event) -> Coroutine[Any, Any, None]:
        """ASGI ``send``. The event is handled at once; what is awaited is the error, or the peer's catching up."""
        try:
            self._send(message if type(message) is dict else dict(message))
        except Exception as error:
            return awaitables.Failed(error)
        if self._state == _OPEN and self.stream.blocked():
            return self._wait_until_writable()
        return _DONE_AWAITABLE

    async def _wait_until_writable(self) -> None:
        while self._state == _OPEN and self.stream.blocked():
            await self._wait()
        if self._state == _CLOSED:
            raise ClientDisconnected

    def _send(self, message: Event) -> None:
        kind = message.get("type")
        if kind == "websocket.send":
            self._send_message(message)
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._close(message)
        elif kind == "websocket.http.response.start" or kind == "websocket.http.response.body":
            self._deny(str(kind), message)
        else:
            raise EventError(f"Unknown event type {kind!r:.60}")

    def _send_message(self, message: Event) -> None:
        if self._state != _OPEN:
            if self._state < _OPEN:
                raise EventError("websocket.send sent before websocket.accept")
            raise ClientDisconnected
        text = message.get("text")
        data = message.get("bytes")
        if (text is None) == (data is None):
            raise EventError("websocket.send needs exactly one of 'text' and 'bytes'")
        if text is None:
            if type(data) is not bytes:
                data = _as_bytes(data)
            self.stream.send_data(_binary_frame(data, self._deflater), False)
        else:
            if type(text) is not str:
                raise EventError(f"websocket.send: 'text' must be str, not {type(text).__name__}")
            self.stream.send_data(_text_frame(text, self._deflater), False)

    def _accept(self, message: Event) -> None:
        if self._state >= _CLOSING:
            raise ClientDisconnected
        if self._state != _CONNECTING:
            raise EventError("websocket.accept sent twice, or after the handshake was answered")
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
        self.status = 101
        self._parser = FrameParser(settings.max_message_size, None if deflate is None else deflate.inflater())
        self._deflater = None if deflate is None else deflate.deflater()
        self.response = Response(200, headers)
        self._set_state(_OPEN)
        self.stream.open_tunnel(headers)
        self._await_peer()
        if self._context.draining:
            self.on_drain()

    def _close(self, message: Event) -> None:
        if self._state == _CONNECTING:
            self._refuse(403)
            return
        if self._state == _DENYING:
            raise EventError("websocket.close sent after websocket.http.response.start")
        if self._state != _OPEN:
            raise ClientDisconnected
        code = message.get("code", 1000)
        reason = message.get("reason") or ""
        try:
            ws_frames.close(code, reason)
        except (TypeError, ValueError, AttributeError) as error:
            raise EventError(f"websocket.close: {error}") from error
        self._send_close(code, reason)

    def _deny(self, kind: str, message: Event) -> None:
        """The extension websocket.http.response: an ordinary response instead of the handshake's."""
        if kind.endswith("start"):
            if self._state != _CONNECTING:
                raise EventError(f"{kind} sent after the handshake was answered")
            status = message.get("status")
            if not isinstance(status, int) or not 200 <= status <= 999:
                raise EventError(f"{kind}: 'status' must be an int from 200 to 999, not {status!r:.40}")
            try:
                self.response = Response(status, message.get("headers") or ())
            except (TypeError, ValueError) as error:
                raise EventError(f"{kind}: 'headers': {error}") from error
            self.status = status
            self._set_state(_DENYING)
            return
        if self._state != _DENYING or self.response is None:
            if self._state >= _CLOSING:
                raise ClientDisconnected
            raise EventError(f"{kind} sent before websocket.http.response.start")
        data = message.get("body", b"")
        if type(data) is not bytes:
            data = _as_bytes(data)
        more = bool(message.get("more_body"))
        if not more:
            self._set_state(_CLOSED)
            self._queue_disconnect(CloseCode.ABNORMAL, "")
        if self._denial:
            self.stream.send_data(data, not more)
        else:
            self._denial = True
            self.stream.send_head(self.response, data, not more)
        if not more:
            self._observe()

    # -- states and observation -------------------------------------------------------------------------------------

    def _set_state(self, state: int) -> None:
        self._state = state
        if self._waiters is not None:
            self._wake()

    def _observe(self) -> None:
        """Tell the observer, once, when the WebSocket has ended or was refused."""
        observer = self._context.observer
        if observer is not None and not self._observed:
            self._observed = True
            observer(self)

    def _observe_if_alone(self) -> None:
        """The connection is gone; the application may go on for a while, the log does not wait for it."""
        if self._state == _CLOSED:
            self._observe()


_PHRASES = {403: "Forbidden", 500: "Internal Server Error"}


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise EventError(f"'bytes' and 'body' must be bytes, not {type(data).__name__}")


async def _run(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Run the application, whatever kind of awaitable it returns, in a task of its own."""
    await app(scope, receive, send)
