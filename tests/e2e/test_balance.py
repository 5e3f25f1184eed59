"""Connections spread over the workers, and over those that can take them."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.raw import Address, RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]
Hold = Callable[..., "list[str]"]

#: max/mean is 1.0 on an idle machine and 2 to 4 without balance.
UNEVEN = 1.3
#: Bursts until the connections are spread. One is enough where each worker runs when it is woken. On a busy machine the
#: others may have taken all there is before one runs, which then gets its share of what comes next.
BURSTS = 5


@pytest.fixture
def hold() -> Iterator[Hold]:
    """``hold(server, count)`` opens connections at once and keeps them; which worker serves each."""
    with ExitStack() as stack:

        def open_all(server: GunicornServer, count: int, address: Address | None = None) -> list[str]:
            clients = [stack.enter_context(RawClient(address or server.address)) for _ in range(count)]
            for client in clients:
                client.send(request_bytes("GET", "/pid"))
            return [client.read_response().text for client in clients]

        yield open_all


def settle() -> None:
    """Let the workers' heartbeats tell them of each other."""
    time.sleep(0.6)


def assert_even(burst: Callable[[], list[str]], workers: int) -> None:
    """That what ``burst()`` opens, and keeps open, is spread over so many workers."""
    counts: Counter[str] = Counter()
    for _ in range(BURSTS):
        counts.update(burst())
        if len(counts) == workers and max(counts.values()) <= UNEVEN * counts.total() / workers:
            return
    pytest.fail(f"{workers} workers have {counts}")


@pytest.fixture(autouse=True)
def _pronghorn_only(worker_class: str) -> None:
    if not worker_class.startswith("pronghorn."):
        pytest.skip("other worker classes leave it to chance")


class TestSpread:
    @pytest.mark.parametrize("preload", [False, True])
    def test_of_a_burst(self, serve: Serve, hold: Hold, preload: bool) -> None:
        server = serve(workers=4, keepalive=60, preload_app=preload)
        settle()
        assert_even(lambda: hold(server, 64), 4)

    def test_over_a_unix_socket(self, serve: Serve, hold: Hold, tmp_path: Path) -> None:
        server = serve(bind=f"unix:{tmp_path}/socket", workers=3, keepalive=60)
        settle()
        assert_even(lambda: hold(server, 48), 3)

    def test_over_several_listeners(self, serve: Serve, hold: Hold) -> None:
        server = serve(bind=["127.0.0.1:0", "127.0.0.1:0"], workers=3, keepalive=60)
        settle()
        assert_even(lambda: [pid for address in server.addresses for pid in hold(server, 24, address)], 3)

    def test_of_what_comes_slowly(self, serve: Serve, hold: Hold) -> None:
        server = serve(workers=3, keepalive=60)
        settle()
        assert_even(lambda: [pid for _ in range(30) for pid in hold(server, 1)], 3)

    def test_after_hup(self, serve: Serve, hold: Hold) -> None:
        """The rows of the old workers do not stand in the way of the new ones."""
        server = serve(workers=3, keepalive=60)
        old = server.worker_pids()
        hold(server, 20)
        server.signal(signal.SIGHUP)
        server.wait_gone(old)
        wait_until(lambda: len(server.accepting_pids()) == 3, message="three new workers")
        settle()
        assert_even(lambda: hold(server, 48), 3)

    def test_to_a_worker_that_is_new(self, serve: Serve, hold: Hold) -> None:
        server = serve(workers=2, keepalive=60)
        settle()
        hold(server, 40)
        killed, kept = server.worker_pids()
        os.kill(killed, signal.SIGKILL)
        server.wait_gone([killed])
        wait_until(lambda: len(server.accepting_pids()) == 2, message="a new worker")
        settle()
        (new,) = set(server.worker_pids()) - {kept}
        counts: Counter[str] = Counter()
        for _ in range(BURSTS):
            counts.update(hold(server, 18))
            if counts[str(new)] > counts[str(kept)] + 10:
                break
        else:
            pytest.fail(f"the new worker {new} had none, the other one about 20: {counts}")


class TestWhoCannot:
    def test_a_blocked_worker_is_passed_over(self, serve: Serve, hold: Hold) -> None:
        server = serve(workers=3, keepalive=60, timeout=120)
        settle()
        with server.connect() as blocker:
            blocker.send(request_bytes("GET", "/block?seconds=60"))
            server.wait_trace("blocking")
            assert_even(lambda: hold(server, 30), 2)

    def test_a_killed_worker_is_passed_over(self, serve: Serve, hold: Hold) -> None:
        server = serve(workers=2, keepalive=60)
        settle()
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        assert len(hold(server, 20)) == 20

    def test_a_full_worker_leaves_the_rest_to_the_others(self, serve: Serve) -> None:
        server = serve(workers=2, worker_connections=3, keepalive=60)
        settle()
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(8)]
            for client in clients:
                client.send(request_bytes("GET", "/gate", "Connection: close"))
            wait_until(lambda: len(at_gate(server)) >= 6, message="six requests under way")
            clients[0].assert_silent()
            assert set(Counter(at_gate(server)).values()) == {3}
            (server.directory / "gate").touch()
            assert {client.read_response().status for client in clients} == {200}


def at_gate(server: GunicornServer) -> list[str]:
    """The worker of each request that waits at the gate."""
    return [line.rpartition(" ")[2] for line in server.traced() if line.startswith("at gate")]


@needs_gunicorn(24)
def test_reuse_port_is_left_to_the_kernel(serve: Serve, hold: Hold) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = serve(bind=f"127.0.0.1:{port}", reuse_port=True, workers=2, keepalive=60, ready=False)
    wait_until(lambda: len(server.accepting_pids()) == 2, 20, "two workers")
    settle()
    assert len(set(hold(server, 40, ("127.0.0.1", port)))) == 2
