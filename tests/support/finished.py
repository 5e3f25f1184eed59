"""Finished exchanges for the tests of what is logged of them: real requests and endpoints around no connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pronghorn.asgi.scope import Endpoint
from pronghorn.asgi.stream import RecordingStream
from pronghorn.wire.http1_target import decoded
from pronghorn.wire.request import Request
from pronghorn.wire.response import Response


def make_request(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]] | None = None, http_version: str = "1.1"
) -> Request:
    request = Request()
    request.method = method
    request.target = target
    request.raw_path, _, request.query_string = target.partition(b"?")
    request.path = decoded(request.raw_path)
    request.http_version = http_version
    request.headers = headers or []
    request.keep_alive = True
    return request


def make_endpoint(
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    server: tuple[str, int | None] | None = ("127.0.0.1", 8000),
    scheme: str = "http",
    root_path: str = "",
) -> Endpoint:
    return Endpoint(client, scheme, {"scheme": scheme, "server": server, "root_path": root_path}, False)


@dataclass
class FinishedExchange:
    """What an exchange shows to its observer."""

    request: Request
    endpoint: Endpoint
    response: Response | None = None
    status: int = 200
    sent: int = 0
    started: float = 100.0
    elapsed: float = 1.5
    scope: dict[str, Any] | None = None
    logged: Any = None
    stream: RecordingStream = field(default_factory=RecordingStream)

    def __post_init__(self) -> None:
        self.stream.sent = self.sent
