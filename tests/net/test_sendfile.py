"""``net/sendfile.py`` on real sockets, on both loops: the kernel's way, and the way through this process."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pronghorn.net import sendfile
from pronghorn.net.connection import Connection
from pronghorn.net.ends import ends_of
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules
from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.doubles import HANGS, RecordingLog, make_context
from tests.net.support import read_responses

CONTENT = os.urandom(1 << 16) * 96  # 6 MiB: more than the buffers of a socket hold
GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"

Test = Callable[[], Awaitable[None]]


def _loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return loops
    return loops | {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=_loops())
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[None]], None]]:
    """Run a test in a loop of its own; no descriptor may be left by it."""
    make = _loops()[request.param]
    make().close()  # libuv opens what all loops share with the first
    before = len(os.listdir("/dev/fd"))
    loop = make()
    unheard: list[Any] = []
    loop.set_exception_handler(lambda _, details: unheard.append(details))
    yield lambda test: loop.run_until_complete(asyncio.wait_for(test, HANGS))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not unheard, unheard
    assert len(os.listdir("/dev/fd")) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each ``os.sendfile`` has sent."""
    sizes: list[int] = []
    real = os.sendfile

    def counting(out: int, fd: int, offset: int, count: int) -> int:
        size = real(out, fd, offset, count)
        sizes.append(size)
        return size

    monkeypatch.setattr(sendfile.os, "sendfile", counting)
    return sizes


class Peer:
    """The client's end of a connection that serves ``app``."""

    def __init__(self, app: Callable[..., Any], family: int = socket.AF_INET, **attributes: Any) -> None:
        rules = Rules()
        self.context = make_context(app, rules=rules, trusting_rules=rules, **attributes)
        self.ended: list[Any] = []
        self.context.observer = self.ended.append
        self.loop = asyncio.get_running_loop()
        self.reaper = Reaper(self.loop, self.context)
        self.family = family
        self.sock = self._ours = socket.socket()

    async def __aenter__(self) -> Peer:
        self.sock.close()
        if self.family == socket.AF_UNIX:
            self.sock, ours = socket.socketpair()
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            self.sock = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
            listener.close()
        self.sock.setblocking(False)
        ours.setblocking(False)
        connection = Connection(self.context, self.reaper, Turn(self.context), Http1)
        connection.ends = ends_of(self.family, self.sock.getsockname(), ours.getsockname())
        _, self.connection = await self.loop.connect_accepted_socket(lambda: connection, ours)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.sock.close()
        self.connection.abort()
        await self.reaper.wait_until_empty()
        while self.context.tasks:
            await asyncio.wait(set(self.context.tasks))

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def read(self, size: int) -> bytes:
        """Read until there are ``size`` bytes or the connection ends."""
        data = bytearray()
        while len(data) < size:
            part = await self.loop.sock_recv(self.sock, min(1 << 18, size - len(data)))
            if not part:
                break
            data += part
        return bytes(data)

    async def read_answers(self, count: int) -> list[Any]:
        """Read until ``count`` whole responses are there, or the connection ends."""
        data = bytearray()
        reading = asyncio.ensure_future(self.loop.sock_recv(self.sock, 1 << 20))
        while True:
            # Not wait_for: a read that is cancelled as it completes loses what it has read.
            await asyncio.wait([reading], timeout=0.05)
            if reading.done():
                data += reading.result()
                if not reading.result():
                    return read_responses(bytes(data), *["GET"] * count, ended=True)
                reading = asyncio.ensure_future(self.loop.sock_recv(self.sock, 1 << 20))
                continue
            # Nothing more for now: worth the while to let h11 read all of it.
            answers = read_responses(bytes(data), *["GET"] * count)
            if len(answers) == count and answers[-1].complete:
                reading.cancel()
                await asyncio.wait([reading])
                return answers

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


def serves(path: Path, *, errors: list[BaseException] | None = None) -> Callable[..., Any]:
    """An application that sends the file for /file, parts around it for /parts, and a word for all else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            if scope["path"] == "/file":
                await send({"type": "http.response.pathsend", "path": str(path)})
            elif scope["path"] == "/parts":
                await send(body(b"<" * 200_000, True))
                with path.open("rb") as file:
                    await send({"type": "http.response.zerocopysend", "file": file, "more_body": True})
                await send(body(b">"))
            else:
                await send(body(b"word"))
        except BaseException as error:
            if errors is not None:
                errors.append(error)
            raise

    return app


Run = Callable[[Awaitable[None]], None]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "process"])
def test_content_arrives_and_the_connection_goes_on(
    run: Run, path: Path, calls: list[int], kernel: bool, family: int
) -> None:
    async def test() -> None:
        async with Peer(serves(path), family, sendfile=kernel) as peer:
            await peer.send(GET % b"/file" + GET % b"/parts" + GET % b"/word")
            answers = await peer.read_answers(3)
            bodies = [answer.body for answer in answers]
            assert bodies == [CONTENT, b"<" * 200_000 + CONTENT + b">", b"word"]
            assert answers[0].header(b"content-length") == b"%d" % len(CONTENT)
            assert answers[1].header(b"transfer-encoding") == b"chunked"
            await peer.send(GET % b"/word")
            assert (await peer.read_answers(1))[0].body == b"word"
            assert [exchange.stream.sent for exchange in peer.ended[-1:]] == [4]
            assert peer.log.entries == []

    run(test())
    assert sum(calls) == (2 * len(CONTENT) if kernel else 0)


def test_bytes_are_counted_as_they_leave(run: Run, path: Path) -> None:
    sent: list[int] = []

    async def test() -> None:
        async with Peer(serves(path)) as peer:
            peer.context.observer = lambda exchange: sent.append(exchange.stream.sent)
            await peer.send(GET % b"/file")
            await peer.read_answers(1)

    run(test())
    assert sent == [len(CONTENT)]


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "process"])
def test_client_that_leaves_in_the_middle(run: Run, path: Path, kernel: bool) -> None:
    errors: list[BaseException] = []
    sent: list[int] = []

    async def test() -> None:
        async with Peer(serves(path, errors=errors), sendfile=kernel) as peer:
            peer.context.observer = lambda exchange: sent.append(exchange.stream.sent)
            await peer.send(GET % b"/file")
            await peer.read(100_000)
            peer.sock.close()
            await peer.until(lambda: errors and not peer.context.tasks)
            assert isinstance(errors[0], OSError)
            assert peer.log.entries == []
            assert peer.connection.state.name == "CLOSED"

    run(test())
    assert 0 < sent[0] < len(CONTENT)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "process"])
def test_who_does_not_read_is_closed_in_time(run: Run, path: Path, kernel: bool) -> None:
    os.truncate(path, 1 << 26)  # far beyond what the sockets hold

    async def test() -> None:
        async with Peer(serves(path), sendfile=kernel, write_timeout=60.0) as peer:
            await peer.send(GET % b"/file")
            await peer.until(lambda: peer.connection.unsent())
            for _ in range(3):
                unsent = peer.connection.unsent()
                assert len(await peer.read(4_000_000)) == 4_000_000
                await peer.until(lambda: peer.connection.unsent() < unsent)
                peer.reaper.sweep(peer.context.clock + 61)
                assert peer.connection.state.name == "SERVING"
                assert peer.connection.deadline > peer.context.clock
            while peer.context.tasks:  # the sockets fill; from then on the time counts
                await asyncio.sleep(0.01)
                peer.reaper.sweep(peer.context.clock + 61)
            (line,) = peer.log.of("info")
            assert line == "Closed connection from ip=127.0.0.1: it does not read its response (write_timeout=60)"
            assert peer.log.of("warning", "error") == []

    run(test())


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "process"])
def test_file_that_shrinks_meanwhile(run: Run, path: Path, kernel: bool) -> None:
    errors: list[BaseException] = []

    async def test() -> None:
        async with Peer(serves(path, errors=errors), sendfile=kernel) as peer:
            await peer.send(GET % b"/file")
            await peer.until(lambda: peer.connection.unsent())
            os.truncate(path, 100)
            (answer,) = await peer.read_answers(1)
            assert answer.cut
            await peer.until(lambda: not peer.context.tasks)
            assert "The file ended" in str(errors[0])
            assert len(peer.log.errors) == 1

    run(test())


def test_a_file_system_that_cannot(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: int) -> int:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(sendfile.os, "sendfile", refuse)

    async def test() -> None:
        async with Peer(serves(path)) as peer:
            await peer.send(GET % b"/file" + GET % b"/word")
            assert [answer.body for answer in await peer.read_answers(2)] == [CONTENT, b"word"]
            assert peer.log.entries == []

    run(test())


def test_an_error_of_the_disk_cuts_the_response_off(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[BaseException] = []

    def fail(*args: int) -> int:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(sendfile.os, "sendfile", fail)

    async def test() -> None:
        async with Peer(serves(path, errors=errors)) as peer:
            await peer.send(GET % b"/file")
            (answer,) = await peer.read_answers(1)
            assert (answer.status, answer.cut, answer.body) == (200, True, b"")
            assert "broken disk" in str(errors[0])
            assert len(peer.log.raised) == 1

    run(test())


def test_drain_lets_it_finish(run: Run, path: Path) -> None:
    async def test() -> None:
        async with Peer(serves(path)) as peer:
            await peer.send(GET % b"/file")
            await peer.until(lambda: peer.connection.unsent())
            peer.context.draining = True
            peer.connection.drain()
            peer.connection.wind_up()
            (answer,) = await peer.read_answers(1)
            assert (answer.body, answer.complete) == (CONTENT, True)

    run(test())


def test_cancelled_at_the_end_of_the_drain(run: Run, path: Path) -> None:
    async def test() -> None:
        async with Peer(serves(path)) as peer:
            await peer.send(GET % b"/file")
            await peer.until(lambda: peer.connection.unsent())
            peer.connection.terminate()
            (answer,) = await peer.read_answers(1)
            assert answer.cut
            await peer.until(lambda: not peer.context.tasks)

    run(test())


def test_the_time_of_the_whole_request_ends_it(run: Run, path: Path) -> None:
    async def test() -> None:
        async with Peer(serves(path), request_timeout=5.0) as peer:
            await peer.send(GET % b"/file")
            await peer.until(lambda: peer.connection.unsent())
            peer.reaper.sweep(peer.context.clock + 6)
            (answer,) = await peer.read_answers(1)
            assert answer.cut
            await peer.until(lambda: not peer.context.tasks)
            assert len(peer.log.of("warning")) >= 1

    run(test())
