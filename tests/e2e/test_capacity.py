"""A worker that is full: idle connections make room, and otherwise the log says so, once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

FULL = r"\[WARNING\] Worker is full: 4 connections open \(worker_connections=4\), .* at least [12] waiting"
OVER = r"\[INFO\] Worker is no longer full, after \d+\.\d s"

SOURCE = """
import asyncio, pathlib

async def app(scope, receive, send):
    assert scope["type"] == "http"
    while scope["path"] == "/gate" and not pathlib.Path("open").exists():
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""


def is_closed(client: RawClient) -> bool:
    client.sock.setblocking(False)
    try:
        return client.sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_idle_connections_make_room_the_oldest_first(serve: Serve) -> None:
    server = serve(source=SOURCE, worker_connections=4, keepalive=60)
    with ExitStack() as stack:
        kept = []
        for _ in range(4):
            client = stack.enter_context(server.connect())
            assert client.request("GET", "/").status == 200
            kept.append(client)
        time.sleep(0.6)  # what is idle for how long is known to a quarter of a second
        assert kept[0].request("GET", "/").status == 200  # no longer the oldest
        for _ in range(2):
            late = stack.enter_context(server.connect())
            assert late.request("GET", "/").status == 200
        assert kept[0].request("GET", "/").status == 200
        closed = [client for client in kept[1:] if is_closed(client)]
        assert len(closed) == 2
    assert "Worker is full" not in server.log()


def test_refusals_of_an_overload_are_two_lines(serve: Serve) -> None:
    environment = {"PRONGHORN_MAX_CONCURRENT_REQUESTS": "1", "PRONGHORN_MAX_QUEUED_REQUESTS": "0"}
    server = serve(source=SOURCE, environment=environment)
    with server.connect() as busy:
        busy.send(request_bytes("GET", "/gate"))
        wait_until(lambda: server.get("/").status == 503)
        for _ in range(20):
            assert server.get("/").status == 503
        (server.directory / "open").touch()
        assert busy.read_response().status == 200
    server.wait_log(r"\[INFO\] Requests are no longer refused: 21 got 503 in \d+\.\d s")
    figures = r"1 under way \(max_concurrent_requests=1\) and 0 waiting \(max_queued_requests=0\)"
    assert len(re.findall(rf"\[WARNING\] Requests are refused with 503: {figures}", server.log())) == 1


def test_a_full_worker_says_so_once(serve: Serve) -> None:
    server = serve(source=SOURCE, worker_connections=4, keepalive=60)
    with ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(4)]
        for client in busy:
            client.send(request_bytes("GET", "/gate"))
        late = [stack.enter_context(server.connect()) for _ in range(2)]
        for client in late:
            client.send(request_bytes("GET", "/"))
        server.wait_log(FULL)
        (server.directory / "open").touch()
        for client in busy + late:
            assert client.read_response().status == 200
        server.wait_log(OVER)
    assert len(re.findall("Worker is ", server.log())) == 2
