"""Fields that a site wants on every response, without changing the application: plain ASGI around it.

Installed only where there are such fields, so that other sites do not pay. Responses that the server makes in the
application's place (400, 500) go without them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pronghorn.wire.response import check_field

Fields = tuple[tuple[bytes, bytes], ...]

#: Fields that each response has to have for itself, or that speak of the connection.
_NOT_COMMON = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"upgrade"))
_HEADS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))


def parse_fields(text: str) -> Fields:
    """Return the fields in ``text``, one ``Name: value`` a line. Raises ValueError."""
    fields = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("use lines of 'Name: value'")
        try:
            pair = (name.lower().encode("latin-1"), value.strip().encode("latin-1"))
        except UnicodeEncodeError:
            raise ValueError("use characters of Latin-1") from None
        check_field(*pair)
        if pair[0] in _NOT_COMMON:
            raise ValueError(f"no two responses have the same {name}")
        fields.append(pair)
    return tuple(fields)


class DefaultHeaders:
    """Adds ``fields`` to each response of ``app`` that has none of that name, WebSocket handshakes included."""

    def __init__(self, app: Callable[..., Awaitable[None]], fields: Fields) -> None:
        self._app = app
        self._fields = fields

    def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Any]) -> Awaitable[None]:
        def send_with_fields(message: Any) -> Any:
            if isinstance(message, dict) and message.get("type") in _HEADS:
                message = self._completed(message)
            return send(message)

        return self._app(scope, receive, send_with_fields)

    def _completed(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            headers = list(message.get("headers") or ())
            names = {name.lower() for name, _ in headers}
        except (AttributeError, TypeError, ValueError):
            return message  # send() says what is wrong with it
        missing = [pair for pair in self._fields if pair[0] not in names]
        return {**message, "headers": headers + missing}
