"""The file of ``FILE``, from a bare application and from Starlette."""

from __future__ import annotations

import os
from typing import Any

from starlette.responses import FileResponse

FILE = os.environ["FILE"]
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % os.path.getsize(FILE))]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.pathsend", "path": FILE})


async def starlette(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await FileResponse(FILE)(scope, receive, send)
