"""``net/`` on real sockets and both loops: flow control, whatever the loop's transports do by themselves."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.doubles import EAGER_POSSIBLE, settle, until
from tests.net.sockets import Served
from tests.net.support import GET
from tests.support.loops import Run

#: Of one part: more than the loop's high-water mark.
PART = b"x" * 100_000


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_peer_that_does_not_read_is_waited_for(run: Run, secure: bool, server_tls: ssl.SSLContext) -> None:
    """What an application streams is held back in it, not in the worker."""

    async def scenario() -> None:
        sent = [0]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            while True:
                await send(body(PART, True))
                sent[0] += len(PART)

        served = Served(app, eager=EAGER_POSSIBLE, tls=server_tls if secure else None)
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
