"""The application in place of one that cannot be read: with ``reload``, the browser shows why until it is mended."""

from __future__ import annotations

import html
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]

_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><pre>{text}</pre>
<p>The worker starts again when the file changes.</p></body></html>
"""


class ErrorPage:
    """An ASGI application that answers every request with 500 and the traceback of ``error``."""

    def __init__(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        title = html.escape(f"{type(error).__name__}: {error}")
        self._body = _PAGE.format(title=title, text=html.escape(text)).encode("utf-8", "backslashreplace")

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":  # supported, so that lifespan "on" has nothing to refuse
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            headers = [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-length", b"%d" % len(self._body)),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": self._body})
