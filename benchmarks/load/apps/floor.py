"""The floor: a uvloop protocol that answers every `data_received` with a canned response.

Two system calls and nothing between them: no parsing, no application. No server on this event loop can cost
less per request, so a ratio to it says how much a server adds. It is not a server: it is right only for a
client that sends each request in one segment and (with --pipeline) nothing but bare heads.

With --asgi it also calls an application, in a task of its own with a scope of its own, and answers the canned bytes
when the application has sent its last event: what the Python of an ASGI server cannot undercut.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import ssl
import sys
from typing import Any, cast

import uvloop


class Floor(asyncio.Protocol):
    response = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.response)


class PipelinedFloor(Floor):
    """As many responses as the segment has ends of heads, in one write."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.response * data.count(b"\r\n\r\n"))


class ClosingFloor(Floor):
    def data_received(self, data: bytes) -> None:
        self.transport.write(self.response)
        self.transport.close()


SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "client": None,
    "server": None,
}


class AsgiFloor(Floor):
    """Calls ``app`` for every segment. It checks nothing, and there is nothing to receive."""

    app: Any = None
    options: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.options = {"loop": asyncio.get_running_loop()}
        if sys.version_info >= (3, 12):
            self.options["eager_start"] = True

    def data_received(self, data: bytes) -> None:
        asyncio.Task(self.app(SCOPE.copy(), self.receive, self.send), **self.options)

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "http.response.body":
            self.transport.write(self.response)


def canned(body: bytes, closing: bool) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\nserver: floor\r\n"
        f"content-type: text/plain\r\ncontent-length: {len(body)}\r\n"
    )
    if closing:
        head += "connection: close\r\n"
    return head.encode() + b"\r\n" + body


async def serve(arguments: argparse.Namespace) -> None:
    protocol = PipelinedFloor if arguments.pipeline else ClosingFloor if arguments.close else Floor
    if arguments.asgi:
        protocol = AsgiFloor
        module, _, name = arguments.asgi.partition(":")
        AsgiFloor.app = staticmethod(getattr(importlib.import_module(module), name))
    body = b"x" * arguments.size if arguments.size else arguments.body.encode()
    protocol.response = canned(body, arguments.close)
    context = None
    if arguments.certfile:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certfile, arguments.keyfile)
    loop = asyncio.get_running_loop()
    if arguments.unix:
        server = await loop.create_unix_server(protocol, arguments.unix, ssl=context)
    else:
        server = await loop.create_server(protocol, "127.0.0.1", arguments.port, ssl=context, backlog=4096)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--unix")
    parser.add_argument("--body", default="Hello, world!", help="the response body")
    parser.add_argument("--size", type=int, help="bytes of the response body, instead of --body")
    parser.add_argument("--pipeline", action="store_true")
    parser.add_argument("--close", action="store_true")
    parser.add_argument("--asgi", metavar="MODULE:NAME", help="call this application for each request")
    parser.add_argument("--certfile")
    parser.add_argument("--keyfile")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
