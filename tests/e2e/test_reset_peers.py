"""A peer that resets its connection has no name any more: it is still who ``accept`` said, and not trusted for that."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]
modes = needs_gunicorn(24, 1)

SOURCE = """
from tests.e2e.apps.trace import trace

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    trace(f"client={scope['client'][0]} scheme={scope['scheme']} server={scope['server'][1]} root={scope['root_path']}")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
"""
#: An address of this machine that no setting trusts.
STRANGER = "127.0.0.9"
FORGED = "10.0.0.1"
FIELDS = (f"X-Forwarded-For: {FORGED}", "X-Forwarded-Proto: https", "SCRIPT_NAME: /forged")
UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
V1 = f"PROXY TCP4 {FORGED} 127.0.0.1 5000 80\r\n".encode()
TRIES = 40
FORMAT = "LINE h=%(h)s scheme=%({wsgi.url_scheme}e)s %(r)s"


def send_and_reset(
    server: GunicornServer, data: bytes, context: ssl.SSLContext | None = None, before_tls: bytes = b""
) -> None:
    with socket.socket() as sock:
        sock.settimeout(15)
        sock.bind((STRANGER, 0))
        sock.connect(server.address)
        try:
            if before_tls:
                sock.sendall(before_tls)
            elif context is not None:
                sock = context.wrap_socket(sock, server_hostname="localhost")
            sock.sendall(data)
        except OSError:
            pass  # refused in the middle, which is as good
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def attack(
    server: GunicornServer, *requests: bytes, context: ssl.SSLContext | None = None, before_tls: bytes = b""
) -> list[str]:
    """What the application saw of a stranger's requests, each followed by a reset."""
    for _ in range(TRIES):
        for data in requests:
            send_and_reset(server, data, context, before_tls)
    with socket.create_connection(server.address, 15) as last:
        stream = last if context is None else context.wrap_socket(last, server_hostname="localhost")
        stream.sendall(request_bytes("GET", "/last", "Connection: close"))
        while stream.recv(65536):
            pass
    wait_until(lambda: any("client=127.0.0.1 " in line for line in server.traced()), 10, lambda: server.log())
    server.wait_log("LINE h=127.0.0.1 .*GET /last ")
    return [line for line in server.traced() if "client=127.0.0.1 " not in line]


def check(server: GunicornServer, seen: list[str], scheme: str = "http") -> None:
    assert set(line.rpartition(" ")[0] for line in seen) <= {
        f"client={STRANGER} scheme={each} server={server.address[1]} root="
        for each in (scheme, {"http": "ws", "https": "wss"}[scheme])
    }
    assert FORGED not in server.log()
    assert "unix" not in re.sub(r"^.*Pronghorn .* serves .*$", "", server.log(), flags=re.MULTILINE)
    hosts = set(re.findall(r"LINE h=(\S*) scheme=(\S*)", server.log()))
    assert hosts <= {(STRANGER, scheme), ("127.0.0.1", scheme)}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "0.0.0.0:0"])
def test_in_plain_text(serve: Serve, loop: str, bind: str) -> None:
    server = serve(
        source=SOURCE, accesslog="-", access_log_format=FORMAT, environment={"PRONGHORN_LOOP": loop}, bind=bind
    )
    seen = attack(
        server,
        request_bytes("GET", "/admin", *FIELDS),
        request_bytes("GET", "/admin", *FIELDS, *UPGRADE),
        b"GET / HTTP/1.1\r\nHost: a b\r\n" + "\r\n".join(FIELDS).encode() + b"\r\n\r\n",
    )
    assert seen, "some of them are served before the reset is noticed"
    check(server, seen)


@modes
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_behind_a_proxy_header(serve: Serve, loop: str) -> None:
    """Neither a header of a peer that may not send one nor the lack of one makes it trusted."""
    server = serve(
        source=SOURCE, accesslog="-", access_log_format=FORMAT, environment={"PRONGHORN_LOOP": loop},
        proxy_protocol="auto", proxy_allow_ips="10.0.0.7",
    )  # fmt: skip
    request = request_bytes("GET", "/admin", *FIELDS)
    check(server, attack(server, request, V1 + request, V1))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_over_tls(serve: Serve, loop: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    server = serve(
        source=SOURCE, accesslog="-", access_log_format=FORMAT, environment={"PRONGHORN_LOOP": loop},
        **certificates.settings,
    )  # fmt: skip
    request = request_bytes("GET", "/admin", *FIELDS)
    check(server, attack(server, request, context=certificates.context()), "https")


@modes
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_behind_a_proxy_header_before_tls(serve: Serve, loop: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    server = serve(
        source=SOURCE, accesslog="-", access_log_format=FORMAT, environment={"PRONGHORN_LOOP": loop},
        proxy_protocol="auto", proxy_allow_ips="10.0.0.7", **certificates.settings,
    )  # fmt: skip
    assert attack(server, V1, context=certificates.context(), before_tls=V1) == []
    assert FORGED not in server.log()
    server.wait_log(rf"Invalid request from ip={STRANGER}: PROXY header from a peer")


def test_a_peer_on_a_unix_socket_is_logged_as_a_hyphen(serve: Serve, tmp_path: Path) -> None:
    """What Gunicorn's ASGI worker writes; its WSGI workers leave the field empty."""
    bind = f"unix:{tmp_path / 'app.sock'}"
    own_class = "from tests.e2e.apps.loggers import AtomsLogger as logger_class"
    for config in ("", own_class):
        server = serve(bind=bind, accesslog="-", config=config)
        assert server.get("/").status == 200
        server.wait_log(r'^- - - \[.*\] "GET / HTTP/1.1" 200 ')
        server.stop()
