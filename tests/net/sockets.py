"""A connection between real sockets, on the loop under test: what the fakes only stand for."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any

import trustme

from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.ends import ends_of
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules
from tests.asgi.doubles import RecordingLog, make_context

#: Seconds after which a client gives up; no test comes near it unless something hangs.
HANGS = 20.0


class Served:
    """Serves ``app`` over HTTP/1 on TCP connections that ``connect`` opens. ``attributes`` are the context's."""

    def __init__(
        self, app: Callable[..., Any], *, eager: bool = False, tls: ssl.SSLContext | None = None, **attributes: Any
    ) -> None:
        attributes.setdefault("rules", Rules())
        attributes.setdefault("trusting_rules", attributes["rules"])
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self.context: Context = make_context(app, eager=eager, **attributes)
        self.reaper = Reaper(self._loop, self.context)
        self.turn = Turn(self.context)
        self.reaper.start()

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    async def connect(self, receive_buffer: int = 0) -> tuple[socket.socket, Connection]:
        """Return the socket of a client, which blocks, and the server's end.

        ``receive_buffer``: bytes that the client's kernel takes before the client reads, 0 for what is usual.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.socket()
            client.settimeout(HANGS)
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.connect(listener.getsockname())
            accepted, peer = listener.accept()
        accepted.setblocking(False)
        connection = Connection(self.context, self.reaper, self.turn, Http1)
        connection.ends = ends_of(accepted.family, peer, accepted.getsockname())
        opened = self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls)
        if self._tls is None:
            await opened
            return client, connection
        handshake = self._loop.run_in_executor(None, _handshake, client)
        await opened
        return await handshake, connection

    async def close(self) -> None:
        """End what is left, as a worker does."""
        self.reaper.stop()
        for connection in list(self.reaper.connections):
            connection.abort()
        for task in list(self.context.tasks):
            task.cancel()
        await self.reaper.wait_until_empty()


@functools.cache
def server_tls() -> ssl.SSLContext:
    """Return the context of a server whose certificate nobody checks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def _handshake(client: socket.socket) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(client)


async def read_to_end(client: socket.socket) -> bytes:
    """Read, in a thread, until the server ends its side."""

    def read() -> bytes:
        parts = []
        while data := client.recv(262144):
            parts.append(data)
        return b"".join(parts)

    return await asyncio.get_running_loop().run_in_executor(None, read)
