"""``net/ends``: who is on either end of a socket, by its family and what ``accept`` told."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pronghorn.net.ends import UNKNOWN, Ends, ends_of, name_of, own_name

INET, INET6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
TCP = ("192.0.2.1", 80)


@pytest.mark.parametrize(
    ("family", "peer", "own", "client", "server", "address", "shown"),
    [
        (INET, ("127.0.0.9", 5), TCP, ("127.0.0.9", 5), TCP, ("127.0.0.9", 5), "127.0.0.9"),
        (INET6, ("::1", 5, 0, 0), ("::1", 80, 0, 0), ("::1", 5), ("::1", 80), ("::1", 5), "::1"),
        (UNIX, "", "/run/app.sock", None, ("/run/app.sock", None), "", "unix"),
        (UNIX, "/run/client", "/run/app.sock", None, ("/run/app.sock", None), "", "unix"),
        (UNIX, b"\0client", b"\0app", None, ("\0app", None), "", "unix"),
        (UNIX, None, "", None, None, "", "unix"),
        # A name that is missing makes no unix socket, and an address no TCP socket a unix one.
        (INET, None, TCP, None, TCP, None, "unknown"),
        (INET, "", TCP, None, TCP, None, "unknown"),
        (INET, b"", "", None, None, None, "unknown"),
        (INET, (), None, None, None, None, "unknown"),
        (INET6, None, None, None, None, None, "unknown"),
        (UNIX, ("127.0.0.9", 5), TCP, ("127.0.0.9", 5), TCP, ("127.0.0.9", 5), "127.0.0.9"),
    ],
)
def test_ends(family: int, peer: Any, own: Any, client: Any, server: Any, address: Any, shown: str) -> None:
    ends = ends_of(family, peer, own)
    assert (ends.client, ends.server) == (client, server)
    assert ends.address() == address
    assert ends.peer() == shown


def test_nothing_is_known_before_it_is_told() -> None:
    assert Ends(None, None, False) == UNKNOWN
    assert UNKNOWN.address() is None


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", INET), ("0.0.0.0", INET), ("::", INET6)])
def test_the_name_of_a_listener_is_that_of_its_connections(host: str, family: int) -> None:
    if family == INET6 and not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.create_server((host, 0), family=family) as listener:
        name = listener.getsockname()
        assert name_of(listener) == (name if host == "127.0.0.1" else None)
        with socket.create_connection(("localhost" if family == INET else "::1", name[1])) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert own_name(accepted) == client.getpeername()
        assert own_name(accepted) is None  # closed


def test_the_name_of_a_unix_listener(tmp_path: Path) -> None:
    with socket.socket(UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert name_of(listener) == str(tmp_path / "socket")
