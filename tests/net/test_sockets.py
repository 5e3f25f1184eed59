"""``net/`` on real sockets and both loops: flow control, whatever the loop's transports do by themselves."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.doubles import EAGER_POSSIBLE, settle, until
from tests.net.sockets import Served, server_tls
from tests.net.support import GET
from tests.support.loops import Run
from tests.support.memory import Held

#: Of one part: more than the loop's high-water mark.
PART = b"x" * 100_000
#: Bytes allocated for a connection whose peer does not read: four times the high-water mark.
MOST_HELD = 256 * 1024


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_peer_that_does_not_read_is_waited_for(run: Run, secure: bool) -> None:
    """What an application streams is held back in it, not in the worker."""

    async def scenario() -> None:
        sent = [0]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            while True:
                await send(body(PART, True))
                sent[0] += len(PART)

        served = Served(app, eager=EAGER_POSSIBLE, tls=server_tls() if secure else None)
        client, connection = await served.connect(receive_buffer=65536)
        client.send(GET % b"/")
        await until(lambda: sent[0], "the first part")
        before = -1
        while before != sent[0]:  # until the kernel takes no more
            before = sent[0]
            await settle(1000)
            assert connection.unsent() < 1024 * 1024
        assert not connection.writable
        client.close()
        await served.close()

    run(scenario())


def test_small_parts_for_a_peer_that_does_not_read_are_bounded_as_objects(run: Run) -> None:
    """Each is an object of the transport's; a bound on their bytes alone would let megabytes wait."""

    async def scenario() -> None:
        sent = [0]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            while True:
                await send(body(b"x", True))
                sent[0] += 1

        served = Served(app, eager=EAGER_POSSIBLE)
        client, connection = await served.connect(receive_buffer=16384)
        with socket.socket(fileno=os.dup(connection.extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with Held() as held:
            client.send(GET % b"/")
            await until(lambda: not connection.writable, "the buffer is full", 1_000_000)
            await settle()
            assert held.bytes < MOST_HELD
        taken = sent[0]
        reading = asyncio.get_running_loop().run_in_executor(None, read_some, client, 100_000)
        await until(reading.done, "the peer reads", 10_000_000)
        assert sent[0] > taken, "it goes on when the peer reads"
        client.close()
        await served.close()

    run(scenario())


def read_some(client: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(client.recv(65536))
