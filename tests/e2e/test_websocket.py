"""WebSockets through a real Gunicorn: handshake, messages, ends, keep-alive, limits, log, drain."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import zlib
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import Serve
from tests.support.frames import BINARY, HANDSHAKE, PING, PONG, TEXT, received, sent, sent_close
from tests.support.raw import RawClient, Response
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

APP = "tests.e2e.apps.sockets:app"
SETTINGS: dict[str, Any] = {
    "accesslog": "-",
    "access_log_format": "access %(r)s %(s)s %(B)s %({websocket.close_code}e)s %(D)s",
}
_FIELDS = [f"{name.decode()}: {value.decode()}" for name, value in HANDSHAKE]


def url(server: GunicornServer, path: str) -> str:
    return server.url.replace("http", "ws", 1) + path


def open_socket(server: GunicornServer, path: str, **options: Any) -> ClientConnection:
    return connect(url(server, path), proxy=None, open_timeout=10, close_timeout=10, **options)


def raw_socket(server: GunicornServer, path: str) -> RawClient:
    """A client that speaks frames itself: it answers no ping."""
    client = server.connect()
    assert client.request("GET", path, *_FIELDS).status == 101
    return client


def refusal(server: GunicornServer, path: str, *fields: str) -> Response:
    with server.connect() as client:
        return client.request("GET", path, *fields)


# -- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("size", [0, 32, 4096, 1 << 20])
def test_echo(server: GunicornServer, size: int, compression: str | None) -> None:
    with open_socket(server, "/echo", compression=compression, max_size=None) as client:
        for message in ("é" * (size // 2), os.urandom(size)):
            client.send(message)
            assert client.recv(timeout=10) == message
        client.send(["a", "b", "c"])
        assert client.recv(timeout=10) == "abc"


def test_subprotocols_and_headers(server: GunicornServer) -> None:
    with open_socket(server, "/offer", subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two"
        assert client.response is not None
        assert client.response.headers["x-own"] == "1"
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert json.loads(client.recv(timeout=10)) == {
            "type": "websocket",
            "scheme": "ws",
            "path": "/offer",
            "http_version": "1.1",
            "subprotocols": ["one", "two"],
            "root_path": "",
        }
    with open_socket(server, "/offer") as client:
        assert client.subprotocol is None


def test_large_compressible_messages(server: GunicornServer) -> None:
    """What a program sends is far from what is refused, whichever way it is cut."""
    records = [{"id": number, "name": f"Ädä {number % 7}", "tags": ["a", "b"]} for number in range(60_000)]
    document = json.dumps(records, ensure_ascii=False)
    assert len(document) > 3_000_000
    with open_socket(server, "/echo", max_size=None) as client:
        for message in (document, [document[:1_000_000], document[1_000_000:]], "x" * (1 << 20), "😀" * 100_000):
            client.send(message)
            assert client.recv(timeout=30) == "".join(message)


# -- ends -----------------------------------------------------------------------------------------------------------


def test_the_application_closes(server: GunicornServer) -> None:
    with open_socket(server, "/close") as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "genug ✓")
    server.wait_log(r"^access GET /close HTTP/1\.1 101 \d+ 4001 \d+$")


def test_the_client_closes(serve: Serve) -> None:
    server = serve(APP, **SETTINGS)
    with open_socket(server, "/echo") as client:
        client.send("a")
        assert client.recv(timeout=10) == "a"
        client.close(4002, "tschüss")
    server.wait_trace("disconnect 4002 tschüss")
    match = server.wait_log(r"^access GET /echo HTTP/1\.1 101 (\d+) 4002 (\d+)$")
    assert int(match[1]) == len(b"\x81\x01a" + b"\x88\x0a\x0f\xa2" + "tschüss".encode())
    assert int(match[2]) > 0
    with raw_socket(server, "/echo") as lost:
        lost.reset()
    server.wait_trace("disconnect 1006")
    server.wait_log(r"^access GET /echo HTTP/1\.1 101 0 1006 \d+$")
    assert "Traceback" not in server.log()


def test_an_application_that_fails(serve: Serve) -> None:
    server = serve(APP, **SETTINGS)
    with open_socket(server, "/fail") as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    server.wait_log("ValueError: broken on purpose")
    assert refusal(server, "/fail-early", *_FIELDS).status == 500
    server.wait_log("ValueError: broken before accept")
    assert server.log().count("Traceback") == 2
    server.wait_log(r"^access GET /fail HTTP/1\.1 101 \d+ 1011 \d+$")
    server.wait_log(r"^access GET /fail-early HTTP/1\.1 500 ")


def test_rejected_and_denied(server: GunicornServer) -> None:
    with pytest.raises(InvalidStatus) as refused, open_socket(server, "/reject"):
        pass
    assert refused.value.response.status_code == 403
    denied = refusal(server, "/deny", *_FIELDS)
    assert (denied.status, denied.body, denied.all("www-authenticate")) == (401, b"who?", ["Basic"])
    server.wait_log(r"^access GET /reject HTTP/1\.1 403 ")
    server.wait_log(r"^access GET /deny HTTP/1\.1 401 4 ")


def test_a_connection_goes_on_after_a_refusal(server: GunicornServer) -> None:
    with server.connect() as client:
        assert client.request("GET", "/reject", *_FIELDS).status == 403
        assert client.request("GET", "/", "Connection: keep-alive").status == 200


# -- handshakes that are none ---------------------------------------------------------------------------------------


def without(name: str, *more: str) -> list[str]:
    return [*(field for field in _FIELDS if not field.startswith(name)), *more]


BROKEN = {
    "another version": (without("sec-websocket-version", "Sec-WebSocket-Version: 8"), 426, "Version is not 13"),
    "no version": (without("sec-websocket-version"), 400, "Sec-WebSocket-Version missing"),
    "no key": (without("sec-websocket-key"), 400, "Sec-WebSocket-Key missing"),
    "a short key": (without("sec-websocket-key", "Sec-WebSocket-Key: YQ=="), 400, "16 bytes"),
    "a body": ([*_FIELDS, "Content-Length: 5"], 400, "with a body"),
    "extensions": ([*_FIELDS, "Sec-WebSocket-Extensions: a;;"], 400, "Extensions"),
    "subprotocols": ([*_FIELDS, "Sec-WebSocket-Protocol: a b"], 400, "Sec-WebSocket-Protocol"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_handshake_that_is_none(server: GunicornServer, name: str) -> None:
    """The right status, one line in the log, no application."""
    fields, status, reason = BROKEN[name]
    answer = refusal(server, f"/echo?{name.replace(' ', '-')}", *fields)
    assert answer.status == status
    assert answer.all("sec-websocket-version") == (["13"] if status == 426 else [])
    assert answer.all("connection") == ["close"]
    server.wait_log(rf"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .*{re.escape(reason)}")


# -- limits ---------------------------------------------------------------------------------------------------------


def test_a_message_over_the_limit(serve: Serve) -> None:
    server = serve(APP, environment={"PRONGHORN_WEBSOCKET_MAX_MESSAGE_SIZE": "1000"}, **SETTINGS)
    with open_socket(server, "/echo") as client:
        client.send("x" * 1000)
        assert client.recv(timeout=10) == "x" * 1000
        client.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    server.wait_trace("disconnect 1009")
    server.wait_log(r"closed with 1009: message too big")
    server.wait_log(r"^access GET /echo HTTP/1\.1 101 \d+ 1009 \d+$")


def test_a_client_that_masks_nothing(server: GunicornServer) -> None:
    with raw_socket(server, "/echo") as client:
        client.send(b"\x81\x01a")
        assert received(client.read_until_closed()) == [("close", 1002, "frame not masked")]


def test_worker_connections_counts_websockets(serve: Serve) -> None:
    server = serve(APP, worker_connections=2)
    with open_socket(server, "/echo"), open_socket(server, "/echo") as second, server.connect(timeout=30) as waiting:
        waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        waiting.assert_silent(0.5)
        second.close()
        assert waiting.read_response().status == 200


def test_max_requests_counts_websockets(serve: Serve) -> None:
    server = serve(APP, max_requests=2, environment={"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "0"}, **SETTINGS)
    (first,) = server.worker_pids()
    with open_socket(server, "/echo") as client, open_socket(server, "/echo") as last:
        for socket in (client, last):
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
    server.wait_gone([first])


# -- keep-alive -----------------------------------------------------------------------------------------------------

QUICK = {"PRONGHORN_WEBSOCKET_PING_INTERVAL": "0.5", "PRONGHORN_WEBSOCKET_PING_TIMEOUT": "1"}


def test_only_who_is_truly_silent_is_closed(serve: Serve) -> None:
    server = serve(APP, environment=QUICK, **SETTINGS)
    opened = raw_socket(server, "/echo"), raw_socket(server, "/echo"), open_socket(server, "/echo")
    with opened[0] as silent, opened[1] as talks, opened[2] as well:
        first = silent.read_bytes(6)
        assert first[:2] == b"\x89\x04"  # a ping of four bytes
        deadline = time.monotonic() + 10
        closed = b""
        while b"keepalive" not in closed:
            assert time.monotonic() < deadline
            talks.send(sent(TEXT, b"no pong, but alive"))
            talks.read_until(b"no pong, but alive")
            silent.sock.settimeout(0.2)
            try:
                closed += silent.sock.recv(1000)
            except TimeoutError:
                pass
        assert received(closed)[-1] == ("close", 1011, "keepalive ping timeout")
        well.send("answers pings")
        assert well.recv(timeout=10) == "answers pings"
    server.wait_trace("disconnect 1011 keepalive ping timeout")
    server.wait_log(r"closed with 1011: no answer to a ping")
    assert server.log().count("closed with 1011") == 1


def test_a_blocked_loop_does_not_take_its_clients_for_silent(serve: Serve) -> None:
    """What they sent meanwhile has arrived, though nobody has read it yet."""
    server = serve(APP, environment=QUICK)
    with open_socket(server, "/block") as client:
        client.send("stop")
        assert client.recv(timeout=20) == "unblocked"
    assert "closed with 1011" not in server.log()


def test_pongs_need_not_be_asked_for(server: GunicornServer) -> None:
    with raw_socket(server, "/echo") as client:
        client.send(sent(PONG, b"heartbeat") + sent(PING, b"here?") + sent(BINARY, b"a"))
        assert received(client.read_bytes(10)) == [("pong", b"here?"), ("binary", b"a")]
        client.send(sent_close())
        assert received(client.read_until_closed()) == [("close", 1000, "")]


# -- deploy ---------------------------------------------------------------------------------------------------------


def test_clients_are_told_one_by_one_when_the_worker_stops(serve: Serve) -> None:
    """1012 at different moments of the spread; the application gets its disconnect, and time to finish."""
    server = serve(APP, environment={"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "1"}, **SETTINGS)
    clients = [raw_socket(server, "/echo?slow") for _ in range(8)]
    server.signal(signal.SIGTERM)
    moments: dict[int, float] = {}
    for client in clients:
        client.sock.setblocking(False)
    deadline = time.monotonic() + 15
    while len(moments) < len(clients):
        assert time.monotonic() < deadline, server.log()
        for number, client in enumerate(clients):
            if number not in moments:
                try:
                    data = client.sock.recv(1000)
                except BlockingIOError:
                    continue
                assert received(data) == [("close", 1012, "Service restart")]
                moments[number] = time.monotonic()
                client.sock.setblocking(True)
                client.send(sent_close(1012))
        time.sleep(0.005)
    assert server.wait_exit() == 0
    for line in ("disconnect 1012 Service restart", "finished"):
        assert sum(entry.startswith(line) for entry in server.traced()) == len(clients)
    assert len({round(moment, 2) for moment in moments.values()}) > 1, "all at the same moment"
    assert len(re.findall(r"^access .* 101 \d+ 1012 \d+$", server.log(), re.MULTILINE)) == len(clients)
    for client in clients:
        client.close()


def test_reload(serve: Serve) -> None:
    """HUP: clients of the old worker are told, and find the new one."""
    server = serve(APP, environment={"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "0"})
    (old,) = server.worker_pids()
    with open_socket(server, "/echo") as client:
        server.signal(signal.SIGHUP)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    with open_socket(server, "/echo") as again:
        again.send("a")
        assert again.recv(timeout=10) == "a"
    server.wait_gone([old])
    wait_until(lambda: server.accepting_pids() not in ([], [old]), 10, "the new worker")


def test_a_client_that_does_not_answer_its_close(serve: Serve) -> None:
    """It holds the worker up no longer than the closing handshake may take."""
    environment = {"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "0", "PRONGHORN_WEBSOCKET_CLOSE_TIMEOUT": "0.5"}
    server = serve(APP, environment=environment, graceful_timeout=60)
    with raw_socket(server, "/echo") as client:
        assert server.stop(timeout=20) == 0
        assert received(client.read_until_closed()) == [("close", 1012, "Service restart")]


# -- peers that are gone --------------------------------------------------------------------------------------------


def test_whoever_is_gone_holds_no_place(serve: Serve) -> None:
    """One place, which a peer with a full queue has taken; the application hears all its messages afterwards."""
    environment = {"PRONGHORN_WEBSOCKET_CLOSE_TIMEOUT": "0.5", "PRONGHORN_WEBSOCKET_PING_INTERVAL": "0"}
    server = serve(APP, worker_connections=1, environment=environment)
    with raw_socket(server, "/deaf") as client:
        client.send(sent(TEXT, b"x") * 33)
        client.half_close()
        assert server.get("/go").status == 200  # it waits in the backlog until there is a place
    server.wait_trace("took 33 33 1006")


def test_what_waits_takes_no_more_memory_than_it_came_in(serve: Serve) -> None:
    """Text with one character that needs four bytes, and what inflates a thousandfold."""
    server = serve(APP, environment={"PRONGHORN_WEBSOCKET_COMPRESSION_RATIO": "0"})
    (pid,) = server.worker_pids()
    text = sent(TEXT, b"a" * 8_000_000 + "😀".encode())
    stream = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = (stream.compress(bytes(16_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with ExitStack() as stack:
        before = resident(pid)
        for _ in range(3):
            client = stack.enter_context(raw_socket(server, "/deaf"))
            client.send(text)
            offering = stack.enter_context(server.connect())
            offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
            assert offering.request("GET", "/deaf", *_FIELDS, offer).status == 101
            offering.send(sent(BINARY, bomb, rsv=4))
            assert server.get("/").status == 200
        assert resident(pid) - before < 3 * 10_000_000 + 15_000_000
        server.get("/go")
        stack.close()
    for _ in range(3):
        server.wait_trace("took 1 16000000 1006")
    server.wait_trace("took 1 8000001 1006")


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_answer_to_the_last_message_reaches_a_client_that_has_closed(server: GunicornServer) -> None:
    with raw_socket(server, "/think") as client:
        client.send(sent(TEXT, b"a"))
        client.send(sent_close(4000))
        assert received(client.read_until_closed()) == [("text", "a"), ("close", 4000, "")]
    with raw_socket(server, "/think") as client:
        client.send(sent(TEXT, b"a"))
        client.half_close()
        assert received(client.read_until_closed()) == [("text", "a")]
