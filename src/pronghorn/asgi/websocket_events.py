"""What applications send over a WebSocket and raise, brought into the one form that the exchange works with.

Knows types only: whether an event is allowed where it comes is the exchange's to say.
"""

from __future__ import annotations

from typing import Any

from pronghorn.asgi.errors import EventError
from pronghorn.asgi.events import status_of
from pronghorn.wire import ws_writer
from pronghorn.wire.plain import plain_int, plain_str
from pronghorn.wire.response import Response


def as_str(text: object) -> str:
    """Text of a subclass, which templates return to mark it as safe, as plain text."""
    try:
        return plain_str(text)
    except TypeError:
        raise EventError(f"websocket.send: 'text' must be str, not {type(text).__name__}") from None


def close_of(message: dict[str, Any]) -> tuple[int, str]:
    """Code and reason of websocket.close, which a close frame can carry."""
    code = message.get("code")
    reason = message.get("reason")
    try:
        code = 1000 if code is None else plain_int(code)
        reason = "" if reason is None else plain_str(reason)
        ws_writer.close(code, reason)
    except (TypeError, ValueError, AttributeError) as error:
        raise EventError(f"websocket.close: {error}") from error
    return code, reason


def denial_of(message: dict[str, Any]) -> Response:
    """The head that websocket.http.response.start describes."""
    status = status_of(message)
    try:
        return Response(status, message.get("headers") or ())
    except (TypeError, ValueError) as error:
        raise EventError(f"{message['type']}: 'headers': {error}") from error


def tells_disconnect(error: BaseException) -> bool:
    """Whether ``error`` is how a framework hands on websocket.disconnect: Starlette's and Litestar's name for it."""
    return type(error).__name__ == "WebSocketDisconnect"
