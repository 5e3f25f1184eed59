"""PROXY headers on real sockets: nothing behind a header is taken, and nobody can make the worker wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from pronghorn.net.ends import Ends, ends_of
from pronghorn.proxies import TrustList
from pronghorn.proxyheader import Opening, ProxyHeaderReader
from pronghorn.wire.proxy_protocol import ProxyHeader
from tests.support.loops import LONG, Run

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"
V1_HEADER = ProxyHeader(1, "TCP4", ("203.0.113.7", 56324), ("198.51.100.2", 443))
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 198, 51, 100, 2, 0xDC, 0x04, 0x01, 0xBB])
V2_HEADER = ProxyHeader(2, "TCP4", ("203.0.113.7", 56324), ("198.51.100.2", 443))
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LOCAL = TrustList(["127.0.0.1", "::1"])


@contextlib.contextmanager
def connection(family: str = "tcp", directory: Path | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket and the accepted one."""
    listener = socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET)
    with listener, socket.socket(listener.family) as client:
        listener.bind(str(directory / "socket") if directory else ("127.0.0.1", 0))
        listener.listen()
        client.settimeout(LONG)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        if family == "tcp":
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with accepted:
            yield client, accepted


def ends(accepted: socket.socket) -> Ends:
    return ends_of(accepted.family, accepted.getpeername(), accepted.getsockname())


async def read(
    accepted: socket.socket, mode: str = "auto", allowed: TrustList = LOCAL, timeout: float = LONG
) -> Opening:
    return await ProxyHeaderReader(asyncio.get_running_loop(), mode, allowed, timeout).read(accepted, ends(accepted))


async def until_waiting(reader: ProxyHeaderReader) -> None:
    """Until the reader has looked at all that is there."""
    while not reader._readable.waiting:
        await asyncio.sleep(0.001)


def left(accepted: socket.socket, size: int) -> bytes:
    """What is still in the socket; ``size`` bytes are expected."""
    accepted.settimeout(LONG)
    data = b""
    while len(data) < size:
        piece = accepted.recv(size - len(data))
        if not piece:
            break
        data += piece
    accepted.setblocking(False)
    with pytest.raises(BlockingIOError):
        accepted.recv(1)
    return data


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize(("data", "header"), [(V1, V1_HEADER), (V2, V2_HEADER), (b"", None)])
@pytest.mark.parametrize("following", [REQUEST, b"\x16\x03\x01" + b"x" * 3000])
def test_what_follows_stays_in_the_socket(
    run: Run, tmp_path: Path, family: str, data: bytes, header: ProxyHeader | None, following: bytes
) -> None:
    with connection(family, tmp_path if family == "unix" else None) as (client, accepted):
        client.sendall(data + following)
        opening = run(read(accepted))
        assert opening == Opening(header)
        assert left(accepted, len(following)) == following


@pytest.mark.parametrize(("data", "header"), [(V1, V1_HEADER), (V2, V2_HEADER)])
def test_a_header_in_pieces(run: Run, data: bytes, header: ProxyHeader) -> None:
    """Cut at every place; what is read first is seen to be waited behind."""

    async def scenario(at: int) -> None:
        with connection() as (client, accepted):
            reader = ProxyHeaderReader(asyncio.get_running_loop(), "auto", LOCAL, LONG)
            task = asyncio.ensure_future(reader.read(accepted, ends(accepted)))
            client.sendall(data[:at])
            await until_waiting(reader)
            client.sendall(data[at:] + REQUEST)
            assert await task == Opening(header)
            assert left(accepted, len(REQUEST)) == REQUEST

    for at in range(1, len(data)):
        run(scenario(at))


def test_a_header_longer_than_one_look(run: Run) -> None:
    extension = b"\xee\x07\xd0" + b"x" * 2000
    size = 12 + len(extension)
    data = V2[:14] + size.to_bytes(2, "big") + V2[16:] + extension
    with connection() as (client, accepted):
        client.sendall(data + REQUEST)
        assert run(read(accepted)) == Opening(V2_HEADER)
        assert left(accepted, len(REQUEST)) == REQUEST


def test_a_request_that_begins_like_a_header(run: Run) -> None:
    """What was taken while it still could be one is handed over."""

    async def scenario() -> Opening:
        reader = ProxyHeaderReader(asyncio.get_running_loop(), "auto", LOCAL, LONG)
        task = asyncio.ensure_future(reader.read(accepted, ends(accepted)))
        client.sendall(b"PRO")
        await until_waiting(reader)
        client.sendall(b"PFIND / HTTP/1.1\r\n\r\n")
        return await task

    with connection() as (client, accepted):
        assert run(scenario()) == Opening(None, b"PRO")
        assert left(accepted, 20) == b"PFIND / HTTP/1.1\r\n\r\n"


def test_the_mode(run: Run) -> None:
    for mode, data in (("v1", V2), ("v2", V1)):
        with connection() as (client, accepted):
            client.sendall(data)
            assert run(read(accepted, mode)) == Opening()
            assert left(accepted, len(data)) == data


def test_a_peer_that_is_not_allowed(run: Run, tmp_path: Path) -> None:
    nobody = TrustList([])
    for data in (V1, V2):
        with connection() as (client, accepted):
            client.sendall(data)
            opening = run(read(accepted, allowed=nobody))
            assert opening.error is not None
            assert opening.error.status == 403
    with connection() as (client, accepted):
        client.sendall(REQUEST)
        assert run(read(accepted, allowed=nobody)) == Opening()
        assert left(accepted, len(REQUEST)) == REQUEST
    with connection("unix", tmp_path) as (client, accepted):
        client.sendall(V1)
        assert run(read(accepted, allowed=nobody)) == Opening(V1_HEADER)


def test_a_broken_header(run: Run) -> None:
    with connection() as (client, accepted):
        client.sendall(b"PROXY TCP4 nonsense\r\n")
        opening = run(read(accepted))
        assert opening.error is not None
        assert opening.error.status == 400


@pytest.mark.parametrize("sent", [b"", b"PROX", V1[:-1], V2[:-1], V2[:12]])
def test_a_peer_that_is_silent(run: Run, sent: bytes) -> None:
    with connection() as (client, accepted):
        client.sendall(sent)
        with pytest.raises(asyncio.TimeoutError):
            run(read(accepted, timeout=0.05))


@pytest.mark.parametrize("sent", [b"", b"PROX", V1[:-1], V2[:-1]])
def test_a_peer_that_leaves(run: Run, sent: bytes) -> None:
    with connection() as (client, accepted):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match="left"):
            run(read(accepted))


def test_a_drain_ends_the_waiting(run: Run) -> None:
    async def scenario() -> None:
        reader = ProxyHeaderReader(asyncio.get_running_loop(), "auto", LOCAL, 0)
        task = asyncio.ensure_future(reader.read(accepted, ends(accepted)))
        await until_waiting(reader)
        reader.drain()
        with pytest.raises(asyncio.TimeoutError):
            await task
        # What has arrived is still read, and nothing is waited for.
        with connection() as (late, late_accepted), connection() as (_, silent_accepted):
            late.sendall(V1)
            assert await reader.read(late_accepted, ends(late_accepted)) == Opening(V1_HEADER)
            with pytest.raises(asyncio.TimeoutError):
                await reader.read(silent_accepted, ends(silent_accepted))

    with connection() as (_, accepted):
        run(scenario())


def test_a_header_that_is_on_its_way_when_the_worker_drains(run: Run) -> None:
    async def scenario() -> None:
        reader = ProxyHeaderReader(asyncio.get_running_loop(), "auto", LOCAL, LONG)
        task = asyncio.ensure_future(reader.read(accepted, ends(accepted)))
        await until_waiting(reader)
        reader.drain()
        client.sendall(V1)
        assert await task == Opening(V1_HEADER)

    with connection() as (client, accepted):
        run(scenario())


class Echo(asyncio.Protocol):
    """Answers with what it got, in capitals."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@contextlib.asynccontextmanager
async def talking(client: socket.socket, accepted: socket.socket, talk: Callable[[], None]) -> AsyncIterator[None]:
    """``talk`` in a thread; the block is to serve it."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            talk()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
        await asyncio.get_running_loop().run_in_executor(None, thread.join, LONG)
    finally:
        client.close()
    assert not failures
    assert not thread.is_alive()


@pytest.mark.parametrize("data", [V1, V2, b""])
def test_tls_behind_a_header(run: Run, contexts: tuple[ssl.SSLContext, ssl.SSLContext], data: bytes) -> None:
    server_context, client_context = contexts

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def talk() -> None:
            client.sendall(data)
            with client_context.wrap_socket(client, server_hostname="localhost") as secure:
                secure.sendall(b"hello")
                assert secure.recv(100) == b"HELLO"

        async with talking(client, accepted, talk):
            opening = await read(accepted)
            assert (opening.header is not None) is bool(data)
            transport, _ = await loop.connect_accepted_socket(Echo, accepted, ssl=server_context)
        transport.abort()
        await asyncio.sleep(0)

    with connection() as (client, accepted):
        run(scenario())
