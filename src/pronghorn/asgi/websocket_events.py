"""What applications send over a WebSocket and raise, brought into the one form that the exchange works with.

Knows types only: whether an event is allowed where it comes is the exchange's to say.
"""

from __future__ import annotations

from typing import Any

from pronghorn.asgi.errors import EventError
from pronghorn.wire import ws_writer
from pronghorn.wire.response import Response


def as_str(text: object) -> str:
    """Text of a subclass, which templates return to mark it as safe, as plain text."""
    if isinstance(text, str):
        return str.__str__(text)
    raise EventError(f"websocket.send: 'text' must be str, not {type(text).__name__}")


def close_of(message: dict[str, Any]) -> tuple[int, str]:
    """Code and reason of websocket.close, which a close frame can carry."""
    code = message.get("code")
    if code is None:
        code = 1000
    reason = message.get("reason") or ""
    try:
        ws_writer.close(code, reason)
    except (TypeError, ValueError, AttributeError) as error:
        raise EventError(f"websocket.close: {error}") from error
    return code, reason


def denial_of(message: dict[str, Any]) -> Response:
    """The head that websocket.http.response.start describes."""
    status = message.get("status")
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise EventError(f"{message['type']}: 'status' must be an int from 200 to 999, not {status!r:.40}")
    try:
        return Response(status, message.get("headers") or ())
    except (TypeError, ValueError) as error:
        raise EventError(f"{message['type']}: 'headers': {error}") from error


def tells_disconnect(error: BaseException) -> bool:
    """Whether ``error`` is how a framework hands on websocket.disconnect: Starlette's and Litestar's name for it."""
    return type(error).__name__ == "WebSocketDisconnect"
