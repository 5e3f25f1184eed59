"""Ends that somebody tries to prevent: applications that ignore cancellation, hooks without an end, stuck threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.e2e.apps.trace import HOOKS
from tests.support.raw import NoResponse, request_bytes
from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

GRACEFUL = 60
QUICK = 8.0  # far from GRACEFUL; a second is meant

#: Clings to life in every way that ASGI has.
STUBBORN = """
import asyncio, threading, time
from tests.e2e.apps.trace import trace

async def cling():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            trace("ignored a cancellation")

async def numbers():
    try:
        yield 1
    finally:
        await cling()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        trace("shutdown")
        await cling()
    elif scope["path"] == "/request":
        trace("began")
        await cling()
    elif scope["path"] == "/thread":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 300)
        threading.Thread(target=time.sleep, args=(300,), name="stuck").start()
        await answer(send)
    else:
        app.task = asyncio.ensure_future(cling())
        app.generator = numbers()
        await app.generator.__anext__()
        await answer(send)

async def answer(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


class TestQuit:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    def test_is_not_prevented(self, serve: Serve, number: int) -> None:
        server = serve(source=STUBBORN, config=HOOKS, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/request"))
            server.wait_trace("began")
            server.get("/task")
            server.get("/thread")
            assert server.stop(number, QUICK) == 0
        events = server.traced_by(worker)
        assert events[0] == "began"
        assert events.count("worker_int") == 1
        assert events.index("worker_int") < events.index("shutdown") < events.index("worker_exit")
        assert "SIGKILL" not in server.log()

    def test_after_term(self, serve: Serve) -> None:
        """Somebody loses patience while the worker drains."""
        server = serve(source=STUBBORN, config=HOOKS, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/request"))
            server.wait_trace("began")
            os.kill(worker, signal.SIGTERM)
            os.kill(worker, signal.SIGQUIT)
            server.wait_gone([worker], QUICK)
        assert "worker_exit" in server.traced_by(worker)

    def test_while_the_application_starts(self, serve: Serve) -> None:
        server = serve(
            "tests.e2e.apps.promises:app",
            config=HOOKS,
            environment={"STARTUP_SECONDS": "300"},
            ready=False,
            graceful_timeout=GRACEFUL,
        )
        server.wait_trace("starting", 20)
        assert server.stop(signal.SIGINT, QUICK) == 0
        (worker,) = {line.rpartition(" ")[2] for line in server.traced() if line.startswith("starting")}
        assert [event for event in server.traced_by(int(worker)) if event.startswith("worker_")] == [
            "worker_int",
            "worker_exit",
        ]


class TestStuckThreads:
    def test_do_not_outlive_graceful_timeout(self, serve: Serve) -> None:
        """After SIGHUP the master sends no SIGKILL."""
        server = serve(source=STUBBORN.replace("await cling()", "pass"), config=HOOKS, graceful_timeout=2, timeout=0)
        worker = server.only_worker()
        assert server.get("/thread").body == b"done"
        server.signal(signal.SIGHUP)
        server.wait_gone([worker], QUICK)
        assert "worker_exit" in server.traced_by(worker)
        server.wait_log("Ending without thread.s. that do not end: .*stuck")

    def test_of_a_worker_that_is_replaced(self, serve: Serve) -> None:
        server = serve(source=STUBBORN.replace("await cling()", "pass"), max_requests=1, graceful_timeout=2)
        worker = server.only_worker()
        server.get("/thread")
        server.wait_gone([worker], QUICK)
        server.wait_ready()


class TestBoot:
    """What fails before a worker serves stops the server: another worker would fail as well, and so on for ever."""

    def test_startup_that_exits(self, serve: Serve) -> None:
        source = "import sys\nasync def app(scope, receive, send):\n    await receive()\n    sys.exit(1)\n"
        server = serve(source=source, ready=False)
        assert server.wait_exit() == 3
        assert server.log().count("Booting worker") == 1
        assert "could not begin to serve" in server.log()

    def test_sockets_that_are_none(self, serve: Serve) -> None:
        config = (
            "def post_worker_init(worker):\n"
            "    worker.sockets = [object()]\n"
        )
        server = serve(config=config, ready=False)
        assert server.wait_exit() == 3
        assert server.log().count("Booting worker") == 1
        assert "could not begin to serve" in server.log()

    def test_a_crash_while_serving_is_one_worker_s_and_another_starts(self, serve: Serve) -> None:
        """An application that ends the process takes its worker with it, not the server."""
        source = (
            "import os\n"
            "async def app(scope, receive, send):\n"
            "    assert scope['type'] == 'http'\n"
            "    if scope['path'] == '/exit':\n        os._exit(7)\n"
            "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
            "    await send({'type': 'http.response.body', 'body': b'served'})\n"
        )
        server = serve(source=source)
        worker = server.only_worker()
        with pytest.raises((NoResponse, ConnectionResetError)):
            server.get("/exit")
        server.wait_gone([worker])
        server.wait_ready()
        assert server.get("/").body == b"served"

    def test_orphan_while_the_application_starts(self, serve: Serve) -> None:
        server = serve(
            "tests.e2e.apps.promises:app",
            environment={"STARTUP_SECONDS": "300"},
            ready=False,
            graceful_timeout=GRACEFUL,
        )
        server.wait_trace("starting", 20)
        workers = server.worker_pids()
        server.signal(signal.SIGKILL)
        server.wait_gone(workers, QUICK)
