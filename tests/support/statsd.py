"""A statsd server, as far as a test needs one: a UDP socket and what came to it."""

from __future__ import annotations

import socket


class Statsd:
    """Receives datagrams; ``lines`` is all of them so far."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        while True:
            try:
                self._lines.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return self._lines

    def count(self, text: str) -> int:
        return self.lines().count(text)
