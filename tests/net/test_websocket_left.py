"""A WebSocket's peer that leaves while nothing is read from it, on real sockets: no loop would tell."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.net.connection import Connection
from tests.asgi.chat import Hands
from tests.asgi.doubles import settle, until
from tests.net.sockets import HANGS, Served
from tests.support.frames import BINARY, HANDSHAKE, sent
from tests.support.loops import Run

#: More than is read before the application takes something, and then some that the kernel has to keep.
MANY, MORE = sent(BINARY, bytes(1000)) * 120, sent(BINARY, bytes(1000)) * 10
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def leave(client: socket.socket, how: str) -> None:
    if how == "half-close":
        client.shutdown(socket.SHUT_WR)
        return
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


async def opened(served: Served, app: Hands) -> socket.socket:
    client, _ = await served.connect()
    served.reaper.stop()  # time is the test's
    lines = [b"GET / HTTP/1.1", b"host: x", *(b"%b: %b" % field for field in HANDSHAKE)]
    client.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
    await app.accepted()
    await settle()
    assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
    return client


async def fill(client: socket.socket, connection: Connection) -> None:
    """Send until nothing more is read."""
    client.sendall(MANY)
    await until(lambda: not connection.has_unread(), "it is read")
    for _ in range(100):  # under TLS the loop keeps some as well
        client.sendall(MORE)
        await settle(100)
        if connection.has_unread():
            return
    raise AssertionError("it reads on and on")


def pass_time(served: Served, seconds: float) -> None:
    served.reaper.sweep(served.context.clock + seconds)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_peer_that_leaves_while_nothing_is_read_is_noticed(
    run: Run, secure: bool, server_tls: ssl.SSLContext
) -> None:
    async def scenario(how: str) -> None:
        app = Hands()
        settings = WebSocketSettings(compression=False)
        served = Served(app, tls=server_tls if secure else None, websockets=settings)
        client = await opened(served, app)
        (connection,) = served.reaper.connections
        await fill(client, connection)
        for _ in range(100):  # however long the application takes, while the peer is there
            pass_time(served, 3.0)
            await settle(2)
        assert not connection.has_left()
        leave(client, how)
        await until(lambda: pass_time(served, 3.0) or not served.reaper.connections, "its place is free")
        event: dict[str, Any] = await app.receive()
        count = 0
        while event["type"] == "websocket.receive":
            count += 1
            assert event["bytes"] == bytes(1000)
            event = await app.receive()
        assert count >= 64
        assert event["code"] == 1006
        app.returns()
        client.close()
        await served.close()

    for how in ("close", "half-close", "reset"):
        if not (secure and how == "half-close"):
            run(scenario(how))


def test_a_peer_that_leaves_before_it_is_answered_is_noticed(run: Run) -> None:
    """Though it has sent so much behind its handshake that nothing more is read."""

    async def scenario(how: str) -> None:
        app = Hands()
        observed: list[int] = []
        settings = WebSocketSettings(compression=False, close_timeout=0.01)
        served = Served(app, websockets=settings, observer=lambda exchange: observed.append(exchange.status))
        client, connection = await served.connect()
        client.sendall(b"\r\n".join([b"GET / HTTP/1.1", b"host: x", *(b"%b: %b" % field for field in HANDSHAKE)]))
        client.sendall(b"\r\n\r\n")
        await app.connected()
        client.sendall(MANY)
        await settle(100)
        client.sendall(MORE)
        await settle(100)
        assert connection.has_unread()
        assert observed == []
        leave(client, how)
        await wait_for(lambda: observed)
        assert observed == [499]
        assert (await app.receive())["code"] == 1006
        app.returns()
        client.close()
        await served.close()

    for how in ("close", "half-close", "reset"):
        run(scenario(how))


async def wait_for(condition: Callable[[], Any]) -> None:
    """For what takes its time by the clock."""
    deadline = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_a_peer_that_stays_has_all_its_messages_taken(run: Run) -> None:
    async def scenario() -> None:
        app = Hands()
        served = Served(app, websockets=WebSocketSettings(ping_interval=0.0, compression=False))
        client = await opened(served, app)
        (connection,) = served.reaper.connections
        await fill(client, connection)
        for _ in range(120):
            pass_time(served, 3.0)
            assert (await app.receive())["bytes"] == bytes(1000)
        leave(client, "half-close")
        while (event := await app.receive())["type"] == "websocket.receive":
            pass
        assert event["code"] == 1006
        app.returns()
        client.close()
        await served.close()

    run(scenario())
