"""The application under attack: a greeting at ``/``, 100 MB in parts of 64 KiB at ``/stream``."""

from __future__ import annotations

from typing import Any

SIZE = 100 * 1000 * 1000
PART = 65536


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    size = SIZE if scope["path"] == "/stream" else 13
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if size == 13:
        await send({"type": "http.response.body", "body": b"Hello, world!"})
        return
    while size:
        part = bytes(min(size, PART))  # each its own object: what the server holds back is seen
        size -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": size > 0})
