"""A worker hears its own signals, and those only: whatever processes and handlers an application makes."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.support.server import GunicornServer

CHILDREN = """
import asyncio, multiprocessing, os, signal, subprocess, sys, time

fork = multiprocessing.get_context("fork")


def sleeps():
    time.sleep(120)


def process():
    child = fork.Process(target=sleeps)
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def pool():
    with fork.Pool(2) as workers:
        workers.map(abs, [1, 2])
        pids = [process.pid for process in workers._pool]
    return -signal.SIGTERM if pids else 0


def plain(number=signal.SIGTERM):
    pid = os.fork()
    if not pid:
        try:
            time.sleep(120)
        finally:
            os._exit(1)
    os.kill(pid, number)
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def quit():
    return plain(signal.SIGQUIT) - signal.SIGTERM + signal.SIGQUIT


def usr1():
    return plain(signal.SIGUSR1) - signal.SIGTERM + signal.SIGUSR1


def with_preexec():
    child = subprocess.Popen(["sleep", "120"], preexec_fn=int)
    child.terminate()
    return child.wait()


async def app(scope, receive, send):
    kind, _, where = scope["path"][1:].partition("/")
    if kind == "pid":
        code = 0
    elif where == "thread":
        code = await asyncio.to_thread(globals()[kind])
    else:
        code = globals()[kind]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{code} {os.getpid()}".encode()})
"""
KINDS = ("process", "pool", "plain", "quit", "usr1", "with_preexec")


@pytest.fixture(params=["asyncio", "uvloop"])
def start(serve: Serve, request: pytest.FixtureRequest) -> Serve:
    def started(source: str, **settings: Any) -> GunicornServer:
        return serve(source=source, environment={"PRONGHORN_LOOP": request.param}, **settings)

    return started


def test_signals_of_forked_children_are_their_own(start: Serve) -> None:
    """They inherit the descriptor that wakes the loop when a signal comes, and all handlers."""
    server = start(CHILDREN, raw_env=["PRONGHORN_LIFESPAN=off"])
    worker = server.only_worker()
    for where in ("loop", "thread"):
        for _ in range(2):
            for kind in KINDS:
                code, pid = server.get(f"/{kind}/{where}").text.split()
                assert (int(code), int(pid)) == (-signal.SIGTERM, worker), (kind, where, server.log())
    assert server.get("/pid").text == f"0 {worker}"
    assert server.only_worker() == worker
    assert server.log().count("Booting worker") == 1
    os.kill(worker, signal.SIGTERM)
    server.wait_gone([worker])


REPLACED = """
import asyncio, signal
from tests.e2e.apps.trace import trace


def theirs(*args):
    trace("theirs")


def through_loop():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, theirs)


def through_signal():
    signal.signal(signal.SIGTERM, theirs)


def removed():
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


def failing():
    def handler(number, frame):
        trace("theirs")
        raise SystemExit(5)
    signal.signal(signal.SIGTERM, handler)


if WHEN == "import":
    HOW()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if WHEN == "startup":
            HOW()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        trace("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/replace":
        HOW()
    elif scope["path"] == "/slow":
        trace("begun")
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})
"""


@pytest.mark.parametrize(
    ("how", "when"),
    [
        ("through_signal", "import"),
        ("through_signal", "startup"),
        ("through_loop", "startup"),
        ("through_loop", "request"),
        ("failing", "request"),
        ("removed", "request"),
    ],
)
def test_an_application_with_a_handler_of_its_own(start: Serve, how: str, when: str) -> None:
    """The worker drains all the same, theirs is called as well, and the log has one line."""
    server = start(f"HOW = lambda: {how}()\nWHEN = {when!r}\n{REPLACED}")
    worker = server.only_worker()
    if when == "request":
        assert server.get("/replace").status == 200
    server.wait_log("The application has .* SIGTERM")
    with server.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_trace("begun")
        os.kill(worker, signal.SIGTERM)
        assert client.read_response().text == "whole"
    server.wait_trace("shutdown")
    server.wait_gone([worker])
    assert (f"theirs {worker}" in server.traced()) is (how != "removed")
    log = server.log()
    # Its successor, which may have booted by now, has a line of its own.
    assert len(re.findall(rf"\[{worker}\].*The application has .* SIGTERM", log)) == 1
    assert "exited with code" not in log
    assert "Traceback" not in log or how == "failing", log


BUSY = """
import threading, time

def spin():
    while True:
        time.sleep(0)

for _ in range(3):
    threading.Thread(target=spin, daemon=True).start()

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_its_own_signals_reach_it_beside_busy_threads(start: Serve) -> None:
    server = start(BUSY, raw_env=["PRONGHORN_LIFESPAN=off"])
    worker = server.only_worker()
    os.kill(worker, signal.SIGTERM)
    server.wait_gone([worker])
    assert "SIGKILL" not in server.log()
