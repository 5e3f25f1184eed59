"""What a trusted proxy says of one request, and who is asked for it. Which fields are believed is decided elsewhere."""

from __future__ import annotations


class Forwarding:
    """What a trusted proxy says of one request; None where it says nothing and the connection's own holds.

    ``client``: (host, port), port 0 when it is not told · ``scheme``: "http" or "https" · ``host``: bytes, a Host
    field's value · ``root_path``: str, "" or beginning with a slash, without one at its end.
    """

    __slots__ = ("client", "host", "root_path", "scheme")

    def __init__(self) -> None:
        self.client: tuple[str, int] | None = None
        self.scheme: str | None = None
        self.host: bytes | None = None
        self.root_path: str | None = None


class Forwarder:
    """Reads the fields that are believed. Implemented in ``pronghorn.proxies``."""

    __slots__ = ()

    def read(self, headers: list[tuple[bytes, bytes]], scheme: str) -> Forwarding | None:
        """Return what ``headers`` say, None when they hold no field that is believed.

        ``headers``: of a request of a trusted peer, names in lower case. ``scheme``: "http" or "https", how the peer
        itself speaks to us. Raises ProtocolError 400 for fields that contradict each other or say nothing legal.
        """
        raise NotImplementedError

    def client(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
        """Return the client alone, None where ``headers`` do not tell it; for the log, of requests that are refused."""
        raise NotImplementedError
