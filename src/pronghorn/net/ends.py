"""Who is on either end of an accepted socket, in ASGI's form: what ``accept`` told, kept for as long as it is needed.

A loop's transport asks the socket again, and a TCP peer that has reset its connection has no name there any more. So
nothing is concluded from a missing name: a unix peer is told by the socket's family.
"""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

#: Hosts of a listener that takes connections to any of the machine's addresses.
_ANY_HOST = frozenset(("0.0.0.0", "::", ""))  # compared with, not bound to


class Ends(NamedTuple):
    """``client``: (host, port), None for a peer on a unix socket and for one that is not known · ``server``:
    (host, port), or (path, None) for a unix socket, or None · ``is_unix``: whether the peer came through a unix socket.
    """

    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    is_unix: bool

    def peer(self) -> str:
        """The peer as it stands in a log line."""
        return self.client[0] if self.client is not None else "unix" if self.is_unix else "unknown"

    def address(self) -> tuple[str, int] | str | None:
        """The peer as trust is decided on it: text for a unix socket, None where it is not known."""
        return "" if self.is_unix else self.client


#: Of a connection of which nobody has told anything.
UNKNOWN = Ends(None, None, False)


def ends_of(family: int, peer: Any, own: Any) -> Ends:
    """Return the ends of a socket of that ``family``, with the names that ``accept`` and ``getsockname`` have for
    them."""
    client = _client_address(peer)
    return Ends(client, _server_address(own), family == socket.AF_UNIX and client is None)


def name_of(listener: socket.socket) -> Any:
    """Return the address that the connections of ``listener`` are made to, None where each has one of its own."""
    name = listener.getsockname()
    return None if isinstance(name, tuple) and name[0] in _ANY_HOST else name


def own_name(sock: socket.socket) -> Any:
    """Return the address that the peer of ``sock`` has connected to, None where the kernel does not tell any more."""
    try:
        return sock.getsockname()
    except OSError:
        return None


def _client_address(name: Any) -> tuple[str, int] | None:
    """ASGI's ``client``: None for a unix socket, whose peer has no name, or at most a path."""
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None


def _server_address(name: Any) -> tuple[str, int | None] | None:
    """ASGI's ``server``: (path, None) for a unix socket."""
    if isinstance(name, tuple):
        return (name[0], name[1])
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return (name, None) if name else None
