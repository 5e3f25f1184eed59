"""Applications, and the events that they send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def read_all(receive: Receive) -> bytes:
    """Take the whole content of the request."""
    parts = []
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)


async def reply(send: Send, body: bytes = b"ok", status: int = 200, headers: Sequence[Any] = ()) -> None:
    """Send a small response."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """The smallest application."""
    await reply(send, b"hello", headers=[(b"content-type", b"text/plain"), (b"content-length", b"5")])


def sends(*events: Any) -> App:
    """An application that sends ``events`` and returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)

    return app


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Event:
    return {"type": "http.response.start", "status": status, "headers": [*headers]} | more


def body(data: bytes = b"", more: bool = False) -> Event:
    return {"type": "http.response.body", "body": data, "more_body": more}
