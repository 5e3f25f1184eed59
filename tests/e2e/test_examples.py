"""The example of the repository as its README starts it: ``gunicorn main:app`` with ``gunicorn.conf.py``."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw import RawClient, request_bytes
from tests.support.server import ROOT, GunicornServer
from tests.support.wait import wait_until

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")

EXAMPLES = ROOT / "examples"
CURL_LINE = re.compile(r"^curl (.*?)http://127\.0\.0\.1:8000(\S*)", re.MULTILINE)


@pytest.fixture(scope="module")
def example(worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    with GunicornServer(
        "main:app",
        tmp_path_factory.mktemp("example"),
        worker_class=worker_class,
        config_file=EXAMPLES / "gunicorn.conf.py",
        args=["--chdir", str(EXAMPLES)],
        environment={"WORKERS": "2", "BIND": "127.0.0.1:0", "PYTHONDONTWRITEBYTECODE": "1"},
    ) as running:
        yield running


def test_root(example: GunicornServer) -> None:
    document = example.get("/").json()
    assert document["message"] == "Hello from Pronghorn"
    assert document["pid"] in example.worker_pids()


def test_both_workers_answer(example: GunicornServer) -> None:
    seen: set[int] = set()
    wait_until(
        lambda: seen.add(example.get("/").json()["pid"]) or seen == set(example.worker_pids()),
        message=lambda: f"answers of {example.worker_pids()}, only {seen} answered",
    )


def test_health(example: GunicornServer) -> None:
    document = example.get("/health").json()
    assert document["status"] == "ok"
    assert document["uptime"] >= 0


def test_slow(example: GunicornServer) -> None:
    assert example.get("/slow?seconds=0.2").json()["waited"] == 0.2
    parameters = example.get("/openapi.json").json()["paths"]["/slow"]["get"]["parameters"]
    assert [one["schema"]["default"] for one in parameters] == [5.0]


def burst(example: GunicornServer, count: int, wait: float) -> tuple[float, set[int]]:
    """Send ``count`` slow requests at once, each on its own connection; seconds taken, and who answered."""
    clients = [RawClient(example.address, timeout=40) for _ in range(count)]
    started = time.monotonic()
    try:
        for client in clients:
            client.send(request_bytes("GET", f"/slow?seconds={wait}"))
        pids = {client.read_response().json()["pid"] for client in clients}
    finally:
        for client in clients:
            client.close()
    return time.monotonic() - started, pids


def test_fifty_slow_requests_at_once(example: GunicornServer) -> None:
    """All wait at the same time, in both workers."""
    seconds, pids = burst(example, 50, wait=2.0)
    assert seconds < 10, "one after the other they would take 100 seconds"
    for _ in range(5):  # on a machine that is busy enough one worker can be away for a whole burst
        pids |= burst(example, 50, wait=0.2)[1]
    assert pids == set(example.worker_pids())


def test_blocking(example: GunicornServer) -> None:
    """It blocks a thread, not the worker."""
    with example.connect() as client:
        assert client.request("GET", "/blocking?seconds=0.1").json()["blocked"] == 0.1
    assert example.get("/blocking?seconds=11").status == 422, "the wait is bounded"


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_upload(example: GunicornServer, size: int) -> None:
    body = os.urandom(size)
    with example.connect() as client:
        document = client.request("POST", "/upload", body=body).json()
    assert (document["size"], document["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_upload_form(example: GunicornServer) -> None:
    content = os.urandom(100_000)
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--edge--\r\n"
    )
    with example.connect() as client:
        response = client.request("POST", "/upload/form", "Content-Type: multipart/form-data; boundary=edge", body=body)
    assert response.json()["filename"] == "a.bin"
    assert response.json()["sha256"] == hashlib.sha256(content).hexdigest()


def test_stream(example: GunicornServer) -> None:
    with example.connect() as client:
        response = client.request("GET", "/stream?lines=3&delay=0.05")
    assert response.framing == "chunked"
    assert response.parts == [b"line 1 of 3\n", b"line 2 of 3\n", b"line 3 of 3\n"]


def test_events(example: GunicornServer) -> None:
    with example.connect() as client:
        client.send(request_bytes("GET", "/events?count=2&delay=0.3"))
        head = client.read_until(b"\r\n\r\n").lower()
        assert b"content-type: text/event-stream" in head
        assert b"cache-control: no-store" in head
        first = client.read_until(b"\n\n")
        assert b"id: 1\n" in first
        assert b"id: 2" not in first
        assert b'"number": 2' in client.read_until(b"0\r\n\r\n")


def test_the_readme_names_every_route(example: GunicornServer) -> None:
    """Each curl line of the README answers, and no route of the application is missing there."""
    lines = CURL_LINE.findall((EXAMPLES / "README.md").read_text())
    paths = {target for _, target in lines}
    assert paths == set(example.get("/openapi.json").json()["paths"])
    for options, target in lines:
        if "-T" not in options and "-F" not in options:
            quick = "?seconds=0.1" if target in ("/slow", "/blocking") else "?delay=0"
            assert example.get(target + quick).status == 200


def test_access_log_format(example: GunicornServer) -> None:
    example.get("/?logged", "User-Agent: probe/1", "X-Request-Id: abc", "X-Forwarded-For: 192.0.2.1")
    example.wait_log(
        r'^\[[^]]+\] peer=127\.0\.0\.1 client=192\.0\.2\.1 "GET /\?logged HTTP/1\.1" 200 \d+ \d+ms "probe/1"'
        r" id=abc pid=<\d+>$"
    )


def test_nothing_failed(example: GunicornServer) -> None:
    """The last of this module's tests on the shared server."""
    assert "Traceback" not in example.log()
    assert "[ERROR]" not in example.log()


def test_ends_in_order(worker_class: str, tmp_path: Path) -> None:
    """The issue's demonstration: a killed worker is replaced, TERM answers what is in flight and exits with 0."""
    with GunicornServer(
        "main:app",
        tmp_path,
        worker_class=worker_class,
        config_file=EXAMPLES / "gunicorn.conf.py",
        args=["--chdir", str(EXAMPLES)],
        environment={"WORKERS": "2", "BIND": f"unix:{tmp_path / 'socket'}", "PYTHONDONTWRITEBYTECODE": "1"},
    ) as running:
        victim = running.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        running.wait_gone([victim])
        wait_until(lambda: len(running.accepting_pids()) == 2, message="two accepting workers again")
        with running.connect() as client:
            client.send(request_bytes("GET", "/slow?seconds=1"))
            time.sleep(0.3)  # the example traces nothing: give the request time to arrive before the TERM
            running.signal(signal.SIGTERM)
            assert client.read_response().json()["waited"] == 1
        assert running.wait_exit() == 0
