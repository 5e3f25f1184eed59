"""Nothing that a client was allowed to send is lost while workers stop, are replaced or are told to wait."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pytest

from tests.support.processes import is_accepting
from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

GRACEFUL = 60  # longer than any deadline here: who waits for all of it fails
QUICK = 15.0

#: An application that traces its import and waits there for a file, so that a test decides when a worker is up.
BOOTS_ON_DEMAND = """
import time
from pathlib import Path
from tests.e2e.apps.bare import GATE_DIRECTORY, app
from tests.e2e.apps.trace import trace

trace("importing")
while not (GATE_DIRECTORY / "boot").exists():
    time.sleep(0.02)
"""


#: The same for the application's own start.
STARTS_ON_DEMAND = """
import asyncio
from tests.e2e.apps.bare import GATE_DIRECTORY
from tests.e2e.apps.bare import app as bare
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        trace("importing")
        while not (GATE_DIRECTORY / "boot").exists():
            await asyncio.sleep(0.02)
    await bare(scope, receive, send)
"""


def served_on_demand(serve: Serve, **settings: object) -> GunicornServer:
    server = serve("main:app", source=BOOTS_ON_DEMAND, ready=False, graceful_timeout=GRACEFUL, **settings)
    (server.directory / "boot").touch()
    server.wait_ready()
    (server.directory / "boot").unlink()
    return server


def imports(server: GunicornServer) -> int:
    return sum(line.startswith("importing") for line in server.traced())


class Blocked:
    """A worker whose loop is blocked for a moment, so that what is sent meanwhile waits in the kernel."""

    def __init__(self, server: GunicornServer, seconds: float = 1.0) -> None:
        self._client = server.connect()
        self._client.send(request_bytes("GET", f"/block?seconds={seconds}"))
        server.wait_trace("blocking")

    def finish(self) -> None:
        assert self._client.read_response().text == "unblocked"
        self._client.close()


class TestBacklog:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_is_served(self, serve: Serve, number: int) -> None:
        server = serve(graceful_timeout=GRACEFUL)
        blocked = Blocked(server)
        waiting = [server.connect() for _ in range(20)]
        for client in waiting:
            client.send(request_bytes("GET", "/"))
        server.signal(number)
        blocked.finish()
        for client in waiting:
            assert client.read_response().status == 200
            client.close()

    def test_is_served_by_a_worker_that_reached_its_limit(self, serve: Serve) -> None:
        """``max_requests``: what waits is left to the successor."""
        server = serve(max_requests=1, graceful_timeout=GRACEFUL)
        blocked = Blocked(server)
        waiting = [server.connect() for _ in range(3)]
        for client in waiting:
            client.send(request_bytes("GET", "/pid"))
        blocked.finish()
        for client in waiting:
            assert client.read_response().status == 200
            client.close()

    @needs_gunicorn(24)
    def test_of_a_listener_of_one_s_own(self, serve: Serve) -> None:
        """``reuse_port``: what waits there can be served by nobody else.

        The limit is reached by the first that waited, whether the application starts eagerly or a turn later.
        """
        server = serve(bind=f"127.0.0.1:{free_port()}", reuse_port=True, max_requests=2, graceful_timeout=GRACEFUL)
        server._addresses = [("127.0.0.1", int(str(server.settings["bind"]).rpartition(":")[2]))]
        blocked = Blocked(server)
        waiting = [server.connect() for _ in range(5)]
        for client in waiting:
            client.send(request_bytes("GET", "/"))
        blocked.finish()
        for client in waiting:
            assert client.read_response().status == 200
            client.close()

    def test_is_served_where_the_successor_will_not_come(self, serve: Serve) -> None:
        """The worker has reached its limit, and the master is told to stop before it has ended."""
        server = serve(max_requests=1, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as last:
            last.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            with server.connect() as waiting:
                waiting.send(request_bytes("GET", "/"))
                server.signal(signal.SIGTERM)
                assert waiting.read_response().status == 200
            wait_until(lambda: is_refused(server), QUICK, "refused connections")
            (server.directory / "gate").touch()
            assert last.read_response().status == 200
        assert server.wait_exit(QUICK) == 0

    @pytest.mark.parametrize("moment", ["import", "startup"])
    def test_is_served_by_a_worker_that_is_told_to_stop_while_it_boots(self, serve: Serve, moment: str) -> None:
        server = serve(
            "main:app", source=BOOTS_ON_DEMAND if moment == "import" else STARTS_ON_DEMAND, ready=False, workers=2,
            graceful_timeout=GRACEFUL,
        )  # fmt: skip
        wait_until(lambda: imports(server) == 2, message="both workers boot")
        with server.connect() as waiting:
            waiting.send(request_bytes("GET", "/"))
            server.signal(signal.SIGTERM)
            server.wait_log("Handling signal: term")
            if moment == "startup":
                # Mostly one of each; where both are told at the very same moment, both stay.
                told = re.compile("Stopped before the application had started|Told to stop while starting")
                wait_until(lambda: len(told.findall(server.log())) == 2, QUICK, server.log)
            else:
                time.sleep(0.5)  # for the signals to arrive; where they do not, the test is only weaker
            (server.directory / "boot").touch()
            assert waiting.read_response().status == 200
        assert server.wait_exit(QUICK) == 0

    def test_of_more_than_there_are_descriptors_for(self, serve: Serve) -> None:
        """They are taken as others end; the listener stays open until all are."""
        limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))\n"
        server = serve(config=limit, graceful_timeout=GRACEFUL)
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(80)]
            for client in clients:
                client.send(request_bytes("GET", "/slow?seconds=1"))
            server.wait_log("Cannot accept connections")
            server.signal(signal.SIGTERM)
            for client in clients:
                assert client.read_response().status == 200
                client.close()
        assert server.wait_exit(QUICK) == 0

    def test_of_a_listener_that_the_successors_do_not_have(self, serve: Serve) -> None:
        """HUP with another ``bind``: workers that serve elsewhere are no reason to leave what waits."""
        ports = [free_port(), free_port()]
        server = serve(bind=f"127.0.0.1:{ports[0]}", graceful_timeout=GRACEFUL)
        blocked = Blocked(server, 3.0)
        waiting = [server.connect() for _ in range(5)]
        for client in waiting:
            client.send(request_bytes("GET", "/"))
        server.write_config(bind=f"127.0.0.1:{ports[1]}")
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.accepting_pids()) > 1, message="the new worker")
        blocked.finish()
        for client in waiting:
            assert client.read_response().status == 200
            client.close()
        assert server.get("/", address=("127.0.0.1", ports[1])).status == 200

    def test_is_closed_while_the_worker_drains(self, serve: Serve) -> None:
        """Nobody will accept: a client has to be refused, not kept waiting for a reset."""
        server = serve(graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            server.signal(signal.SIGTERM)
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            wait_until(lambda: is_refused(server), QUICK, "refused connections")
            (server.directory / "gate").touch()
            assert client.read_response().status == 200
        assert server.wait_exit(QUICK) == 0


class TestKeptConnections:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_request_that_is_on_its_way_is_served(self, serve: Serve, number: int) -> None:
        server = serve(graceful_timeout=GRACEFUL, keepalive=60)
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            assert client.request("GET", "/").status == 200
        blocked = Blocked(server)
        server.signal(number)
        for client in clients:
            client.send(request_bytes("GET", "/"))
        blocked.finish()
        for client in clients:
            assert client.read_response().status == 200
            client.assert_closed()
            client.close()

    def test_a_connection_that_has_not_been_used_is_served(self, serve: Serve) -> None:
        server = serve(graceful_timeout=GRACEFUL)
        fresh = server.connect()
        blocked = Blocked(server)
        server.signal(signal.SIGTERM)
        fresh.send(request_bytes("GET", "/"))
        blocked.finish()
        response = fresh.read_response()
        assert response.status == 200
        fresh.assert_closed()

    def test_a_late_request_is_served_where_others_serve_on(self, serve: Serve) -> None:
        """TTOU: nobody waits for the end of the worker, so it waits for clients that are slow themselves."""
        server = serve(workers=2, graceful_timeout=GRACEFUL, keepalive=60)
        oldest = min(server.worker_pids())
        clients = [server.connect() for _ in range(8)]
        (kept, *_) = [client for client in clients if client.request("GET", "/pid").text == str(oldest)]
        server.signal(signal.SIGTTOU)
        wait_until(lambda: not is_accepting(oldest), QUICK, "the worker stops accepting")
        told = time.monotonic()
        time.sleep(0.8)
        kept.send(request_bytes("GET", "/pid"))
        if time.monotonic() - told < 1.2:  # else the machine is so slow that the worker may have ended
            response = kept.read_response()
            assert response.text == str(oldest)
            assert "close" in response.connection
        server.wait_gone([oldest], QUICK)
        for client in clients:
            client.close()

    def test_what_is_uploaded_is_read_to_its_end(self, serve: Serve) -> None:
        server = serve(graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            body = b"0123456789" * 10_000
            client.send(request_bytes("POST", "/echo", body=body)[:-50_000])
            server.get("/")
            server.signal(signal.SIGTERM)
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            client.send(body[-50_000:])
            response = client.read_response()
            assert response.body == body
            assert "close" in response.connection
            client.assert_closed()


#: At a gate, then in a moment in which the loop reads nothing, then 4 MB.
LARGE = """
import asyncio
import time
from tests.e2e.apps.bare import GATE_DIRECTORY
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    assert scope["type"] == "http"
    trace("at gate")
    while not (GATE_DIRECTORY / "gate").exists():
        await asyncio.sleep(0.02)
    trace("blocking")
    time.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4000000")]})
    await send({"type": "http.response.body", "body": b"x" * 4_000_000})
"""


class TestUnreadBytes:
    """A socket that is closed with unread bytes is reset, and what was sent but not yet read is gone."""

    @pytest.mark.parametrize("reason", ["drain", "max_requests", "keepalive"])
    def test_do_not_cut_the_last_response(self, serve: Serve, reason: str) -> None:
        settings = {"max_requests": {"max_requests": 1}, "keepalive": {"keepalive": 0}}.get(reason, {})
        server = serve("main:app", source=LARGE, graceful_timeout=GRACEFUL, **settings)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/first"))
            server.wait_trace("at gate")
            if reason == "drain":
                server.signal(signal.SIGTERM)
                wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            (server.directory / "gate").touch()
            server.wait_trace("blocking")
            client.send(request_bytes("GET", "/second"))
            time.sleep(1.0)  # for the server to close: a reset, if there is one, comes before the client reads
            response = client.read_response()
            assert len(response.body) == 4_000_000
            assert "close" in response.connection
            client.assert_closed()


class TestSuccession:
    def test_old_workers_serve_until_new_ones_are_up(self, serve: Serve) -> None:
        server = served_on_demand(serve)
        old = server.only_worker()
        server.signal(signal.SIGHUP)
        wait_until(lambda: imports(server) == 2, message="the new worker's import")
        time.sleep(0.3)  # TERM has long come; a worker that drains now leaves the clients to nobody
        assert [server.get("/pid").text for _ in range(3)] == [str(old)] * 3
        (server.directory / "boot").touch()
        server.wait_gone([old], QUICK)
        assert server.get("/pid").text != str(old)

    def test_workers_that_recycle_at_once_leave_no_gap(self, serve: Serve) -> None:
        server = served_on_demand(serve, workers=2, max_requests=5)
        time.sleep(0.6)  # a heartbeat: they know of each other
        first = server.worker_pids()
        pids = {server.get("/pid").text for _ in range(9)}
        wait_until(lambda: imports(server) == 3, QUICK, "the first successor's import")
        pids |= {server.get("/pid").text for _ in range(20)}
        assert pids <= set(map(str, first)), "the successor cannot answer yet"
        (server.directory / "boot").touch()
        server.wait_gone(first, QUICK)
        assert server.get("/pid").text not in map(str, first)

    def test_stop_does_not_wait_for_a_worker_that_boots(self, serve: Serve) -> None:
        """It is told to stop as well."""
        server = served_on_demand(serve)
        os.kill(server.only_worker(), signal.SIGKILL)
        wait_until(lambda: imports(server) == 2, message="the new worker's import")
        (server.directory / "boot").touch()
        assert server.stop(timeout=QUICK) == 0


class TestShutdownDelay:
    ENVIRONMENT = {"PRONGHORN_SHUTDOWN_DELAY": "3", "PRONGHORN_HEALTH_PATH": "/pid"}

    @pytest.fixture(autouse=True)
    def _pronghorn_only(self, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("only Pronghorn has these options")

    def test_serves_on_and_says_that_it_ends(self, serve: Serve) -> None:
        server = serve(workers=2, environment=self.ENVIRONMENT, graceful_timeout=GRACEFUL, keepalive=60)
        workers = server.worker_pids()
        with server.connect() as kept:
            assert kept.request("GET", "/").status == 200
            assert {server.get("/pid").text for _ in range(5)} <= set(map(str, workers))
            told = time.monotonic()
            for worker in workers:
                os.kill(worker, signal.SIGTERM)
            wait_until(lambda: server.get("/pid").status == 503, 2.5, "an unhealthy answer")
            assert server.get("/").status == 200
            response = kept.request("GET", "/")
            assert response.status == 200
            assert "close" in response.connection
            kept.assert_closed()
        server.wait_gone(workers)
        assert time.monotonic() - told >= 3

    def test_ends_early_when_others_serve_on(self, serve: Serve) -> None:
        environment = {**self.ENVIRONMENT, "PRONGHORN_SHUTDOWN_DELAY": "25"}
        server = serve(environment=environment, graceful_timeout=GRACEFUL)
        old = server.only_worker()
        server.signal(signal.SIGHUP)
        server.wait_gone([old], QUICK)
        assert server.get("/pid").status == 200

    def test_quit_does_not_wait(self, serve: Serve) -> None:
        environment = {**self.ENVIRONMENT, "PRONGHORN_SHUTDOWN_DELAY": "25"}
        server = serve(environment=environment, graceful_timeout=GRACEFUL)
        assert server.stop(signal.SIGQUIT, QUICK) == 0

    def test_that_leaves_no_time_for_requests(self, serve: Serve) -> None:
        server = serve(environment=self.ENVIRONMENT, graceful_timeout=5, ready=False)
        assert server.wait_exit() not in (0, None)
        assert "PRONGHORN_SHUTDOWN_DELAY='3' is not allowed" in server.log()


STREAMS = """
import asyncio
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    path = scope["path"]
    length = [(b"content-length", b"18")] if path == "/known" else []
    if path != "/late":
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"beginning", "more_body": True})
    trace("began", path)
    listening = asyncio.ensure_future(receive())
    await asyncio.wait([listening], timeout=4.5)
    trace(path, listening.result()["type"] if listening.done() else "in its own time")
    if path == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"beginning", "more_body": True})
    await send({"type": "http.response.body", "body": b"-the-end."})
"""


class TestStreams:
    def test_those_without_an_end_are_told_in_time(self, serve: Serve) -> None:
        """graceful_timeout is 6 s: told at 3.75 s, cancelled at 5 s; by itself the application goes on for 4.5 s."""
        server = serve("main:app", source=STREAMS, graceful_timeout=6)
        paths = ("/endless", "/known", "/late")
        clients = {path: server.connect() for path in paths}
        for path, client in clients.items():
            client.send(request_bytes("GET", path))
        for path in paths:
            server.wait_trace(f"began {path}")
        server.signal(signal.SIGTERM)
        for client in clients.values():
            assert client.read_response().text == "beginning-the-end."
            client.close()
        assert server.wait_exit() == 0
        server.wait_trace("/endless http.disconnect")
        server.wait_trace("/known in its own time")
        server.wait_trace("/late in its own time")


class TestOverload:
    def test_queue_and_refusal(self, serve: Serve, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("only Pronghorn has these options")
        environment = {"PRONGHORN_MAX_CONCURRENT_REQUESTS": "1", "PRONGHORN_MAX_QUEUED_REQUESTS": "1"}
        server = serve(environment=environment)
        with server.connect() as running, server.connect() as one, server.connect() as other:
            running.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            for client in (one, other):
                client.send(request_bytes("GET", "/"))
            (refused,) = wait_until(lambda: answered((one, other)), message="an answer to the one beyond the queue")
            response = refused.read_response()
            assert response.status == 503
            assert response.header("retry-after")
            (server.directory / "gate").touch()
            assert running.read_response().status == 200
            assert (one if refused is other else other).read_response().status == 200
            assert refused.request("GET", "/").status == 200, "there is room again, and the connection is kept"


def answered(clients: Sequence[RawClient]) -> list[RawClient]:
    """Those with something to read."""
    found, _, _ = select.select([client.sock for client in clients], [], [], 0)
    return [client for client in clients if client.sock in found]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_refused(server: GunicornServer) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


class TestLoad:
    """A short run under load, every answer checked; ``benchmarks/lifecycle`` is the long one."""

    @pytest.mark.parametrize("event", ["hup", "max_requests"])
    def test_nothing_is_lost(self, serve: Serve, event: str) -> None:
        settings = {"max_requests": 60, "max_requests_jitter": 30} if event == "max_requests" else {}
        server = serve(workers=2, keepalive=60, graceful_timeout=GRACEFUL, **settings)
        end = threading.Event()
        lost: list[str] = []
        answered: list[int] = []
        clients = [threading.Thread(target=ask, args=(server, end, kept, lost, answered)) for kept in (1, 1, 1, 0)]
        for client in clients:
            client.start()
        try:
            if event == "hup":
                for _ in range(2):
                    before = server.worker_pids()
                    server.signal(signal.SIGHUP)
                    server.wait_gone(before)
                    wait_until(lambda: len(server.accepting_pids()) == 2, message="two workers")
            else:
                wait_until(lambda: len(answered) > 600 or lost, 60, "600 answers")
        finally:
            end.set()
            for client in clients:
                client.join()
        assert lost == []
        assert answered


def ask(server: GunicornServer, end: threading.Event, kept: int, lost: list[str], answered: list[int]) -> None:
    """Ask again and again, on one connection as long as it lasts or on a new one each time."""
    client: RawClient | None = None
    while not end.is_set():
        try:
            if client is None:
                client = server.connect()
            response = client.request("GET", "/", *(() if kept else ("Connection: close",)))
            if response.status != 200 or response.body != b"Hello, world!":
                lost.append(f"{response.status} {response.body[:50]!r}")
            answered.append(1)
            if "close" in response.connection:
                client.close()
                client = None
        except Exception as error:
            lost.append(repr(error))
            client = None
        time.sleep(0.002)
    if client is not None:
        client.close()
