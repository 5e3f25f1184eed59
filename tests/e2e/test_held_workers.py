"""Workers that something holds when they are to be replaced: streams, long requests, child processes, exit handlers."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

SOURCE = """
import asyncio, os
from tests.e2e.apps.trace import trace

VERSION = "old"


async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"]
    if path in ("/events", "/deaf"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
        trace("streaming")
        await receive()
        if path == "/deaf":
            await asyncio.sleep(600)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"data: end\\n\\n"})
        return
    if path == "/slow":
        trace("slow")
        await asyncio.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{VERSION} {os.getpid()}".encode()})
"""
#: Far more than any of these tests may take: whoever waits for it fails.
GRACEFUL = 120


def stream(server: GunicornServer, path: str) -> Any:
    client = server.connect()
    client.send(request_bytes("GET", path))
    server.wait_trace("streaming")
    return client


@pytest.mark.parametrize("path", ["/events", "/deaf"])
def test_new_code_does_not_wait_for_streams(serve: Serve, path: str) -> None:
    server = serve(source=SOURCE, reload=True, reload_engine="poll", graceful_timeout=GRACEFUL, timeout=GRACEFUL)
    with stream(server, path) as client:
        time.sleep(1.1)  # the poller remembers a file's time when it first looks, about once a second
        server.write_source(SOURCE.replace('"old"', '"new"'))
        server.wait_log("Worker reloading")
        wait_until(lambda: server.get("/").text.startswith("new"), 20, server.log)
        data = client.read_until_closed()
        assert (b"data: end" in data) is (path == "/events")


@pytest.mark.parametrize("path", ["/events", "/deaf"])
def test_the_only_worker_does_not_leave_a_gap_for_a_stream(serve: Serve, path: str) -> None:
    server = serve(source=SOURCE, max_requests=3, graceful_timeout=GRACEFUL, timeout=GRACEFUL)
    first = server.only_worker()
    with stream(server, path):
        for _ in range(2):
            server.get("/")
        server.wait_log("Autorestarting worker")
        answer = server.get("/")  # waits in the backlog, for the successor
        assert answer.status == 200
        assert int(answer.text.split()[1]) != first


def test_the_only_worker_goes_on_while_a_long_request_is_under_way(serve: Serve) -> None:
    server = serve(source=SOURCE, max_requests=2, graceful_timeout=GRACEFUL, timeout=GRACEFUL)
    first = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/slow"))
        server.wait_trace("slow")
        time.sleep(1.2)  # only what takes longer than a second is a long request
        server.get("/")
        server.wait_log("Autorestarting worker")
        assert server.get("/").text == f"old {first}"
        assert client.read_response().text == f"old {first}"
    server.wait_gone([first])
    server.wait_ready()
    assert server.get("/").text.split()[1] != str(first)


HOLDS = """
import atexit, multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor

fork = multiprocessing.get_context("fork")


def child():
    held = fork.Process(target=time.sleep, args=(60,), name="importer")
    held.start()


def pool():
    global executor
    executor = ProcessPoolExecutor(1, mp_context=fork)
    executor.submit(time.sleep, 60)


def handler():
    atexit.register(time.sleep, 60)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    globals()[scope["path"][1:]]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.parametrize(
    ("hold", "line"),
    [
        ("child", r"Ending without child process\(es\) that do not end: importer \(pid \d+\)"),
        ("pool", r"Ending without thread\(s\) that do not end: .*"),
        ("handler", r"Ending without exit handlers \(atexit\) that do not return"),
    ],
)
def test_what_does_not_end_is_left_behind_in_time(serve: Serve, hold: str, line: str) -> None:
    server = serve(source=HOLDS, graceful_timeout=3, timeout=GRACEFUL, workers=1)
    assert server.get(f"/{hold}").status == 200
    assert server.stop() == 0
    assert len(re.findall(line, server.log())) == 1, server.log()
    assert "SIGKILL" not in server.log()
