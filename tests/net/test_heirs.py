"""``net/closing``: a connection ends for its peer although a forked child of the worker still has the socket.

``close`` alone leaves the peer waiting until the child ends as well. Children of ``multiprocessing`` inherit every open
socket, and may live for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType

import pytest

from pronghorn.net.connection import Connection
from tests.asgi.apps import Receive, Scope, Send, body, reply, start
from tests.asgi.doubles import EAGER_POSSIBLE, until
from tests.net.sockets import Served, server_tls
from tests.net.support import GET, post
from tests.support.loops import Run


class Heir:
    """A forked child that keeps what it has inherited until the end of the ``with``."""

    def __enter__(self) -> Heir:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not touch
            self._pid = os.fork()
        if self._pid == 0:
            signal.alarm(60)  # whatever becomes of the test
            while True:
                signal.pause()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/breaks":
        await send(start())
        await send(body(b"a part", True))
        raise RuntimeError("a part is missing")
    if scope["path"] == "/endless":
        await send(start())
        while True:
            await send(body(b"x" * 50_000, True))
    if scope["path"] == "/waits":
        while (await receive())["type"] != "http.disconnect":
            pass
    await reply(send)


Then = Callable[[Served, Connection, socket.socket], Awaitable[None]]


async def nothing(served: Served, connection: Connection, client: socket.socket) -> None:
    """The server ends by itself."""


async def client_ends(served: Served, connection: Connection, client: socket.socket) -> None:
    if isinstance(client, ssl.SSLSocket):
        # Who ends without a close_notify is cut off by uvloop, which closes the socket before it says so.
        await asyncio.get_running_loop().run_in_executor(None, end_tls, client)
    else:
        client.shutdown(socket.SHUT_WR)


async def drain(served: Served, connection: Connection, client: socket.socket) -> None:
    served.context.draining = True
    served.reaper.hurry()
    connection.drain()


async def terminate(served: Served, connection: Connection, client: socket.socket) -> None:
    served.context.draining = True
    connection.terminate()


async def give_up(served: Served, connection: Connection, client: socket.socket) -> None:
    await until(lambda: not connection.writable, "the buffer is full", 1_000_000)
    for _ in range(3):
        served.reaper.sweep(served.context.clock + 100)


#: How it comes to the end: what the client sends, and what happens then.
WAYS: dict[str, tuple[bytes, Then]] = {
    "close": (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", nothing),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", nothing),
    "linger": (post(b"only a part", declared=1_000_000), nothing),
    "a bad request": (b"GET / HTTP/9\r\n\r\n", nothing),
    "an incomplete head": (b"GET / HTTP/1.1\r\n", nothing),
    "an idle connection": (GET % b"/", nothing),
    "a silent connection": (b"", nothing),
    "a response that breaks off": (GET % b"/breaks", nothing),
    "the client ends": (GET % b"/", client_ends),
    "the client ends while it waits": (GET % b"/waits", client_ends),
    "drain": (GET % b"/", drain),
    "drain of one under way": (GET % b"/waits", drain),
    "the end of draining": (b"", terminate),
    "the end of draining of one under way": (GET % b"/waits", terminate),
    "a peer that does not read": (GET % b"/endless", give_up),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_forked_child_does_not_keep_the_peer_waiting(run: Run, secure: bool) -> None:
    def served_for(way: str) -> Served:
        times = {"header_timeout": 0.3, "keepalive": 0.3, "disconnect_grace_period": 0.0}
        return Served(app, eager=EAGER_POSSIBLE, tls=server_tls() if secure else None, **times)

    async def end(way: str, served: Served, client: socket.socket, connection: Connection) -> str:
        data, then = WAYS[way]
        if data:
            client.sendall(data)
            await asyncio.sleep(0.05)  # nothing is asserted of it: the other order is right as well
        await then(served, connection, client)
        if way == "drain of one under way":
            served.context.loop.call_later(0.1, connection.terminate)
        reading = asyncio.get_running_loop().run_in_executor(None, read_to_fin, client)
        await asyncio.wait([reading])
        await served.close()
        return f"{way}: {reading.exception()!r}" if reading.exception() else ""

    async def scenario() -> None:
        opened = []
        for way in WAYS:
            served = served_for(way)
            opened.append((way, served, *await served.connect(receive_buffer=65536)))
        with Heir():
            kept = await asyncio.gather(*(end(*one) for one in opened))
        assert [one for one in kept if one] == []

    run(scenario())


def end_tls(client: ssl.SSLSocket) -> None:
    """Say the end of TLS, after what there is to be read, for it cannot be read behind that."""
    client.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        client.recv(65536)
    client.settimeout(6.0)
    with contextlib.suppress(ssl.SSLError):  # of what is read instead of the answer
        client.unwrap()


def read_to_fin(client: socket.socket) -> None:
    """Read until the peer's side has ended, on the wire; TLS tells of that before."""
    client.settimeout(6.0)
    try:
        while client.recv(262144):
            pass
        with socket.socket(fileno=client.detach()) as raw:
            raw.settimeout(6.0)
            while raw.recv(262144):
                pass
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
        if isinstance(error, ssl.SSLError) and "timed out" in str(error):
            raise
    finally:
        client.close()
