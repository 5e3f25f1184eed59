"""Time of logging one finished exchange: Gunicorn's Logger called for each, beside the compiled format and its batches.

    python benchmarks/micro/accesslog.py [--repeat 7] [--number 20000]

Prints microseconds per request, the best of the repeats (noise only ever adds). ``batch`` is how many requests one loop
iteration answers: a busy server has about as many as there are busy connections. The file is a real one, in TMPDIR.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.config import AccessLogFormat, Config
from gunicorn.glogging import Logger
from timing import arguments, best

from pronghorn.accesslog import AccessLog
from pronghorn.asgi.context import Context
from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.scope import endpoint_for
from pronghorn.asgi.stream import RecordingStream
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules

REQUEST = (
    b"GET /some/path?first=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: probe/1\r\n"
    b"Referer: http://a/\r\nAccept: */*\r\n\r\n"
)
FORMATS = {
    "default": AccessLogFormat.default,
    "times": '%(h)s %(t)s "%(r)s" %(s)s %(b)s %(L)s %(D)s',
    "fields": "%({x-request-id}i)s %({content-type}o)s %({http_host}e)s %(r)s %(s)s",
}


class Subclass(Logger):
    """A logger of a site's own: it gets the ordinary call."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        super().access(resp, req, environ, request_time)


def finished_exchange() -> HttpExchange:
    loop = asyncio.new_event_loop()
    context = Context(lambda *_: None, loop, logging.getLogger())
    parser = Http1Parser(Rules())
    parser.feed(REQUEST)
    parser.next()
    endpoint = endpoint_for(context, ("127.0.0.1", 50000), ("127.0.0.1", 8000), "http")
    exchange = HttpExchange(context, RecordingStream(), parser.request, endpoint)
    exchange.refuse(404)
    loop.close()
    return exchange


def batches(log: AccessLog, exchange: HttpExchange, size: int) -> Callable[[], None]:
    def once() -> None:
        for _ in range(size):
            log.log(exchange)
        log.flush()

    return once


def main() -> None:
    options = arguments(__doc__, 7, 20000)
    exchange = finished_exchange()
    with tempfile.TemporaryDirectory() as directory:
        for name, text in FORMATS.items():
            cfg = Config()
            cfg.set("accesslog", str(Path(directory) / "access.log"))
            cfg.set("access_log_format", text)
            row = []
            for kind, size in ((Subclass, 1), (Logger, 1), (Logger, 8), (Logger, 64)):
                log = AccessLog(kind(cfg), cfg, lambda callback: None)
                number = max(1, options.number // size // (10 if kind is Subclass else 1))
                row.append(best(batches(log, exchange, size), options.repeat, number) / size)
            print(
                f"{name:8} ordinary call {row[0]:6.2f} us   compiled format, batch of 1 {row[1]:6.2f}, "
                f"of 8 {row[2]:5.2f}, of 64 {row[3]:5.2f}"
            )


if __name__ == "__main__":
    main()
