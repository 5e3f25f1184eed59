"""What comes to a port that speaks TLS and does not get as far as a request, with either event loop."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates, unreadable_identity
from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

SOURCE = """
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    trace(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""
PROXY = b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"


def client_hello() -> bytes:
    """What begins a client's handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = client_hello()
#: Of a client that speaks nothing newer, which a present OpenSSL may refuse to be (RFC 4346 section 7.4.1.2).
TLS_1_1 = bytes.fromhex("1603010031 0100002d 0302" + 32 * "00" + "00 0006 c00ac014002f 0100")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


@pytest.fixture(params=["asyncio", "uvloop"])
def start(serve: Serve, certificates: Certificates, request: pytest.FixtureRequest) -> Serve:
    """Start a server whose handshakes have two seconds, and which logs everything."""

    def started(**settings: Any) -> GunicornServer:
        environment = {"PRONGHORN_LOOP": request.param, "PRONGHORN_HEADER_TIMEOUT": "2", "PRONGHORN_LIFESPAN": "off"}
        files = certificates.settings
        return serve(source=SOURCE, environment=environment, loglevel="debug", **files, **settings)

    return started


def assert_it_serves(server: GunicornServer, certificates: Certificates, before: bytes = b"") -> None:
    with RawClient(server.address) as client:
        client.send(before)
        client.sock = certificates.context().wrap_socket(client.sock, server_hostname="localhost")
        assert client.request("GET", "/").status == 200


def lines_about_peers(server: GunicornServer) -> list[tuple[str, str]]:
    """Level and text of each line that names a peer; nothing may come with a traceback."""
    log = server.log()
    assert "Traceback" not in log, log
    return re.findall(r"\[([A-Z]+)\] (.*\bip=.*)", log)


def next_line(server: GunicornServer, before: int) -> tuple[str, str]:
    """The one line after so many."""
    wait_until(lambda: len(lines_about_peers(server)) > before, 15, lambda: f"a line:\n{server.log()}")
    (line,) = lines_about_peers(server)[before:]
    return line


def only_line(server: GunicornServer) -> tuple[str, str]:
    return next_line(server, 0)


# -- plain HTTP -------------------------------------------------------------------------------------------------------

PLAIN = {
    "GET": request_bytes("GET", "/"),
    "POST": request_bytes("POST", "/", body=b"x" * 4_000_000),
    "PROPFIND": request_bytes("PROPFIND", "/"),
    "of a proxy": request_bytes("GET", "http://test/"),
    "CONNECT": request_bytes("CONNECT", "test:443"),
    "all of the server": request_bytes("OPTIONS", "*"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def assert_plain_http_is_refused(server: GunicornServer, data: bytes, *, slowly: bool = False) -> None:
    with RawClient(server.address) as client:
        if slowly:
            client.send_slowly(data)
        else:
            client.send(data)
        response = client.read_response()
        assert response.status == 400
        assert response.header("connection") == "close"
        assert (response.header("content-type") or "").startswith("text/plain")
        assert "TLS" in response.text
        client.assert_closed()


def test_plain_http_is_told_so(start: Serve, certificates: Certificates) -> None:
    server = start()
    for data in PLAIN.values():
        assert_plain_http_is_refused(server, data)
    assert_plain_http_is_refused(server, PLAIN["GET"], slowly=True)
    assert server.traced() == []
    assert_it_serves(server, certificates)
    assert len(server.traced()) == 1
    line = ("WARNING", "Invalid request from ip=127.0.0.1: Plain HTTP on a port that speaks TLS")
    assert lines_about_peers(server) == [line] * (len(PLAIN) + 1)


def test_plain_http_where_a_proxy_header_comes_first(start: Serve, certificates: Certificates) -> None:
    """Without one, the methods that begin like it are those whose first bytes were taken already."""
    server = start(proxy_protocol=True)
    requests = [PLAIN["GET"], PLAIN["POST"], PLAIN["PROPFIND"]]
    expected = []
    for header, ip in ((PROXY, "203.0.113.7"), (b"", "127.0.0.1")):
        for data in requests:
            assert_plain_http_is_refused(server, header + data)
        assert_it_serves(server, certificates, header)
        line = ("WARNING", f"Invalid request from ip={ip}: Plain HTTP on a port that speaks TLS")
        expected += [line] * len(requests)
        assert lines_about_peers(server) == expected


def test_plain_http_is_not_waited_for(start: Serve) -> None:
    """One byte of it is enough for the answer, and then it has the moment of any connection that is closed."""
    server = start(worker_connections=1)
    with RawClient(server.address) as client:
        client.send(b"G")
        assert client.read_response().status == 400
        client.assert_closed()
        wait_until(server.accepting_pids, 15, "room for another")


# -- no handshake -----------------------------------------------------------------------------------------------------


def test_a_handshake_counts_as_a_connection_and_has_its_time(start: Serve, certificates: Certificates) -> None:
    server = start(worker_connections=1)
    reasons = {b"": "no TLS handshake came in time", HELLO[:20]: "the TLS handshake was not complete in time"}
    for number, (data, reason) in enumerate(reasons.items()):
        with socket.create_connection(server.address, 15) as peer:
            peer.sendall(data)
            wait_until(lambda: not server.accepting_pids(), message="a worker that is full")
            assert peer.recv(1) == b""
        assert next_line(server, number) == ("DEBUG", f"Connection from ip=127.0.0.1 was not opened: {reason}")
        assert_it_serves(server, certificates)
        wait_until(server.accepting_pids, 15, "room for another")


def test_a_peer_that_leaves(start: Serve, certificates: Certificates) -> None:
    server = start()
    left = r"Connection from ip=127\.0\.0\.1 was not opened: (the peer left|.*reset by peer.*)"
    for number, (data, how) in enumerate(itertools.product((b"", HELLO[:20], HELLO), ("close", "reset"))):
        with RawClient(server.address) as peer:
            peer.send(data)
            if data == HELLO:
                assert peer.read_bytes(1) == b"\x16"
            getattr(peer, how)()
        level, line = next_line(server, number)
        assert level == "DEBUG", (data, how)
        assert re.fullmatch(left, line), (data, how)
        assert_it_serves(server, certificates)


def test_a_handshake_that_fails(start: Serve, certificates: Certificates) -> None:
    server = start()
    reasons = {
        TLS_1_1: "UNSUPPORTED_PROTOCOL",
        b"SSH-2.0-OpenSSH_9.2\r\n": "WRONG_VERSION_NUMBER",
        HELLO[:43] + HELLO: "",
    }
    for number, (data, reason) in enumerate(reasons.items()):
        with RawClient(server.address) as peer:
            peer.send(data)
            peer.read_until_closed()
            level, line = next_line(server, number)
        assert level == "INFO", data
        assert re.fullmatch(rf"TLS handshake with ip=127\.0\.0\.1 failed: .*{reason}.*", line), data
        assert_it_serves(server, certificates)


def test_a_client_that_does_not_trust_the_certificate(start: Serve, tmp_path: Path) -> None:
    server = start()
    stranger = Certificates(tmp_path / "others")
    with pytest.raises(OSError, match="certificate verify failed"):
        assert_it_serves(server, stranger)
    assert only_line(server)[0] == "INFO"
    server.wait_log(r"TLS handshake with ip=127\.0\.0\.1 failed: .*UNKNOWN_CA")


def test_a_client_certificate_that_cannot_be_read(start: Serve, certificates: Certificates, tmp_path: Path) -> None:
    server = start(cert_reqs=2, ca_certs=str(certificates.ca_certs))
    context = certificates.context()
    context.load_cert_chain(unreadable_identity(certificates.people, tmp_path / "odd.pem"))
    with RawClient(server.address) as client:
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        client.read_until_closed()
    level, line = only_line(server)
    assert level == "INFO"
    assert line.startswith("TLS handshake with ip=127.0.0.1 failed: unreadable client certificate: ")


def test_the_end_of_a_worker(start: Serve) -> None:
    server = start(graceful_timeout=60)
    with socket.create_connection(server.address), socket.create_connection(server.address) as half:
        half.sendall(HELLO[:20])
        assert server.stop(timeout=20) == 0
    assert [level for level, _ in lines_about_peers(server)] == ["DEBUG", "DEBUG"]
