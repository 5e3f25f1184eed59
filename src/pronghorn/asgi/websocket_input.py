"""What a WebSocket's peer sends: from bytes to events that wait for the application.

Owns the parser, what was not taken from it, how many frames are taken in one round of the loop, and the unpacking of
messages once they are asked for. What a ping, a close frame or a fault leads to is the exchange's to say.
"""

from __future__ import annotations

from enum import IntEnum

from pronghorn.asgi.context import Context
from pronghorn.asgi.inbox import Inbox
from pronghorn.asgi.scope import address_of
from pronghorn.wire import ws_frames
from pronghorn.wire.request import Request
from pronghorn.wire.ws_frames import FrameParser
from pronghorn.wire.ws_messages import Unpacker
from pronghorn.wire.ws_vocabulary import CloseCode, FrameError


class State(IntEnum):
    """How far the WebSocket is (the names of RFC 6455); drawn in ``websocket.pxd``."""

    CONNECTING = 0
    DENYING = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


_CLOSING = int(State.CLOSING)

_NEED_DATA = int(ws_frames.Event.NEED_DATA)
_MESSAGE = int(ws_frames.Event.MESSAGE)
_PING = int(ws_frames.Event.PING)
_PONG = int(ws_frames.Event.PONG)
_CLOSE = int(ws_frames.Event.CLOSE)

#: Frames of one peer that are taken in one round of the loop, and what one of them costs of a round's budget.
MOST_FRAMES = 64
FRAME_COST = 512
#: Pings of one peer that are each answered in one round; of those beyond, the last is (RFC 6455 section 5.5.3).
MOST_PONGS = 16
_MOST_FRAMES, _FRAME_COST, _MOST_PONGS = MOST_FRAMES, FRAME_COST, MOST_PONGS
#: Up to this length, what a text takes is counted as if it were ASCII: the difference is small.
_SHORT = 256


class WebSocketInput(Inbox):
    """The receiving half of ``WebSocketExchange``."""

    __slots__ = (
        "_heard",
        "_held",
        "_message_by",
        "_parser",
        "_peer_ended",
        "_stalled",
        "_state",
        "_unpacker",
        "close_code",
    )

    def __init__(self, context: Context, request: Request, most_queued: int) -> None:
        super().__init__(context, request, most_queued)
        self._state = 0
        self.close_code = 0
        self._parser: FrameParser | None = None
        self._unpacker: Unpacker | None = None
        self._held = 0
        self._heard = False
        self._message_by = 0.0
        self._stalled = False
        self._peer_ended = False

    @property
    def state(self) -> State:
        return State(self._state)

    def on_data(self, data: bytes) -> None:
        self._heard = True
        self._taken_before = self._taken
        parser = self._parser
        if parser is None:
            self.stream.consumed(len(data))  # behind the end
            return
        self._held += len(data)
        parser.feed(data)
        if not self._awaits_round:
            self._read_frames()

    def make_room(self) -> None:
        if self._held and not self._awaits_round:
            self._read_frames()

    def on_round(self) -> None:
        self._awaits_round = False
        self._taken_before = self._taken
        if self._held:
            self._read_frames()
        self._wake()

    def _read_frames(self) -> None:
        """Take frames from the parser while the application, and this round of the loop, keep up with them."""
        parser = self._parser
        if parser is None:
            return
        try:
            if not self._take_frames(parser):
                return  # the rest waits, and with it the peer
        except FrameError as error:
            self._refuse_frame(error)
        self._consume()
        if self._stalled or self._peer_ended or parser.is_under_way():
            self._on_all_read(parser)

    def _take_frames(self, parser: FrameParser) -> bool:
        """Take some frames; return whether those were all."""
        frames = pings = 0
        last_ping = None
        is_all = False
        # Once we have sent our close frame the peer's is all that is wanted, whatever the application does.
        while frames < _MOST_FRAMES and (self._state == _CLOSING or not self._is_full()):
            frames += 1
            event = parser.next()
            if event == _MESSAGE:
                self._take_message(parser)
            elif event == _NEED_DATA:
                is_all = True
                break
            elif event == _PING:
                pings += 1
                if pings <= _MOST_PONGS:
                    self._answer_ping(parser.data)
                else:
                    last_ping = parser.data
            elif event == _PONG:
                self._take_pong(parser.data)
            elif event == _CLOSE:
                self._take_close(parser.close_code, parser.close_reason)
        if last_ping is not None:
            self._answer_ping(last_ping)
        if is_all:
            return True
        self._context.round.left -= frames * _FRAME_COST
        if self._state == _CLOSING or not self._is_full():
            self._await_round()
        elif not self._stalled and self._held > self._context.high_water:
            self._stalled = True
            self._on_stalled()
        return False

    def _consume(self) -> None:
        held = self._held
        self._held = 0
        self.stream.consumed(held)

    def _take_message(self, parser: FrameParser) -> None:
        self._message_by = 0.0
        if self._state == _CLOSING:
            return
        if parser.payload is not None:
            payload = parser.payload
            self._put((payload, parser.is_text, parser.is_deflated), len(payload))
        elif parser.is_text:
            text = parser.text
            size = len(text)
            if size > _SHORT and not text.isascii():
                size *= 4
            self._put({"type": "websocket.receive", "text": text}, size)
        else:
            data = parser.data
            self._put({"type": "websocket.receive", "bytes": data}, len(data))

    def unpack(self, budget: int) -> bool:
        unpacker = self._unpacker
        assert unpacker is not None
        try:
            if not unpacker.is_busy:
                payload, is_text, is_deflated = self._queue[0]
                unpacker.begin(payload, is_text, is_deflated)
            self._context.round.left -= unpacker.go_on(budget)
        except FrameError as error:
            self._drop_queue()
            self._is_answering = False
            self._refuse_frame(error)
            self._consume()
            return False
        if unpacker.is_busy:
            return False
        if unpacker.text is not None:
            self._queue[0] = {"type": "websocket.receive", "text": unpacker.text}
        else:
            self._queue[0] = {"type": "websocket.receive", "bytes": unpacker.data}
        unpacker.release()
        return True

    def _put_disconnect(self, code: int, reason: str) -> None:
        if self._last is None:
            if not self.close_code:
                self.close_code = int(code)
            self._put_last({"type": "websocket.disconnect", "code": int(code), "reason": reason})

    def _stop_timer(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _limit_backlog(self) -> None:
        """The connection is gone. The application may take what came before, as long as it does take something."""
        self._stop_timer()
        timeout = self._context.websockets.backlog_timeout
        if timeout and self._task is not None and (self._queue or self._held):
            self._grace = self._context.loop.call_later(timeout, self._judge_backlog, self._taken)

    def _judge_backlog(self, taken: int) -> None:
        self._grace = None
        if self._taken != taken:
            self._limit_backlog()
        elif self._queue or self._held:
            ip = address_of(self.endpoint)
            self._context.peer_log.info(ip, "%s from ip=%s: messages that nobody took are dropped", self.describe(), ip)
            self._drop_queue()
            self._parser = None
            self._held = 0
            self.on_asked()
            self._put_disconnect(CloseCode.ABNORMAL, "")

    # -- for the exchange to say ------------------------------------------------------------------------------------

    def _answer_ping(self, data: bytes) -> None:
        raise NotImplementedError

    def _take_pong(self, data: bytes) -> None:
        raise NotImplementedError

    def _take_close(self, code: int, reason: str) -> None:
        raise NotImplementedError

    def _refuse_frame(self, error: FrameError) -> None:
        """The peer broke the protocol, or a limit; ``_parser`` is None after this."""
        raise NotImplementedError

    def _on_all_read(self, parser: FrameParser) -> None:
        """All that came is parsed, where a message is under way, the peer has ended or reading had stopped."""
        raise NotImplementedError

    def _on_stalled(self) -> None:
        """So much waits for the application that nothing more is read."""
        raise NotImplementedError
