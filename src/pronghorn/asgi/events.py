"""What the events of an application may hold (ASGI HTTP 2.5): checks that are off the hot path.

Each raises EventError, which names the event and the key. ``as_dict`` and ``as_bytes`` serve WebSockets too.
"""

from __future__ import annotations

from typing import Any

from pronghorn.asgi import files
from pronghorn.asgi.errors import EventError
from pronghorn.wire.plain import plain_bytes, plain_int, plain_str
from pronghorn.wire.response import Response

Event = dict[str, Any]
Fields = list[tuple[bytes, bytes]]

#: What an application may send in answer to a request, whether or not it has an effect at that moment.
KNOWN = files.EVENTS | {
    "http.response.start",
    "http.response.body",
    "http.response.trailers",
    "http.response.early_hint",
}


def as_dict(message: Any) -> Event:
    """An event that came as another kind of mapping."""
    try:
        return dict(message)
    except (TypeError, ValueError):
        raise EventError(f"An event must be a dict, not {message!r:.100}") from None


def as_bytes(data: object, name: str) -> bytes:
    """Content that is not bytes already; ``name`` says of which event and key."""
    kind = type(data)
    if issubclass(kind, bytes):
        return plain_bytes(data)
    if issubclass(kind, (bytearray, memoryview)):
        return memoryview(data).tobytes()  # type: ignore[arg-type]
    raise EventError(f"{name} must be bytes, not {type(data).__name__}")


def kind_of(message: Event) -> str:
    """The type of an event, where it is no plain str."""
    kind = message["type"]
    try:
        return plain_str(kind)
    except TypeError:
        raise EventError(f"Unknown event type {kind!r:.60}") from None


def status_of(message: Event) -> int:
    """The status of http.response.start or websocket.http.response.start."""
    status = message.get("status")
    plain = plain_int(status) if issubclass(type(status), int) else 0
    if not 200 <= plain <= 999:
        raise EventError(f"{message['type']}: 'status' must be an int from 200 to 999, not {status!r:.40}")
    return plain


def trailers_of(message: Event) -> Fields:
    """The fields of http.response.trailers."""
    try:
        return Response(200, message.get("headers", ())).headers
    except (TypeError, ValueError) as error:
        raise EventError(f"http.response.trailers: 'headers': {error}") from error


def hints_of(message: Event) -> Fields:
    """The fields of http.response.early_hint."""
    try:
        return Response(200, [(b"link", link) for link in message.get("links", ())]).headers
    except (TypeError, ValueError) as error:
        raise EventError(f"http.response.early_hint: 'links': {error}") from error
