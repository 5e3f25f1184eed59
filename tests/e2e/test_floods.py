"""Peers that send too much, too slowly or do not read: what they cost is bounded, in memory and in time."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.raw import RawClient, chunked, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

SOURCE = """
import asyncio, pathlib

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    size = 0
    if scope["path"] == "/gate":
        while not pathlib.Path("open").exists():
            await asyncio.sleep(0.02)
    if scope["path"] == "/sleep":
        await asyncio.sleep(60)
    more = scope["method"] == "POST"
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event["body"])
        more = event["more_body"]
    if scope["path"] == "/large":
        size = 50_000_000
    body = b"x" * size if scope["path"] == "/large" else b"%d" % size
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    for at in range(0, len(body), 65536):
        await send({"type": "http.response.body", "body": body[at : at + 65536], "more_body": True})
    await send({"type": "http.response.body"})
"""
MEGABYTE = 1024 * 1024
#: Far above what one connection may hold, far below what is sent.
MOST_GROWTH = 12 * MEGABYTE
Serve = Callable[..., GunicornServer]


def most_resident(server: GunicornServer) -> int:
    """The most memory that the worker ever had, in bytes."""
    (worker,) = server.worker_pids()
    status = Path(f"/proc/{worker}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def send_until_blocked(client: RawClient, data: bytes) -> int:
    """Send as much as the peer and the kernel take; return how much that was."""
    sent = 0
    client.sock.settimeout(2.0)
    try:
        while sent < len(data):
            sent += client.sock.send(data[sent : sent + MEGABYTE])
    except TimeoutError:
        pass
    return sent


def test_a_slow_application_stops_the_socket_being_read(serve: Serve) -> None:
    server = serve(source=SOURCE)
    before = most_resident(server)
    size = 64 * MEGABYTE
    data = b"POST /gate HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    with server.connect(timeout=60) as client:
        sent = send_until_blocked(client, data)
        assert sent < len(data), "the worker read what the application had no time for"
        assert most_resident(server) - before < MOST_GROWTH
        (server.directory / "open").touch()
        client.send(data[sent:])
        assert client.read_response().body == b"%d" % size
    assert most_resident(server) - before < MOST_GROWTH


def test_a_hundred_thousand_pipelined_requests(serve: Serve) -> None:
    """Sent at once by a client that reads only when it cannot send any more: all answered, in bounded memory."""
    server = serve(source=SOURCE)
    before = most_resident(server)
    count = 100_000
    with server.connect(timeout=100) as client:
        data = request_bytes("GET", "/") * count
        sent = send_until_blocked(client, data)
        assert server.get("/").status == 200
        assert most_resident(server) - before < MOST_GROWTH
        sender = threading.Thread(target=client.sock.sendall, args=(data[sent:],))
        client.sock.settimeout(client.timeout)
        sender.start()
        answered, left = 0, b""
        while answered < count:
            received = left + client.sock.recv(MEGABYTE)
            assert len(received) > len(left), "closed amid the responses"
            answered += received.count(b"\r\n\r\n")
            left = received[-3:]
        sender.join()
    assert answered == count
    assert most_resident(server) - before < MOST_GROWTH


def test_chunked_content_over_the_limit(serve: Serve) -> None:
    server = serve(source=SOURCE, environment={"PRONGHORN_MAX_BODY_SIZE": "100000"})
    head = request_bytes("POST", "/", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    with server.connect() as client:
        client.send(head + chunked(bytes(60_000), bytes(40_000)))
        assert client.read_response().body == b"100000"
        client.send_until_refused(head + chunked(bytes(60_000), bytes(40_001), bytes(1000)))
        assert client.read_response().status == 413
        client.assert_closed()
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100001\r\n\r\n")  # and nothing of it
        assert client.read_response().status == 413
        client.assert_closed()


@pytest.fixture(scope="module")
def hasty(worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A server with deadlines of a second, and three for a whole request."""
    names = ("HEADER", "BODY", "WRITE")
    environment = {f"PRONGHORN_{name}_TIMEOUT": "1" for name in names} | {"PRONGHORN_REQUEST_TIMEOUT": "3"}
    directory = tmp_path_factory.mktemp("hasty")
    with GunicornServer("", directory, worker_class=worker_class, source=SOURCE, environment=environment) as running:
        yield running


class TestDeadlines:
    def test_a_silent_connection_is_closed(self, hasty: GunicornServer) -> None:
        with hasty.connect() as client:
            client.assert_closed()

    def test_a_head_that_trickles_in_is_refused(self, hasty: GunicornServer) -> None:
        """However regularly its bytes come."""
        with hasty.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nX-Padding: ")
            client.sock.settimeout(0.1)
            while True:
                client.send_until_refused(b"a")
                client.sock.settimeout(0.1)
                try:
                    if client.sock.recv(1, socket.MSG_PEEK):
                        break
                except TimeoutError:
                    continue
            assert client.read_response().status == 408

    def test_content_that_stalls_is_refused(self, hasty: GunicornServer) -> None:
        with hasty.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello")
            assert client.read_response().status == 408
            client.assert_closed()

    def test_a_whole_request_that_takes_too_long(self, hasty: GunicornServer) -> None:
        with hasty.connect() as client:
            client.send(request_bytes("GET", "/sleep"))
            assert client.read_response().status == 504
            client.assert_closed()

    def test_a_client_that_does_not_read(self, hasty: GunicornServer) -> None:
        logged = len(hasty.log())
        with hasty.connect(receive_buffer=4096) as client:
            client.send(request_bytes("GET", "/large"))
            wait_until(
                lambda: "does not read its response" in hasty.log()[logged:], 10, lambda: hasty.log()[logged:]
            )
            with pytest.raises(ConnectionResetError):
                client.read_until_closed()
