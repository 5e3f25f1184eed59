"""Every kind of socket that Gunicorn binds is served, and the scope says which one it was."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import Address, RawClient
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


def scope(address: Address) -> dict:
    with RawClient(address) as client:
        document = client.request("GET", "/scope").json()
        document["port"] = client.port if isinstance(address, tuple) else None
        return document


def test_several_tcp_addresses(serve: Serve) -> None:
    server = serve(bind=["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"])
    assert len(server.addresses) == 3
    for address in server.addresses:
        document = scope(address)
        assert document["server"] == list(address)
        assert document["client"] == ["127.0.0.1", document["port"]]


@needs_ipv6
def test_ipv6(serve: Serve) -> None:
    document = scope(serve(bind="[::1]:0").address)
    assert document["client"] == ["::1", document["port"]]
    assert document["server"][0] == "::1"
    assert len(document["server"]) == 2, "no flow label, no scope id"


def test_unix(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    server = serve(bind=f"unix:{path}")
    assert server.address == str(path)
    document = scope(path)
    assert document["server"] == [str(path), None]
    assert document["client"] is None
    assert document["scheme"] == "http"


def test_the_unix_socket_outlives_workers_but_not_the_master(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    server = serve(bind=f"unix:{path}", max_requests=1)
    first = server.get("/pid").text
    wait_until(lambda: server.get("/pid").text != first, message="an answer of the next worker")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert server.stop() == 0
    assert not path.exists()


@needs_ipv6
def test_all_families_at_once(serve: Serve, tmp_path: Path) -> None:
    server = serve(bind=["127.0.0.1:0", "[::1]:0", f"unix:{tmp_path / 'app.sock'}"], workers=2)
    assert len(server.addresses) == 3
    for address in server.addresses:
        with RawClient(address) as client:
            assert client.request("GET", "/").body == b"Hello, world!"
            assert client.request("POST", "/echo", body=b"again").body == b"again"


def test_an_inherited_descriptor(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = serve(bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        assert scope(listener.getsockname())["server"] == list(listener.getsockname())
        assert server.stop() == 0


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss shows the backlog")
@pytest.mark.parametrize("backlog", [777, 2048])
def test_backlog(serve: Serve, backlog: int) -> None:
    """An event loop that calls listen() again must not shrink the queue that the site configured."""
    largest = int(Path("/proc/sys/net/core/somaxconn").read_text())
    server = serve(backlog=backlog)
    server.get("/")
    shown = subprocess.run(["ss", "-Hltn", f"sport = :{server.address[1]}"], capture_output=True, text=True, check=True)
    assert int(shown.stdout.split()[2]) == min(backlog, largest)


@needs_gunicorn(24)  # older ones bind in the master, which is the ordinary case again
def test_reuse_port(serve: Serve) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))  # bound, never listening: keeps the port for this test
        address = reserved.getsockname()
        server = serve(bind=f"127.0.0.1:{address[1]}", reuse_port=True, workers=2)
        pids = {server.get("/pid", address=address).text for _ in range(40)}
        assert pids <= set(map(str, server.worker_pids()))
        assert len(pids) == 2, "the kernel spreads 40 connections over two sockets"
