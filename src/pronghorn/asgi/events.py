"""What the events of an application may hold (ASGI HTTP 2.5): checks that are off the hot path.

Each raises EventError, which names the event and the key. ``as_dict`` and ``as_bytes`` serve WebSockets too.
"""

from __future__ import annotations

from typing import Any

from pronghorn.asgi import files
from pronghorn.asgi.errors import EventError
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
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise EventError(f"{name} must be bytes, not {type(data).__name__}")


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
