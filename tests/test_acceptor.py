"""``pronghorn.acceptor``: accepting from real sockets, with protocols and rows that the test controls."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pronghorn import acceptor as module
from pronghorn.acceptor import Acceptor
from pronghorn.scoreboard import CLOSED
from pronghorn.tls import ServerTls
from tests.support.loops import fresh_loop

_SECONDS = 10.0


class Protocol(asyncio.Protocol):
    def __init__(self, house: House) -> None:
        self.house = house
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        if self.house.failing:
            raise RuntimeError("cannot be made")
        self.transport = transport
        self.house.open.add(self)
        self.house.acceptor.made(self)
        self.house.moved()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.house.open.discard(self)
        self.house.acceptor.closed()
        self.house.moved()


class FakeRow:
    """A row whose neighbours the test makes up."""

    def __init__(self) -> None:
        self.is_only = False
        self.crowded = True
        self.others: dict[int, int] = {}
        self.published: list[int] = []
        self.asked = 0
        self.refusals: list[dict[int, int]] = []

    def outdone_by(self, load: int) -> dict[int, int]:
        self.asked += 1
        return {index: other for index, other in self.others.items() if other < load}

    def note_refusal(self, offered: dict[int, int]) -> None:
        self.refusals.append(offered)
        self.others = {}

    def publish(self, load: int) -> None:
        self.published.append(load)


class House:
    """An acceptor with its listeners and clients, all in one loop."""

    def __init__(self, *, most: int = 100, row: FakeRow | None = None, listeners: int = 1, **options: Any) -> None:
        self.open: set[Protocol] = set()
        self.failing = False
        self.clients: list[socket.socket] = []
        self._event = asyncio.Event()
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(listeners)]
        self.names = [listener.getsockname() for listener in self.listeners]
        self.acceptor = Acceptor(
            asyncio.get_running_loop(),
            list(self.listeners),
            lambda: Protocol(self),
            most=most,
            count=lambda: len(self.open),
            log=logging.getLogger("test.acceptor"),
            row=row,  # type: ignore[arg-type]
            **options,
        )

    def moved(self) -> None:
        self._event.set()

    def connect(self, count: int = 1, listener: int = 0) -> list[socket.socket]:
        made = [socket.create_connection(self.names[listener], _SECONDS) for _ in range(count)]
        self.clients += made
        return made

    async def until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not condition():
                self._event.clear()
                await self._event.wait()

        await asyncio.wait_for(wait(), _SECONDS)

    async def until_open(self, count: int) -> None:
        await self.until(lambda: len(self.open) == count)

    def close(self) -> None:
        for each in [*self.clients, *self.listeners]:
            each.close()
        for protocol in list(self.open):
            protocol.transport.abort()


Scenario = Callable[[Callable[..., House]], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    loop = fresh_loop(request.param)
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: failures.append(context))

    def execute(scenario: Scenario, mishaps: int = 0) -> None:
        houses: list[House] = []

        def house(**options: Any) -> House:
            houses.append(House(**options))
            return houses[-1]

        async def whole() -> None:
            try:
                await scenario(house)
            finally:
                for each in houses:
                    each.acceptor.retire()
                    each.close()
                await asyncio.sleep(0.01)

        loop.run_until_complete(asyncio.wait_for(whole(), 2 * _SECONDS))
        assert len(failures) == mishaps, failures

    yield execute
    loop.close()


def test_accepts_and_serves(run: Run) -> None:
    async def scenario(make: Callable[..., House]) -> None:
        house = make()
        house.acceptor.start()
        (client,) = house.connect()
        await house.until_open(1)
        client.send(b"hello")
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 100) == b"hello"
        client.close()
        await house.until_open(0)
        assert house.acceptor.load == 0

    run(scenario)


def test_several_listeners(run: Run) -> None:
    async def scenario(make: Callable[..., House]) -> None:
        house = make(listeners=3)
        house.acceptor.start()
        for listener in range(3):
            house.connect(2, listener)
        await house.until_open(6)

    run(scenario)


@pytest.mark.parametrize("listeners", [1, 2])
def test_leaves_the_rest_in_the_backlog_at_the_limit(run: Run, listeners: int) -> None:
    async def scenario(make: Callable[..., House]) -> None:
        house = make(most=3, listeners=listeners)
        house.acceptor.start()
        clients = [client for listener in range(listeners) for client in house.connect(3, listener)]
        await house.until_open(3)
        await asyncio.sleep(0.05)
        assert len(house.open) == 3 == house.acceptor.load
        served = 3
        while served < len(clients):
            next(iter(house.open)).transport.close()
            served += 1
            await house.until(lambda: house.acceptor.load == 3 and len(house.open) == 3)

    run(scenario)


def test_a_connection_that_cannot_be_made_gives_its_place_back(run: Run) -> None:
    async def scenario(make: Callable[..., House]) -> None:
        house = make(most=1)
        house.failing = True
        house.acceptor.start()
        house.connect()
        while not house.acceptor.load:
            await asyncio.sleep(0)
        while house.acceptor.load:
            await asyncio.sleep(0)
        await house.acceptor.stop(take_waiting=False, timeout=_SECONDS)

    run(scenario, mishaps=1)


class TestStop:
    def test_takes_what_waits(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make(most=2, listeners=2)
            house.acceptor.start()
            house.connect(5)
            house.connect(5, 1)
            await house.until_open(2)
            await house.acceptor.stop(take_waiting=True, timeout=_SECONDS)
            assert len(house.open) == 10, "all are made when it returns, the limit does not hold at the end"
            with pytest.raises(ConnectionRefusedError):
                house.connect()

        run(scenario)

    def test_closes_each_listener_at_once_after_the_last_look(self, run: Run) -> None:
        """What comes between the two is reset where nobody else listens."""

        class Watched:
            def __init__(self, name: str, sock: socket.socket) -> None:
                self._name, self.sock = name, sock

            def accept(self) -> Any:
                happened.append(f"look at {self._name}")
                return self.sock.accept()

            def close(self) -> None:
                happened.append(f"close {self._name}")
                self.sock.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.sock, name)

        happened: list[str] = []

        async def scenario(make: Callable[..., House]) -> None:
            house = make(listeners=2)
            listeners = [Watched(name, sock) for name, sock in zip("ab", house.listeners)]
            house.acceptor._opened, house.acceptor._listeners = list(listeners), list(listeners)  # type: ignore
            house.acceptor.start()
            house.acceptor.retire()
            house.connect()
            await house.acceptor.stop(take_waiting=True, timeout=_SECONDS)
            assert happened == ["look at a", "look at a", "close a", "look at b", "close b"]

        run(scenario)

    def test_waits_for_descriptors(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """There are not enough for all that wait: the rest is taken when others have ended."""

        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            house.acceptor.start()
            house.connect(2)
            await house.until_open(2)
            house.acceptor.retire()
            listener = TestErrors().failing(house, errno.EMFILE, 2)
            house.connect(3)
            stopping = asyncio.ensure_future(house.acceptor.stop(take_waiting=True, timeout=_SECONDS))
            first, second = house.open
            for protocol, left in ((first, 1), (second, 0)):
                while listener.times > left:
                    await asyncio.sleep(0)
                protocol.transport.close()
            await stopping
            await house.until_open(3)
            with pytest.raises(ConnectionRefusedError):
                house.connect()

        run(scenario)
        assert caplog.text.count("Cannot accept connections") == 1

    def test_does_not_wait_for_descriptors_for_ever(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            listener = TestErrors().failing(house, errno.EMFILE, 10**6)
            house.connect()
            await house.acceptor.stop(take_waiting=True, timeout=0.05)
            assert not house.open
            assert listener.times

        run(scenario)

    def test_says_whether_somebody_waits(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make(listeners=2)
            assert not house.acceptor.is_waited_for()
            house.connect(1, listener=1)
            assert house.acceptor.is_waited_for()

        run(scenario)

    def test_leaves_what_waits(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            sibling = house.listeners[0].dup()
            house.connect(3)
            house.acceptor.start()
            house.acceptor.retire()
            await house.acceptor.stop(take_waiting=False, timeout=_SECONDS)
            assert not house.open
            sibling.setblocking(False)
            for _ in range(3):
                sibling.accept()[0].close()
            sibling.close()

        run(scenario)

    def test_retired_accepts_nothing(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            house.acceptor.start()
            house.connect()
            await house.until_open(1)
            house.acceptor.retire()
            (client,) = house.connect()
            next(iter(house.open)).transport.close()  # what would make room must not wake it
            await house.until_open(0)
            await asyncio.sleep(0.05)
            assert not house.open
            assert client.fileno() >= 0

        run(scenario)

    def test_closes_gunicorn_s_own_descriptor(self, run: Run) -> None:
        class Wrapped:
            def __init__(self, sock: socket.socket) -> None:
                self.sock: socket.socket | None = sock

            def close(self) -> None:
                assert self.sock is not None
                self.sock.close()
                self.sock = None

        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            wrapped = Wrapped(house.listeners[0])
            house.acceptor._opened = [wrapped]
            await house.acceptor.stop(take_waiting=False, timeout=1)
            assert wrapped.sock is None
            with pytest.raises(ConnectionRefusedError):
                house.connect()

        run(scenario)

    def test_a_tls_handshake_that_does_not_end_is_given_up(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            tls = ServerTls(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), {}, logging.getLogger(__name__))
            house = make(tls=tls)
            house.acceptor.start()
            house.connect()
            while not house.acceptor.load:
                await asyncio.sleep(0.001)
            await house.acceptor.stop(take_waiting=True, timeout=0.05)
            while house.acceptor.load:
                await asyncio.sleep(0.001)

        run(scenario)


class TestErrors:
    class Listener:
        """A listener whose accept fails so many times."""

        def __init__(self, sock: socket.socket, number: int, times: int) -> None:
            self._sock, self._number, self.times = sock, number, times

        def accept(self) -> Any:
            if self.times:
                self.times -= 1
                raise OSError(self._number, "made up")
            return self._sock.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

    def failing(self, house: House, number: int, times: int) -> Listener:
        listener = self.Listener(house.listeners[0], number, times)
        house.acceptor._listeners = [listener]  # type: ignore[list-item]
        return listener

    def test_without_descriptors_it_rests_and_comes_back(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "RETRY", 0.05)

        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            listener = self.failing(house, errno.EMFILE, 2)
            house.acceptor.start()
            house.connect(2)
            await house.until_open(2)
            assert listener.times == 0

        run(scenario)
        assert caplog.text.count("Cannot accept connections") == 2, "once a rest, not once a turn of the loop"

    def test_a_connection_lost_while_waiting_says_nothing(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            house = make()
            self.failing(house, errno.ECONNABORTED, 3)
            house.acceptor.start()
            house.connect(2)
            await house.until_open(2)

        run(scenario)
        assert "Cannot accept" not in caplog.text


class TestBalance:
    def test_publishes_every_change(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row, most=2)
            house.acceptor.start()
            assert row.published == [0]
            house.connect()
            await house.until_open(1)
            assert row.published[-1] == 1
            house.connect()
            await house.until_open(2)
            assert row.published[-1] == CLOSED, "at the limit it takes no more"
            next(iter(house.open)).transport.close()
            await house.until_open(1)
            assert row.published[-1] == 1
            house.acceptor.retire()
            assert row.published[-1] == CLOSED

        run(scenario)

    def test_steps_aside_for_who_has_fewer(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "ASIDE", 0.02)

        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row)
            other = house.listeners[0].dup()
            house.acceptor.start()
            house.connect(3)
            await house.until_open(3)
            row.others = {1: 0}
            asked = row.asked
            house.connect()
            while row.asked == asked:
                await asyncio.sleep(0)
            other.setblocking(False)
            other.accept()[0].close()
            row.others = {1: 3}
            await asyncio.sleep(0.1)
            assert len(house.open) == 3
            assert row.refusals == []
            house.connect()
            await house.until_open(4)
            other.close()

        run(scenario)

    def test_takes_what_nobody_takes(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row)
            house.acceptor.start()
            house.connect()
            await house.until_open(1)
            row.others = {1: 0, 2: 5}
            house.connect(5)
            await house.until_open(6)
            assert row.refusals == [{1: 0}], "who was asleep is not offered each connection again"

        run(scenario)

    def test_its_last_connection_ends_while_it_stands_aside(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "ASIDE", 3600)

        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row)
            house.acceptor.start()
            (first,) = house.connect()
            await house.until_open(1)
            row.others = {1: 0}
            house.connect()
            while house.acceptor._pause is None:
                await asyncio.sleep(0)
            first.close()
            await house.until_open(0)
            await house.until_open(1)

        run(scenario)

    def test_leaves_the_processor_to_the_others_before_it_waits(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who is ready and has fewer takes it then, and nothing is slower for it."""
        monkeypatch.setattr(module, "ASIDE", 3600)

        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row)
            other = house.listeners[0].dup()
            other.setblocking(False)
            house.acceptor.start()
            house.connect()
            await house.until_open(1)
            row.others = {1: 0}
            taken: list[socket.socket] = []
            monkeypatch.setattr(module.os, "sched_yield", lambda: taken.append(other.accept()[0]))
            house.connect()
            while not taken:
                await asyncio.sleep(0)
            row.others = {}
            house.connect()
            await house.until_open(2)
            assert house.acceptor._pause is None
            taken[0].close()
            other.close()

        run(scenario)

    def test_a_small_difference_among_many_is_let_be(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            house = make(row=row)
            house.acceptor.start()
            house.connect(20)
            await house.until_open(20)
            row.others = {1: 19, 2: 18}
            house.connect()
            await house.until_open(21)
            assert row.refusals == [], "not taken as a last resort"

        run(scenario)

    def test_a_worker_that_is_alone_never_asks(self, run: Run) -> None:
        async def scenario(make: Callable[..., House]) -> None:
            row = FakeRow()
            row.is_only, row.crowded = True, False
            house = make(row=row)
            house.acceptor.start()
            house.connect(20)
            await house.until_open(20)
            assert row.asked == 0

        run(scenario)


def test_a_unix_socket(run: Run, tmp_path: Path) -> None:
    async def scenario(make: Callable[..., House]) -> None:
        house = make()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        house.acceptor._listeners = [listener]
        house.acceptor.start()
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(tmp_path / "socket"))
        house.clients += [client, listener]
        await house.until_open(1)

    run(scenario)
