"""WebSocket clients in one thread: closed-loop echo, one speaker and many listeners, or silence.

Frames are made once and answers are counted by the lengths in their headers (RFC 6455 section 5.2), so the client costs
little and knows no compression beyond the one frame that it sends.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import struct
import time
import zlib

_KEY = b"\x1f\x9b\x35\xe2"
_SECONDS = 30.0
#: Without context takeover each message is the same bytes, and can be sent again and again.
_OFFER = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"


class ClientFailed(Exception):
    """The server refused, closed, or did not answer in time."""


def frame(text: bool, size: int, compressed: bool) -> bytes:
    """A client's frame of a message of ``size`` bytes that looks like the JSON of a chatty service."""
    part = b'{"id": 48151623, "event": "price.changed", "symbol": "XETR:SAP", "bid": 212.35, "ask": 212.40}, '
    payload = (part * (size // len(part) + 1))[:size]
    first = 0x81 if text else 0x82
    if compressed:
        stream = zlib.compressobj(6, zlib.DEFLATED, -12)
        payload = (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= 0x40
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = struct.pack("!BBH", first, 0xFE, length)
    else:
        head = struct.pack("!BBQ", first, 0xFF, length)
    mask = int.from_bytes((_KEY * (length // 4 + 1))[:length], "big")
    return head + _KEY + (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")


class Socket:
    """One connection; ``answered`` counts whole messages."""

    def __init__(self, port: int, path: str, compressed: bool) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{_OFFER if compressed else ''}\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(1)
            if not data:
                raise ClientFailed("closed at the handshake")
            head += data
        if not head.startswith(b"HTTP/1.1 101"):
            raise ClientFailed(f"answered {head.splitlines()[0].decode(errors='replace')}")
        if compressed and b"permessage-deflate" not in head.lower():
            raise ClientFailed("compresses nothing")
        self.sock.setblocking(False)
        self._unread = b""
        self._skip = 0
        self._unsent = memoryview(b"")

    def send(self, data: bytes) -> bool:
        """Send; False while a part of it waits for room."""
        self._unsent = memoryview(data)
        return self.flush()

    def flush(self) -> bool:
        while self._unsent:
            try:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            except BlockingIOError:
                return False
        return True

    def take(self) -> int:
        """Read what is there; the number of messages that ended in it. Pings are not answered, and not counted."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return 0
        if not data:
            raise ClientFailed("the server closed a connection")
        if self._skip >= len(data):
            self._skip -= len(data)
            return 1 if self._skip == 0 else 0
        found = 1 if self._skip else 0
        data = self._unread + data[self._skip :]
        self._skip = 0
        while len(data) >= 2:
            length = data[1] & 0x7F
            head = 2 if length < 126 else 4 if length == 126 else 10
            if len(data) < head:
                break
            if head > 2:
                length = int.from_bytes(data[2:head], "big")
            if data[0] & 0x0F == 8:
                raise ClientFailed("the server sent a close frame")
            whole = head + length
            if len(data) < whole:
                self._skip = whole - len(data)
                data = b""
                break
            found += data[0] & 0x0F < 8
            data = data[whole:]
        self._unread = data
        return found


class Crowd:
    """Connections to one server."""

    def __init__(self, port: int, path: str, count: int, compressed: bool = False) -> None:
        self._epoll = select.epoll()
        self.sockets: dict[int, Socket] = {}
        for _ in range(count):
            one = Socket(port, path, compressed)
            self.sockets[one.sock.fileno()] = one
            self._epoll.register(one.sock, select.EPOLLIN)

    def close(self) -> None:
        for one in self.sockets.values():
            one.sock.close()
        self._epoll.close()

    def echo(self, message: bytes, seconds: float) -> int:
        """Each connection sends its next message when the last one is back; how many came back."""
        for one in self.sockets.values():
            self._send(one, message)
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            for number, event in self._epoll.poll(1.0):
                one = self.sockets[number]
                if event & select.EPOLLOUT and one.flush():
                    self._epoll.modify(number, select.EPOLLIN)
                if event & ~select.EPOLLOUT and one.take():
                    count += 1
                    self._send(one, message)
        self.collect(sum(1 for _ in self.sockets))
        return count

    def _send(self, one: Socket, message: bytes) -> None:
        if not one.send(message):
            self._epoll.modify(one.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def collect(self, wanted: int) -> int:
        """Read until ``wanted`` messages have come."""
        end = time.monotonic() + _SECONDS
        count = 0
        while count < wanted:
            if time.monotonic() > end:
                raise ClientFailed(f"{count} of {wanted} messages came in time")
            for number, event in self._epoll.poll(1.0):
                one = self.sockets[number]
                if event & select.EPOLLOUT and one.flush():
                    self._epoll.modify(number, select.EPOLLIN)
                if event & ~select.EPOLLOUT:
                    count += one.take()
        return count
