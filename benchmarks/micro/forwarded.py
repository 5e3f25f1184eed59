"""What a request costs more because its peer is a trusted proxy: a browser's request, and what nginx makes of it.

    python benchmarks/micro/forwarded.py [--repeat 200] [--number 300]

Prints microseconds per request from bytes to response, as request.py does, the best of the repeats: from a peer that is
not trusted, and from one that is, with and without forwarding fields. Needs eager tasks (Python 3.12).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
from collections.abc import Callable

import uvloop
from request import BROWSER, FakeTransport, app, best

import pronghorn
from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.proxies import PARTS, ForwardedPolicy, TrustList
from pronghorn.wire.http1_rules import Rules

NGINX = (b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https")
FORWARDED = (b"Forwarded: for=203.0.113.9;proto=https;host=example.com",)
ALL = (*NGINX, b"X-Forwarded-Host: example.com", b"X-Forwarded-Port: 443", b"X-Forwarded-Prefix: /app")
CHAIN = (b"X-Forwarded-For: 203.0.113.9, 127.0.0.1, 127.0.0.1, 127.0.0.1", b"X-Forwarded-Proto: https")

#: Name, fields that the proxy adds, family, parts.
CASES = (
    ("no field of the kind", (), "x-forwarded", PARTS[:2]),
    ("X-Forwarded-For, -Proto", NGINX, "x-forwarded", PARTS[:2]),
    ("... through four proxies", CHAIN, "x-forwarded", PARTS[:2]),
    ("... -Host, -Port, -Prefix", ALL, "x-forwarded", PARTS),
    ("Forwarded", FORWARDED, "forwarded", PARTS[:3]),
)


def serve(
    loop: asyncio.AbstractEventLoop, fields: tuple[bytes, ...], policy: ForwardedPolicy | None
) -> Callable[[], None]:
    context = Context(app, loop, logging.getLogger())
    context.rules = context.trusting_rules = Rules()
    context.set_defaults(b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", b"server: pronghorn\r\n")
    context.start_eagerly(True)
    if policy is not None:
        context.is_trusted = TrustList(["127.0.0.1"]).trusts
        context.forwarded = policy
    connection = Connection(context, Reaper(loop, context), Turn(context), Http1)
    connection.connection_made(FakeTransport())
    data = BROWSER[:-2] + b"".join(field + b"\r\n" for field in fields) + b"\r\n"

    def once() -> None:
        connection.data_received(data)

    return once


async def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    options.add_argument("--repeat", type=int, default=200)
    options.add_argument("--number", type=int, default=300)
    arguments = options.parse_args()
    build = "compiled" if pronghorn.compiled else "not compiled"
    print(f"pronghorn {pronghorn.__version__} ({build}), Python {platform.python_version()}")
    loop = asyncio.get_running_loop()
    for name, fields, family, parts in CASES:
        policy = ForwardedPolicy(TrustList(["127.0.0.1"]), family=family, parts=parts)
        plain = best(serve(loop, fields, None), arguments.repeat, arguments.number)
        trusted = best(serve(loop, fields, policy), arguments.repeat, arguments.number)
        print(f"{name:26} not trusted {plain:6.2f} us   trusted {trusted:6.2f} us   {trusted - plain:+5.2f}")


if __name__ == "__main__":
    uvloop.run(main())
