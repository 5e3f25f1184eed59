"""TLS on real sockets: large content both ways, slow peers, files that do not work, and how connections end."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from tests.support.certificates import Certificates
from tests.support.frames import BINARY, received, sent
from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until
from tests.support.websocket import handshake

Serve = Callable[..., GunicornServer]

SIZE = 16 * 1024 * 1024
SOURCE = f"""
import asyncio
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/wait":
        trace("waits")
        await asyncio.sleep(1)
    received = 0
    if scope["path"] == "/upload":
        while True:
            event = await receive()
            received += len(event.get("body", b""))
            if not event.get("more_body"):
                break
    size = {SIZE} if scope["path"] == "/large" else 0
    body = str(received).encode() if not size else b"x" * size
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}})
    await send({{"type": "http.response.body", "body": body}})
"""
loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


def connect(
    server: GunicornServer, certificates: Certificates, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> RawClient:
    context = certificates.context()
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = RawClient(server.address)
    # An end without close_notify is an error here, and not the end of the response.
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost", suppress_ragged_eofs=False)
    return client


def test_large_content_both_ways(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, **certificates.settings)
    for version in VERSIONS:
        with connect(server, certificates, version) as client:
            client.send(request_bytes("POST", "/upload", body=b"y" * SIZE))
            assert client.read_response().body == b"%d" % SIZE
            assert len(client.request("GET", "/large").body) == SIZE
            client.send(request_bytes("GET", "/", "Connection: close"))
            assert client.read_response().status == 200
            client.assert_closed()


def test_only_what_is_served_is_offered(serve: Serve, certificates: Certificates) -> None:
    """By ALPN (RFC 7301): the client would take HTTP/2 first."""
    server = serve(source=SOURCE, **certificates.settings)
    with connect(server, certificates) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.request("GET", "/").status == 200


@loops
def test_an_upload_that_is_not_wanted_gets_its_answer(serve: Serve, certificates: Certificates, loop: str) -> None:
    """Also a client that sends all before it reads anything."""
    environment = {"PRONGHORN_LOOP": loop, "PRONGHORN_MAX_BODY_SIZE": str(SIZE)}
    server = serve(source=SOURCE, environment=environment, **certificates.settings)
    content = b"y" * SIZE
    chunked = b"POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests = (
        (request_bytes("POST", "/upload", body=content + b"y"), 413, 0),
        (chunked + b"%x\r\n" % (SIZE + 1) + content + b"y", 413, 0),
        (chunked + b"size\r\n" + content, 400, 0),
        (request_bytes("POST", "/early", body=content), 200, 1),
        (request_bytes("POST", "/large", body=content), 200, SIZE),
    )
    for version, (request, status, size) in itertools.product(VERSIONS, requests):
        with connect(server, certificates, version) as client:
            client.send(request)
            response = client.read_response()
            assert response.status == status
            assert response.header("connection") == "close"
            assert len(response.body) == size or status != 200


@loops
def test_an_upload_that_is_late_gets_its_answer(serve: Serve, certificates: Certificates, loop: str) -> None:
    """It goes on when the 408 is already on its way."""
    environment = {"PRONGHORN_LOOP": loop, "PRONGHORN_BODY_TIMEOUT": "1"}
    server = serve(source=SOURCE, environment=environment, **certificates.settings)
    for number, version in enumerate(VERSIONS):
        with connect(server, certificates, version) as client:
            client.send(request_bytes("POST", "/upload", body=b"y" * SIZE)[:-SIZE])
            wait_until(lambda: server.log().count("Request content is not complete in time") > number, 15, server.log)
            client.send(b"y" * SIZE)
            assert client.read_response().status == 408
            client.assert_closed()


@loops
def test_a_slow_upload_gets_its_answer(serve: Serve, certificates: Certificates, loop: str) -> None:
    """For longer than an answer to close_notify would be waited for."""
    environment = {"PRONGHORN_LOOP": loop, "PRONGHORN_MAX_BODY_SIZE": "1000"}
    server = serve(source=SOURCE, environment=environment, **certificates.settings)
    with connect(server, certificates) as client:
        client.send_slowly(request_bytes("POST", "/upload", body=b"y" * 60_000), 5000, pause=0.1)
        assert client.read_response().status == 413
        client.assert_closed()


@loops
def test_a_websocket_message_that_is_not_wanted_gets_its_answer(
    serve: Serve, certificates: Certificates, loop: str
) -> None:
    environment = {"PRONGHORN_LOOP": loop, "PRONGHORN_WEBSOCKET_MAX_MESSAGE_SIZE": "1000"}
    server = serve("tests.e2e.apps.sockets:app", environment=environment, **certificates.settings)
    with connect(server, certificates) as client:
        assert handshake(client, "/echo").status == 101
        client.send(sent(BINARY, bytes(SIZE // 4)))
        assert received(client.read_until_closed()) == [("close", 1009, ANY)]


def test_a_pooled_connection_does_not_hold_up_the_end(serve: Serve, certificates: Certificates) -> None:
    """Its client looks at it no more, and so never answers the close_notify."""
    server = serve(source=SOURCE, graceful_timeout=60, keepalive=60, **certificates.settings)
    with connect(server, certificates) as client:
        assert client.request("GET", "/").status == 200
        assert server.stop(timeout=20) == 0
        client.assert_closed()


def test_a_silent_handshake_does_not_hold_up_the_end(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, graceful_timeout=60, worker_connections=1, **certificates.settings)
    with socket.create_connection(server.address), socket.create_connection(server.address) as half:
        half.sendall(b"\x16\x03\x01")
        assert server.stop(timeout=20) == 0


@versions
def test_what_is_in_flight_is_finished(serve: Serve, certificates: Certificates, version: ssl.TLSVersion) -> None:
    server = serve(source=SOURCE, **certificates.settings)
    with connect(server, certificates, version) as client:
        client.send(request_bytes("GET", "/wait"))
        server.wait_trace("waits")
        server.signal(signal.SIGTERM)
        response = client.read_response()
        assert response.header("connection") == "close"
        client.assert_closed()
    assert server.wait_exit() == 0


def test_a_slow_reader_gets_all_of_the_last_response(serve: Serve, certificates: Certificates) -> None:
    """Its connection is closed as soon as the response was handed over, long before it has arrived."""
    server = serve(source=SOURCE, environment={"PRONGHORN_WRITE_TIMEOUT": "30"}, **certificates.settings)
    with connect(server, certificates) as client:
        client.send(request_bytes("GET", "/large", "Connection: close"))
        head = client.read_until(b"\r\n\r\n")
        assert b"200 OK" in head
        assert len(client.read_until_closed()) == SIZE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
def test_a_key_that_the_user_cannot_read_stops_the_server(worker_class: str, certificates: Certificates) -> None:
    """Workers read it, after Gunicorn has changed the user."""
    certificates.keyfile.chmod(0o600)
    with tempfile.TemporaryDirectory() as name:  # pytest's own directories are for the user of the tests alone
        directory = Path(name) / "server"
        server = GunicornServer(
            "",
            directory,
            worker_class=worker_class,
            source="async def app(scope, receive, send): ...",
            user=65534,
            group=65534,
            ready=False,
            **certificates.settings,
        )
        directory.parent.chmod(0o755)
        with server:
            assert server.wait_exit() == 3
            server.wait_log(r"TLS is not usable .*Permission denied")


def test_a_key_of_another_certificate_stops_the_server(serve: Serve, certificates: Certificates) -> None:
    certificate = certificates.certfile.read_bytes()
    certificates.write()
    certificates.certfile.write_bytes(certificate)
    server = serve(source=SOURCE, ready=False, **certificates.settings)
    assert server.wait_exit() == 3
    server.wait_log(r"TLS is not usable \(certfile=.*\): .*(?i:mismatch)")
