"""Long and large: a gibibyte each way, events for ten minutes, long polls, clients that leave by the thousand.

What is looked at is the worker's memory, tasks and descriptors before and after, and its log. Figures are printed:
``tox -e endurance -- -s``.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

MIB = 1 << 20
SIZE = int(os.environ.get("ENDURANCE_SIZE", 1 << 30))
SECONDS = float(os.environ.get("ENDURANCE_SECONDS", 600))
CLIENTS = int(os.environ.get("ENDURANCE_CLIENTS", 10_000))
#: What a worker's memory may grow by while content of any size passes through it.
MOST_GROWTH = 16 * MIB

pytestmark = pytest.mark.timeout(SECONDS + 600)


@pytest.fixture
def server(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[GunicornServer]:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(64 * MIB)
    environment = {"SIZE": str(SIZE), "FILE": str(file)}
    with GunicornServer(
        "tests.endurance.app:app",
        tmp_path,
        worker_class=pytestconfig.getoption("--worker-class"),
        environment=environment,
        accesslog=str(tmp_path / "access.log"),
        worker_connections=4000,
    ) as running:
        yield running


def resident(server: GunicornServer) -> int:
    (pid,) = server.worker_pids()
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) * 1024


def peak(server: GunicornServer) -> int:
    (pid,) = server.worker_pids()
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) * 1024


def state(server: GunicornServer) -> tuple[int, int, int]:
    """Tasks, descriptors and objects of the worker."""
    tasks, descriptors, objects = map(int, server.get("/state").text.split())
    return tasks, descriptors, objects


def assert_quiet(server: GunicornServer) -> None:
    """Nothing was logged but the start."""
    lines = [line for line in server.log().splitlines() if re.search(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback", line)]
    assert [line for line in lines if "runs uncompiled" not in line] == []


def test_a_gibibyte_down(server: GunicornServer) -> None:
    server.get("/state")
    before = resident(server)
    started = time.monotonic()
    with server.connect(timeout=300.0) as client:
        client.send(request_bytes("GET", "/download"))
        client.read_until(b"\r\n\r\n")
        left = SIZE - len(client.unread)
        while left:
            left -= len(client.sock.recv(MIB))
    grown = peak(server) - before
    print(f"\ndown: {SIZE / MIB:.0f} MiB in {time.monotonic() - started:.1f} s, memory + {grown / MIB:.1f} MiB")
    assert grown < MOST_GROWTH
    assert_quiet(server)


def test_a_gibibyte_up(server: GunicornServer) -> None:
    server.get("/state")
    before = resident(server)
    started = time.monotonic()
    block = bytes(MIB)
    with server.connect(timeout=300.0) as client:
        client.send(f"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // MIB):
            client.sock.sendall(block)
        assert client.read_response().text == str(SIZE)
    grown = peak(server) - before
    print(f"\nup: {SIZE / MIB:.0f} MiB in {time.monotonic() - started:.1f} s, memory + {grown / MIB:.1f} MiB")
    assert grown < MOST_GROWTH
    assert_quiet(server)


def test_events_and_long_polls(server: GunicornServer) -> None:
    """Twenty clients listen to events all the time; ten poll for twenty seconds each, again and again."""
    server.get("/state")
    before = resident(server)
    until = time.monotonic() + SECONDS

    def listen(_: int) -> int:
        with server.connect(timeout=60.0) as client:
            client.send(request_bytes("GET", "/events"))
            client.read_until(b"\r\n\r\n")
            number = 0
            while time.monotonic() < until:
                client.read_until(b"data: %d\n\n" % number)
                number += 1
            return number

    def poll(_: int) -> int:
        polls = 0
        with server.connect(timeout=60.0) as client:
            while not polls or time.monotonic() + 20 < until:
                assert client.request("GET", "/poll").text == "news"
                polls += 1
        return polls

    with ThreadPoolExecutor(30) as pool:
        listening = [pool.submit(listen, number) for number in range(20)]
        polling = [pool.submit(poll, number) for number in range(10)]
        events = [one.result() for one in listening]
        polls = [one.result() for one in polling]
    grown = peak(server) - before
    print(f"\n{SECONDS:.0f} s: {sum(events)} events, {sum(polls)} polls, memory + {grown / MIB:.1f} MiB")
    assert min(events) > SECONDS  # ten a second are sent; a busy machine may be late
    assert grown < MOST_GROWTH
    assert_quiet(server)


def leave(server: GunicornServer, way: int) -> None:
    """One client that leaves in the middle of its request, of a response, or while it waits for one."""
    request = [
        b"GET /st",
        request_bytes("POST", "/upload", body=b"x" * 100_000)[:-50_000],
        b"POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        request_bytes("GET", "/download"),
        request_bytes("GET", "/events"),
        request_bytes("GET", "/poll"),
        request_bytes("GET", "/file"),
        request_bytes("GET", "/file") + request_bytes("GET", "/download"),
    ][way % 8]
    client = RawClient(server.address, timeout=60.0)
    try:
        client.send(request)
        if way % 8 in (3, 4, 6, 7):
            client.sock.recv(1000)
        if way % 3 == 0:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
    finally:
        client.close()


def test_disconnect_storm(server: GunicornServer) -> None:
    idle = state(server)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda way: leave(server, way), range(400)))  # caches fill, pools start
    settled = wait_settled(server, idle)
    before = resident(server)
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda way: leave(server, way), range(CLIENTS)))
    seconds = time.monotonic() - started
    after = wait_settled(server, settled)
    grown = resident(server) - before
    print(f"\n{CLIENTS} clients left in {seconds:.1f} s; tasks, descriptors, objects {settled} before, {after} after;")
    print(f"memory {before / MIB:.1f} MiB before, + {grown / MIB:.1f} MiB")
    assert after[2] < settled[2] + 500
    assert grown < MOST_GROWTH
    assert_quiet(server)


def wait_settled(server: GunicornServer, idle: tuple[int, int, int]) -> tuple[int, int, int]:
    """The state once there are no more tasks and descriptors than in ``idle``."""
    seen = idle

    def look() -> tuple[int, int, int] | None:
        nonlocal seen
        seen = state(server)
        return seen if seen[:2] <= idle[:2] and seen[1] <= idle[1] else None

    found = wait_until(look, 60.0, lambda: f"{idle}, still {seen}")
    assert found is not None
    return found
