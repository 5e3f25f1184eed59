"""The workloads: what is asked, of which application, with which client, and which figure to compare.

A table and nothing else; how a client drives a workload is in `clients/`.
"""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = "bench_plain:app"

_ACCEPT = (("Accept", "*/*"),)
_BROWSER = (
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Referer", "https://www.example.com/shop/category/shoes"),
    ("Cookie", "session=4f1a6f0c2b7d4e8a9c3b5d7e9f1a2b3c; theme=dark; consent=all"),
)


@dataclass(frozen=True)
class Workload:
    """`client`: wrk, h2load, or one of our own. `floor`: options for the floor, None where it cannot do this.

    `response` is the size of the body that proves an answer right, None where the probe need not know it.
    `figure` names the value of a result that ratios compare; less is better.
    """

    name: str
    summary: str
    client: str = "wrk"
    app: str = PLAIN
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = _ACCEPT
    body: int = 0
    response: int | None = 13
    pipeline: int = 1
    message: int = 0
    connections: int | None = None
    needs: frozenset[str] = frozenset()
    floor: tuple[str, ...] | None = None
    figure: str = "cpu"


_WORKLOADS = (
    Workload("plaintext", "GET, 13-byte answer", floor=()),
    Workload("json-fastapi", "GET, JSON through FastAPI", app="bench_fastapi:app", path="/json", response=27),
    Workload(
        "json-starlette", "GET, JSON through Starlette", app="bench_starlette:app", path="/json", response=27
    ),
    Workload("browser-get", "GET with a browser's 12 header fields, 600 bytes", headers=_BROWSER, floor=()),
    Workload(
        "post-1k",
        "POST of 1 KiB, read by the application",
        method="POST",
        path="/count",
        body=1024,
        response=4,
        floor=("--body", "1024"),
    ),
    Workload(
        "post-1m",
        "POST of 1 MiB, streamed to the application",
        method="POST",
        path="/count",
        body=1 << 20,
        response=7,
    ),
    Workload("response-10k", "GET, 10 KiB answer", path="/10k", response=10240, floor=("--size", "10240")),
    Workload("response-1m", "GET, 1 MiB answer", path="/1m", response=1 << 20, floor=("--size", "1048576")),
    Workload("stream-100", "GET, answer of 100 chunks of 1 KiB", path="/stream", response=102400),
    Workload("pipeline-16", "GET, 16 requests in one segment", pipeline=16, floor=("--pipeline",)),
    Workload(
        "connection-close",
        "GET, a new connection per request",
        headers=(("Connection", "close"),),
        floor=("--close",),
    ),
    Workload("tls", "GET over TLS 1.3, keep-alive", needs=frozenset({"tls"}), floor=()),
    Workload("unix", "GET over a unix socket", client="closed", needs=frozenset({"unix"}), floor=()),
    Workload("access-log", "GET with the access log to a file", needs=frozenset({"access-log"})),
    Workload(
        "websocket-32",
        "WebSocket echo, 32-byte messages",
        client="closed",
        message=32,
        needs=frozenset({"websocket"}),
    ),
    Workload(
        "websocket-4k",
        "WebSocket echo, 4 KiB messages",
        client="closed",
        message=4096,
        needs=frozenset({"websocket"}),
    ),
    Workload(
        "http2",
        "GET over cleartext HTTP/2, 16 connections of 32 streams",
        client="h2load",
        connections=16,
        needs=frozenset({"http2"}),
    ),
    Workload(
        "tail-70",
        "GET, open loop at 70 % of the server's own saturation",
        client="saturated",
        floor=(),
        figure="p99",
    ),
    Workload("tail-equal", "GET, open loop at the same rate for all", client="paced", floor=(), figure="p99"),
    Workload(
        "memory-idle",
        "memory of idle keep-alive connections",
        client="idle",
        floor=(),
        figure="kib_per_connection",
    ),
    Workload("memory-requests", "memory after many requests", client="counted", floor=(), figure="rss"),
)
WORKLOADS = {workload.name: workload for workload in _WORKLOADS}
