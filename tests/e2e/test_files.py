"""Files as content from outside: over TCP, TLS and unix sockets, with and without the kernel's help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.certificates import Site, client_context
from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

APP = """
import os

SENT = []
sendfile = os.sendfile

def counting(out, fd, offset, count):
    size = sendfile(out, fd, offset, count)
    SENT.append(size)
    return size

os.sendfile = counting

async def app(scope, receive, send):
    assert scope["type"] == "http"
    headers = []
    if scope["path"] == "/declared":
        headers.append((b"content-length", b"%d" % os.path.getsize("file")))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/by-kernel":
        await send({"type": "http.response.body", "body": b"%d" % sum(SENT)})
    elif scope["path"] == "/missing":
        await send({"type": "http.response.pathsend", "path": os.path.abspath("nothing")})
    elif scope["path"] == "/parts":
        await send({"type": "http.response.body", "body": b"<", "more_body": True})
        with open("file", "rb") as file:
            await send({"type": "http.response.zerocopysend", "file": file, "offset": 10, "more_body": True})
        await send({"type": "http.response.body", "body": b">"})
    else:
        await send({"type": "http.response.pathsend", "path": os.path.abspath("file")})
"""
CONTENT = bytes(range(256)) * 4 * 5000  # 5 MB


@pytest.fixture(autouse=True)
def _pronghorn_only(worker_class: str) -> None:
    if worker_class != "pronghorn.AsyncWorker":
        pytest.skip("other worker classes do not offer it")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    directory = tmp_path / "site"
    directory.mkdir()
    return Site(directory, trustme.CA())


WAYS: dict[str, dict[str, Any]] = {
    "tcp": {},
    "unix": {"bind": "unix:socket"},
    "tcp, sendfile off": {"sendfile": False},
    "tls": {"tls": True},
    "asyncio": {"environment": {"PRONGHORN_LOOP": "asyncio"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_rule_45_and_44_from_outside(serve: Serve, tmp_path: Path, site: Site, way: str) -> None:
    settings = dict(WAYS[way])
    log = tmp_path / "access.log"
    is_tls = settings.pop("tls", False)
    if is_tls:
        settings |= {"certfile": str(site.certfile), "keyfile": str(site.keyfile)}
    if way == "unix":
        settings["bind"] = f"unix:{tmp_path}/socket"
    server = serve(source=APP, accesslog=str(log), access_log_format="%(m)s %(U)s %(s)s %(B)s", **settings)
    (server.directory / "file").write_bytes(CONTENT)
    with server.connect() as client:
        if is_tls:
            client.sock = client_context(site.authority).wrap_socket(client.sock, server_hostname="localhost")
        check(client)
    lines = [
        f"GET /file 200 {len(CONTENT)}",
        f"GET /parts 200 {len(CONTENT) - 8}",
        f"GET /declared 200 {len(CONTENT)}",
        "HEAD /declared 200 0",
    ]
    wait_until(lambda: log.read_text().splitlines()[:4] == lines, message=lambda: log.read_text())
    assert server.log().count("FileNotFoundError") == 1


def check(client: RawClient) -> None:
    # Pipelined: what follows a file waits for its end.
    client.send(b"".join(request_bytes("GET", path) for path in ("/file", "/parts", "/declared")))
    whole, parts, declared = (client.read_response() for _ in range(3))
    assert whole.body == declared.body == CONTENT
    assert whole.header("content-length") == declared.header("content-length") == str(len(CONTENT))
    assert parts.body == b"<" + CONTENT[10:] + b">"
    head = client.request("HEAD", "/declared")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(CONTENT)))
    kernel = int(client.request("GET", "/by-kernel").text)
    assert kernel in (0, 3 * len(CONTENT) - 10)
    missing = client.request("GET", "/missing")
    assert (missing.status, missing.text) == (500, "Internal Server Error\n")


@pytest.mark.parametrize(("settings", "kernel"), [({}, True), ({"sendfile": False}, False)], ids=["on", "off"])
def test_the_setting_says_who_sends(serve: Serve, settings: dict[str, Any], kernel: bool) -> None:
    server = serve(source=APP, **settings)
    (server.directory / "file").write_bytes(CONTENT)
    assert server.get("/file").body == CONTENT
    assert server.get("/by-kernel").text == str(len(CONTENT) if kernel else 0)


def test_max_requests_lets_a_file_finish(serve: Serve) -> None:
    server = serve(source=APP, max_requests=1)
    (server.directory / "file").write_bytes(CONTENT)
    response = server.get("/file")
    assert response.body == CONTENT
    assert "close" in response.connection
