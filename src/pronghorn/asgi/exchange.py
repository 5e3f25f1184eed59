"""One HTTP request and its response as an ASGI application sees them: a scope, ``receive`` and ``send``.

Owns the order of events (ASGI HTTP 2.5) and the outcome of the application's task. It cannot tell HTTP/1 from
HTTP/2: it is told what arrives through ``Exchange`` and answers through ``Stream``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any

from pronghorn.asgi import awaitables, events, files
from pronghorn.asgi.app_task import CLIENT_CLOSED_REQUEST
from pronghorn.asgi.context import Context
from pronghorn.asgi.errors import ClientDisconnected, EventError, came_of_disconnect, hands_on_disconnect, is_disconnect
from pronghorn.asgi.receive import woken
from pronghorn.asgi.scope import Endpoint, address_of, endpoint_of, http_scope
from pronghorn.asgi.source import Source
from pronghorn.asgi.stream import Stream
from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response


class Receiving(IntEnum):
    """What ``receive`` has to say; drawn in ``exchange.pxd``."""

    OPEN = 0
    COMPLETE = 1
    COMPLETE_THEN_GONE = 2
    TAKEN = 3
    GONE = 4


class Sending(IntEnum):
    """How far the response is; drawn in ``exchange.pxd``."""

    IDLE = 0
    HELD = 1
    STREAMING = 2
    FILE = 3
    TRAILERS = 4
    DONE = 5
    LOST = 6


class Peer(IntEnum):
    """What is known of the client; drawn in ``exchange.pxd``."""

    HERE = 0
    ENDED = 1
    CUT = 2
    LOST = 3


_OPEN = int(Receiving.OPEN)
_COMPLETE = int(Receiving.COMPLETE)
_COMPLETE_THEN_GONE = int(Receiving.COMPLETE_THEN_GONE)
_TAKEN = int(Receiving.TAKEN)
_GONE = int(Receiving.GONE)

_IDLE = int(Sending.IDLE)
_HELD = int(Sending.HELD)
_STREAMING = int(Sending.STREAMING)
_FILE = int(Sending.FILE)
_TRAILERS = int(Sending.TRAILERS)
_DONE = int(Sending.DONE)
_LOST = int(Sending.LOST)

_PEER_HERE = int(Peer.HERE)
_PEER_ENDED = int(Peer.ENDED)
_PEER_CUT = int(Peer.CUT)
_PEER_LOST = int(Peer.LOST)

#: Methods whose requests change nothing (RFC 9110 section 9.2.1): work on any other is finished without a client too.
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

_DONE_AWAITABLE = awaitables.DONE
_monotonic = time.monotonic

#: Parts of content below this are copied together: an object for each byte would take sixty times its size.
_WHOLE = 1024

Event = dict[str, Any]


class HttpExchange(Source):
    """One request. ``start`` runs the application; the protocol calls the ``on_`` methods as things arrive."""

    __slots__ = ("_chunks", "_file", "_held_trailers", "_peer", "_receiving", "_sending")

    def __init__(self, context: Context, stream: Stream, request: Request, endpoint: Endpoint) -> None:
        self.open(context, stream, request, endpoint)

    def open(self, context: Context, stream: Stream, request: Request, endpoint: Endpoint) -> None:
        """What ``__init__`` does. Compiled, ``__new__`` and this take half the time."""
        self._prepare(context, stream, request, endpoint)
        self._receiving = _OPEN if request.has_body else _COMPLETE
        self._sending = _IDLE
        self._peer = _PEER_HERE
        self._chunks: list[bytes | bytearray] | None = None
        self._waiters = None
        self._held_trailers: list[tuple[bytes, bytes]] | None = None
        self._told = 0
        self._file: files.FilePart | None = None

    @property
    def receiving(self) -> Receiving:
        return Receiving(self._receiving)

    @property
    def sending(self) -> Sending:
        return Sending(self._sending)

    # -- the application's task -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Build the scope and run the application, as far as it goes without waiting where tasks start eagerly.

        Raises ProtocolError for what a proxy's fields cannot mean.
        """
        context = self._context
        if self.endpoint.trusted:
            self.endpoint = endpoint_of(self.request, self.endpoint, context)
        self.started = _monotonic() if context.timed else context.clock
        try:
            if context.pre_request is not None or not (context.eager and context.in_turn):
                self._enter()
            self.scope = http_scope(self.request, self.endpoint, context)
            task = self._new_task(context.app(self.scope, self.receive, self.send), context.eager)
        except BaseException as error:  # a task that starts at once raises SystemExit, as asyncio's loops would
            self._within(self._fail, (error,))
            self._observe()
            return
        self._follow(task, context.eager)

    def _is_answered(self) -> bool:
        return self._sending >= _DONE

    def leave(self, ended: Stream) -> bool:
        if self._task is not None or self._sending < _DONE:
            return False
        if self._context.observer is not None and not self._observed:
            return False  # what was sent is still to be told
        self.stream = ended
        return True

    def _end_cancelled(self) -> None:
        if self._sending >= _DONE:
            return
        if self._peer != _PEER_HERE:
            if not self._cancelling:
                self._say_cancelled()
            self._end_with_client()
        elif self._cancelling:
            self._context.log.warning("Cancelled %s before it was answered", self.describe())
            self._answer_failure(503)
        else:
            self._context.log.error("ASGI application cancelled itself in %s", self.describe())
            self._answer_failure(500)

    def _end_returned(self) -> None:
        if self._receiving == _GONE:  # it was told, or could have asked: there is nobody to finish for
            self._context.log.debug("ASGI application ended with its client: %s", self.describe())
            self._end_with_client()
            return
        if self._sending == _IDLE:
            self._context.log.error("ASGI application returned without a response to %s", self.describe())
        else:
            self._context.log.error("ASGI application returned before its response was complete: %s", self.describe())
        self._answer_failure(500)

    def _fail(self, error: BaseException) -> None:
        if (
            is_disconnect(error)
            or (self._sending == _LOST and came_of_disconnect(error))
            or (self._receiving == _GONE and hands_on_disconnect(error))
        ):
            if self._sending < _DONE:
                self._end_with_client()
            return
        self._log_exception(error)
        if self._sending >= _DONE:
            return
        if self._peer == _PEER_CUT:
            self._end_with_client()
        else:
            self._answer_failure(500)

    def _end_with_client(self) -> None:
        """The client left first, which is what the log is to say, whatever one that can still read is told."""
        if self._peer == _PEER_HERE:  # told by ``on_last_call``, or a mistake of the application
            self._answer_failure(500)
        elif self._sending > _HELD:
            self._answer_failure(CLIENT_CLOSED_REQUEST)
        elif self._peer == _PEER_CUT:
            self._answer(400, CLIENT_CLOSED_REQUEST, "Request content is not complete", ())
        else:
            self._answer(503, CLIENT_CLOSED_REQUEST, "", ())

    def _answer_failure(self, status: int) -> None:
        """Answer with ``status`` where no head was sent; else cut the response off, which tells the client too."""
        if self._sending <= _HELD:
            self.refuse(status)
        else:
            self._end_early()
            self.stream.abort()
            self._observe()

    def _end_early(self) -> None:
        """Nothing more is asked of the application: ``send`` says so, or it might never come to an end."""
        self._chunks = None
        self._set_receiving(_GONE)
        self._set_sending(_LOST)

    def refuse(self, status: int, reason: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer without, or in place of, the application; nothing must have been sent yet."""
        self._answer(status, status, reason, headers)

    def _answer(self, status: int, logged: int, reason: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        body = (reason or _PLAIN_BODIES.get(status, "Error")).encode("utf-8", "replace") + b"\n"
        self.response = Response(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers])
        self.status = logged
        self._end_early()
        self.stream.send_head(self.response, body, True)
        self._observe()

    def cancel(self) -> None:
        """Cancel the application, because the client or the time is gone."""
        if self._task is not None:
            if self._peer != _PEER_HERE and self._sending != _DONE and not self._cancelling:
                self._within(self._say_cancelled, ())
            self._cancelling = True
            self._task.cancel()

    def _say_cancelled(self) -> None:
        ip, age = address_of(self.endpoint), max(_monotonic() - self.started, 0.0)
        message = "Cancelled %s from ip=%s after %.1f s: its client has left"
        self._context.peer_log.info(ip, message, self.describe(), ip, age)

    def describe(self) -> str:
        return f"{self.request.method} {self.request.target[:200].decode('latin-1')!r}"

    # -- what the protocol tells ------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        if self._receiving != _OPEN:
            return
        chunks = self._chunks
        if chunks is None:
            self._chunks = [data]
        elif len(data) >= _WHOLE:
            chunks.append(data)
        elif type(chunks[-1]) is bytearray:
            chunks[-1] += data
        else:
            chunks.append(bytearray(data))
        if self._waiters is not None:
            self._wake()

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._receiving == _OPEN:
            self._set_receiving(_COMPLETE)

    def on_disconnect(self, lost: bool) -> None:
        if lost:
            self._peer = _PEER_LOST
        elif self._peer == _PEER_HERE:
            self._peer = _PEER_CUT if self._receiving == _OPEN else _PEER_ENDED
        unanswered = self._sending < _DONE
        self._tell_disconnect()
        if unanswered:
            self._abandon()
            if lost:
                self._set_sending(_LOST)

    def _tell_disconnect(self) -> None:
        if self._receiving == _COMPLETE:
            self._set_receiving(_COMPLETE_THEN_GONE)
        elif self._receiving != _COMPLETE_THEN_GONE:
            self._chunks = None
            self._set_receiving(_GONE)

    def _abandon(self) -> None:
        """Give the application its time to end without a client, where it is not to be finished all the same."""
        context = self._context
        if self._task is None or self._grace is not None:
            return
        if not context.cancels_unsafe and self.request.method not in SAFE_METHODS:
            return
        if context.disconnect_grace_period > 0:
            self._grace = context.loop.call_later(context.disconnect_grace_period, self.cancel)
        elif context.disconnect_grace_period == 0:
            self.cancel()

    def on_fault(self, error: ProtocolError) -> None:
        self._chunks = None
        self._set_receiving(_GONE)
        if self._sending <= _HELD:
            self.refuse(error.status, error.reason, error.headers)
        elif self._sending < _DONE:
            self._answer_failure(error.status)

    def on_writable(self) -> None:
        self._wake()

    def on_timeout(self) -> None:
        ip, most = address_of(self.endpoint), self._context.request_timeout
        message = "Time for the whole request is over (request_timeout=%g): %s from ip=%s"
        self._context.peer_log.warning(ip, message, most, self.describe(), ip)
        if self._sending < _DONE:
            self._answer_failure(504)
        self.cancel()

    def on_drain(self) -> None:
        """A response has an end of its own, as far as one can tell yet."""

    def on_last_call(self) -> None:
        """Let the application end a stream that may have no end. A response that has not begun, or has a known end,
        keeps the time that is left."""
        if self.is_endless():
            self._tell_disconnect()

    def is_endless(self) -> bool:
        response = self.response
        return self._sending == _STREAMING and response is not None and response.content_length < 0

    # -- receive ----------------------------------------------------------------------------------------------------

    def take(self) -> Event | None:
        """Return the content that is there as one http.request event, where the application has not seen all of it."""
        chunks = self._chunks
        before = self._receiving
        if self._sending == _DONE or before == _GONE or (chunks is None and before in (_OPEN, _TAKEN)):
            if self.request.expect_continue and before == _OPEN and self._sending == _IDLE:
                self.request.expect_continue = False
                self.stream.send_informational(100, [])
            return None
        body = b""
        if chunks is not None:
            first = chunks[0]  # bytes, whatever follows
            body = first if len(chunks) == 1 and type(first) is bytes else b"".join(chunks)
            self._chunks = None
        if before == _COMPLETE:
            self._receiving = _TAKEN
        elif before == _COMPLETE_THEN_GONE:
            self._receiving = _GONE
        if body:
            self.stream.consumed(len(body))
        return {"type": "http.request", "body": body, "more_body": before == _OPEN}

    def last_event(self) -> Event | None:
        return {"type": "http.disconnect"} if self._sending == _DONE or self._receiving == _GONE else None

    # -- send -------------------------------------------------------------------------------------------------------

    def send(self, message: Event) -> Coroutine[Any, Any, None]:
        """ASGI ``send``. The event is handled at once; what is awaited is the error, or the client's catching up."""
        before = self._sending
        if before == _LOST:
            return self._failed(ClientDisconnected())
        try:
            self._send(message if type(message) is dict else events.as_dict(message))
        except Exception as error:
            return self._failed(error)
        # After the last event there is nothing left to hold back, and nobody who would end the wait.
        if self._sending < _DONE and self.stream.blocked():
            return self._wait_until_writable(self._file)
        if before == _DONE and not self.ends_at_once():
            return asyncio.sleep(0)
        return _DONE_AWAITABLE

    def _failed(self, error: Exception) -> Coroutine[Any, Any, None]:
        """Fail, after a turn of the loop where the application was told often enough, and goes on."""
        return awaitables.Failed(error) if self.ends_at_once() else awaitables.fail_later(error)

    async def _wait_until_writable(self, file: files.FilePart | None) -> None:
        try:
            while self._sending < _DONE and self.stream.blocked():
                await woken(self)
        except asyncio.CancelledError:
            if self._sending == _FILE:  # nobody can tell any more which part of it is missing
                self._answer_failure(500)
            raise
        if file is not None and file.error is not None:
            raise file.error
        if self._sending == _LOST:
            raise ClientDisconnected

    def _send(self, message: Event) -> None:
        try:
            kind = message["type"]
        except KeyError:
            raise EventError(f"An event has no 'type': {message!r:.100}") from None
        if type(kind) is not str:
            kind = events.kind_of(message)
        if self._sending == _DONE:
            if kind not in events.KNOWN:
                raise EventError(f"Unknown event type {kind!r:.60}")
            return
        if self._sending != _IDLE and kind == "http.response.body":
            self._send_body(message)
        elif kind == "http.response.start":
            self._send_start(message)
        elif kind == "http.response.body":
            self._send_body(message)
        elif kind == "http.response.trailers":
            self._send_trailers(message)
        elif kind == "http.response.early_hint":
            self._send_early_hint(message)
        elif kind in files.EVENTS:
            self._send_file(message, kind)
        else:
            raise EventError(f"Unknown event type {kind!r:.60}")

    def _send_start(self, message: Event) -> None:
        status = message.get("status")
        if type(status) is not int or not 200 <= status <= 999:
            status = events.status_of(message)
        headers = message.get("headers")
        try:
            response = Response.__new__(Response)
            response.take(status, () if headers is None else headers)
        except (TypeError, ValueError) as error:
            raise EventError(f"http.response.start: 'headers': {error}") from error
        if message.get("trailers"):
            response.trailers = True
        # Only now: reading the event may have run code of the application, which may have sent another.
        if self._sending != _IDLE:
            if self._sending == _LOST:
                raise ClientDisconnected
            raise EventError("http.response.start sent twice")
        self.response = response
        self._sending = _HELD

    def _send_body(self, message: Event) -> None:
        data = message.get("body", b"")
        if type(data) is not bytes:
            data = events.as_bytes(data, "http.response.body: 'body'")
        more = bool(message.get("more_body"))
        response = self.response
        if self._sending == _STREAMING:
            if not more and not response.trailers:  # type: ignore[union-attr]  # set with HELD
                self._end_with(data)
            else:
                if data:
                    self.stream.send_data(data, False)
                if not more:
                    self._set_sending(_TRAILERS)
        elif self._sending == _HELD and response is not None:
            self.status = response.status
            if more or response.trailers:
                self._set_sending(_STREAMING if more else _TRAILERS)
                self.stream.send_head(response, data, False)
            else:
                self._set_sending(_DONE)
                try:
                    self.stream.send_head(response, data, True)
                finally:
                    self._observe_here()
        elif self._sending == _IDLE:
            raise EventError("http.response.body sent before http.response.start")
        elif self._sending == _FILE:
            raise EventError("http.response.body sent while a file is being sent: await that first")
        else:
            raise EventError("http.response.body sent after the last one; http.response.trailers was announced")

    def _end_with(self, data: bytes) -> None:
        self._set_sending(_DONE)
        try:
            self.stream.send_data(data, True)
        finally:
            self._observe_here()

    def _send_file(self, message: Event, kind: str) -> None:
        response = self.response
        before = self._sending
        if response is None or before not in (_HELD, _STREAMING):
            raise EventError(f"{kind} sent before http.response.start, while another file is sent, or after the end")
        if before == _STREAMING and kind == "http.response.pathsend":
            raise EventError("http.response.pathsend sent beside other content")
        part = files.part_of(message, kind)
        if self._sending != before:
            part.close()
            raise EventError(f"{kind}: another event was sent while it was read")
        part.begin(self._on_file_end)
        part.last = not part.more and not response.trailers
        try:
            if before == _HELD:
                part.fit(response, self.request.method == "HEAD")
            self._file = part
            self.status = response.status
            self._sending = _FILE
            self.stream.send_file(response if before == _HELD else None, part)
        except Exception:
            part.close()
            if self._sending == _FILE:
                self._sending = before
            raise
        if part.error is not None:
            raise part.error

    def _on_file_end(self) -> None:
        """The file was handed over, or could not be read to its end."""
        part = self._file
        response = self.response
        if part is None or response is None or self._sending != _FILE:
            return
        self._file = None
        if part.error is not None:
            self._answer_failure(500)
        elif part.more:
            self._set_sending(_STREAMING)
        elif response.trailers:
            self._set_sending(_TRAILERS)
        else:
            self._set_sending(_DONE)
            self._observe()

    def _send_trailers(self, message: Event) -> None:
        checked = events.trailers_of(message)
        more = bool(message.get("more_trailers"))
        if self._sending != _TRAILERS:
            raise EventError("http.response.trailers needs 'trailers': True in http.response.start, and all content")
        if self._held_trailers is None:
            self._held_trailers = []
        self._held_trailers.extend(checked)
        if more:
            return
        self._set_sending(_DONE)
        self.stream.send_trailers(self._held_trailers if self.request.accepts_trailers else [])
        self._observe_here()

    def _send_early_hint(self, message: Event) -> None:
        hints = events.hints_of(message)
        if hints and self._sending <= _HELD:  # else the final head is out: too late for a hint, which is only advice
            self.stream.send_informational(103, hints)

    # -- states -----------------------------------------------------------------------------------------------------

    def _set_receiving(self, state: int) -> None:
        self._receiving = state
        if self._waiters is not None:
            self._wake()

    def _set_sending(self, state: int) -> None:
        self._sending = state
        if state >= _DONE:
            if state == _DONE:
                self._chunks = None
            if self._waiters is not None:
                self._wake()


_PLAIN_BODIES = {
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
