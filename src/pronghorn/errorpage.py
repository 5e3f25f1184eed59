"""The application in place of one that cannot be read: with ``reload``, the browser shows why until it is mended.

A traceback shows code and paths, so it is for whoever sits at this machine, unless the option says otherwise.
"""

from __future__ import annotations

import html
import ipaddress
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]

_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><pre>{text}</pre>
<p>The worker starts again when the file changes.</p></body></html>
"""


#: Who may be shown the page.
AUDIENCES = ("loopback", "everybody", "nobody")
_PLAIN = b"Internal Server Error\n"
#: Fields by which a proxy says that it speaks for somebody else, of whom the scope need not tell.
_FORWARDING = frozenset((b"forwarded", b"via", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host"))


class ErrorPage:
    """An ASGI application that answers every request with 500: the traceback of ``error``, or a plain text.

    ``audience``: of ``AUDIENCES``, who gets the traceback. "loopback" is a client on this machine that no proxy
    speaks for.
    """

    def __init__(self, error: BaseException, audience: str = "everybody") -> None:
        self._audience = audience
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
            is_shown = self._audience == "everybody" or (self._audience == "loopback" and _is_local(scope))
            body = self._body if is_shown else _PLAIN
            headers = [
                (b"content-type", b"text/html; charset=utf-8" if is_shown else b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def _is_local(scope: _Message) -> bool:
    """Whether the client is known to be on this machine: what is not known, as behind a unix socket, is not."""
    client = scope.get("client")
    if client is None or any(name in _FORWARDING for name, _ in scope["headers"]):
        return False
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
