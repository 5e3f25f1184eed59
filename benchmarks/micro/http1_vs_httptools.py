"""Time of parsing a request head: Pronghorn's parser beside httptools (llhttp), with the same result in hand.

    python benchmarks/micro/http1_vs_httptools.py [--repeat 7] [--number 20000] [--json]

Both sides end with what an ASGI scope needs: method, decoded path, raw path, query, version, whether the
connection persists, and a list of lower-case names with their values. For httptools that is the callbacks'
work, written as tightly as Python allows; what its users do besides is not counted. Messages are fed whole,
one after the other, to one parser, as on a kept connection.

Prints microseconds per request, the best of the repeats (noise only ever adds; the two sides alternate),
and the ratio of the two. Below 1 means that Pronghorn's parser takes less time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools

from pronghorn.wire import http1_parser
from pronghorn.wire.http1_rules import Rules

#: 40 bytes, one field.
SMALL = b"GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n"

#: 604 bytes, twelve fields.
BROWSER = (
    b"GET /docs/?page=2 HTTP/1.1\r\n"
    b"Host: www.example.org\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\n"
    b'sec-ch-ua-platform: "Linux"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"
    b" Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"Referer: https://www.example.org/docs/\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en-GB,en;q=0.9\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef012345678; theme=dark; seen=2024; lang=en-GB\r\n"
    b"\r\n"
)

Result = tuple[str, str, bytes, bytes, str, bool, list[tuple[bytes, bytes]]]


def with_pronghorn() -> tuple[Callable[[bytes], None], Callable[[], Result]]:
    """Return a function that parses one request, and one that says what the last one was."""
    parser = http1_parser.Http1Parser(Rules())

    def once(data: bytes) -> None:
        parser.feed(data)
        parser.next()
        parser.next()  # as a connection does: HEAD, then NEED_DATA

    def result() -> Result:
        request = parser.request
        return (
            request.method, request.path, request.raw_path, request.query_string, request.http_version,
            request.keep_alive, request.headers,
        )  # fmt: skip

    return once, result


class _Callbacks:
    """What a server's protocol class does in the callbacks of httptools, and nothing else."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.result: Result

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        parsed = httptools.parse_url(self.url)
        raw_path = parsed.path
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        self.result = (
            parser.get_method().decode("ascii"), path, raw_path, parsed.query or b"",
            parser.get_http_version(), parser.should_keep_alive(), self.headers,
        )  # fmt: skip


def with_httptools() -> tuple[Callable[[bytes], None], Callable[[], Result]]:
    """As ``with_pronghorn``."""
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    return callbacks.parser.feed_data, lambda: callbacks.result


def seconds(once: Callable[[bytes], None], data: bytes, number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        once(data)
    return time.perf_counter() - start


def compare(data: bytes, repeat: int, number: int) -> tuple[float, float]:
    """Return the best microseconds of Pronghorn and of httptools, which must agree on the result."""
    (ours, our_result), (theirs, their_result) = with_pronghorn(), with_httptools()
    ours(data)
    theirs(data)
    assert our_result() == their_result(), (our_result(), their_result())
    times = [(seconds(ours, data, number), seconds(theirs, data, number)) for _ in range(repeat)]
    best = (min(pair[side] for pair in times) / number * 1e6 for side in (0, 1))
    return next(best), next(best)


def main() -> None:
    compiled = not str(http1_parser.__file__).endswith(".py")
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeat", type=int, default=7, help="rounds; the best one counts (default 7)")
    options.add_argument("--number", type=int, default=20000 if compiled else 3000, help="requests a round")
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = options.parse_args()
    results = {
        name: compare(data, arguments.repeat, arguments.number)
        for name, data in {"small": SMALL, "browser": BROWSER}.items()
    }
    build = "compiled" if compiled else "not compiled"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if arguments.json:
        table = {
            name: {"pronghorn_us": ours, "httptools_us": theirs, "ratio": ours / theirs}
            for name, (ours, theirs) in results.items()
        }
        json.dump({"build": build, "python": python, "requests": table}, sys.stdout, indent=2)
        print()
        return
    how = f"best of {arguments.repeat} × {arguments.number}"
    print(f"{python}, {build}; httptools {httptools.__version__}; {how}")
    print(f"{'request':24}{'pronghorn':>12}{'httptools':>12}{'ratio':>8}")
    for name, (ours, theirs) in results.items():
        size = len({"small": SMALL, "browser": BROWSER}[name])
        print(f"{f'{name}, {size} bytes':24}{ours:>9.3f} µs{theirs:>9.3f} µs{ours / theirs:>8.2f}")


if __name__ == "__main__":
    main()
