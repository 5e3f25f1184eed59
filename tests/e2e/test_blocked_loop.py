"""A loop that does not turn: what the log says of it, and that Gunicorn's hooks still run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.e2e.apps.trace import HOOKS
from tests.support.raw import request_bytes
from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

ENDS = ("worker_abort", "worker_exit", "atexit")
QUICK = 15.0


def test_the_log_names_the_line_and_the_requests_before_the_end(serve: Serve) -> None:
    server = serve(config=HOOKS, timeout=5)
    worker = server.only_worker()
    with server.connect() as waiting, server.connect() as client:
        waiting.send(request_bytes("GET", "/hold?who=waits"))
        server.wait_trace("at hold")
        client.send(request_bytes("GET", "/block?seconds=60"))
        server.wait_trace("blocking")
        server.wait_log(rf"WORKER TIMEOUT \(pid:{worker}\)", 20)
        server.wait_gone([worker], QUICK)
        log = server.log()
        report = log[log.index("Gunicorn ends it after timeout=5") : log.index("WORKER TIMEOUT")]
        assert "time.sleep(float(exchange.query" in report
        assert "Requests under way (2)" in report
        assert f"GET '/hold?who=waits' from 127.0.0.1:{waiting.port}" in report
        assert f"GET '/block?seconds=60' from 127.0.0.1:{client.port}" in report
    events = server.traced_by(worker)
    assert [event for event in events if event in ENDS] == list(ENDS)
    assert "told to abort" in server.log()
    assert "SIGKILL" not in server.log()


def test_a_worker_with_other_requests_runs_its_hooks_in_time(serve: Serve) -> None:
    """Gunicorn sends SIGKILL a second after SIGABRT, whatever else is under way."""
    server = serve(config=HOOKS, timeout=2, graceful_timeout=60, environment={"SHUTDOWN_SECONDS": "60"})
    worker = server.only_worker()
    with server.connect() as waiting, server.connect() as client:
        waiting.send(request_bytes("GET", "/hold"))
        server.wait_trace("at hold")
        client.send(request_bytes("GET", "/block"))
        server.wait_trace("blocking")
        server.wait_gone([worker], QUICK)
    assert "cancelled" in server.traced_by(worker)
    assert [event for event in server.traced_by(worker) if event in ENDS] == list(ENDS)
    assert "SIGKILL" not in server.log()


def test_an_application_that_catches_everything(serve: Serve) -> None:
    """SystemExit is raised in whatever code is running; where that swallows it, the worker ends all the same."""
    source = (
        "import time\n"
        "from tests.e2e.apps.trace import trace\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    try:\n"
        "        trace('blocking')\n"
        "        time.sleep(60)\n"
        "    except BaseException as error:\n"
        "        trace('swallowed', type(error).__name__)\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'still here'})\n"
    )
    server = serve(source=source, config=HOOKS, timeout=2, graceful_timeout=60)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/"))
        server.wait_trace("blocking")
        server.wait_gone([worker], QUICK)
    assert server.traced_by(worker) == ["blocking", "worker_abort", "swallowed SystemExit", "worker_exit"]
    assert "SIGKILL" not in server.log()


def test_abort_of_a_worker_that_is_well(serve: Serve) -> None:
    server = serve(config=HOOKS)
    worker = server.only_worker()
    os.kill(worker, signal.SIGABRT)
    server.wait_gone([worker], QUICK)
    assert [event for event in server.traced_by(worker) if event in ENDS] == list(ENDS)
    assert server.get("/").status == 200


def test_a_block_that_ends_is_reported_with_its_place(serve: Serve) -> None:
    server = serve()
    assert server.get("/block?seconds=2.5").text == "unblocked"
    server.wait_log("Event loop has been blocked for")
    server.wait_log("Event loop turns again, after")
    assert "time.sleep(float(exchange.query" in server.log()
    assert "run_until_complete" not in server.log(), "the stack begins with the application"


def test_the_warning_can_be_switched_off(serve: Serve) -> None:
    server = serve(environment={"PRONGHORN_BLOCKED_LOOP_WARNING": "0"})
    assert server.get("/block?seconds=2").text == "unblocked"
    assert server.get("/").status == 200
    assert "blocked" not in server.log()


def test_the_log_names_the_request_whose_client_has_left(serve: Serve) -> None:
    """Its connection is gone; its application is what blocks."""
    source = (
        "import time\n"
        "from tests.e2e.apps.trace import trace\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    trace('begun')\n"
        "    while (await receive())['type'] != 'http.disconnect':\n"
        "        pass\n"
        "    trace('blocking')\n"
        "    time.sleep(60)\n"
    )
    server = serve(source=source, timeout=5)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("POST", "/left", body=b"x"))
        server.wait_trace("begun")
        client.reset()
    server.wait_trace("blocking")
    server.wait_gone([worker], 20)
    assert "Requests under way (1)" in server.log()
    assert "POST '/left' from 127.0.0.1" in server.log()
