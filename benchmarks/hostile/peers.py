"""Three kinds of clients, each a function that runs in a process of its own and returns what it saw.

``attend`` behaves. ``trickle`` sends one byte of a request every few seconds and opens a new connection for each that
is closed. ``ignore`` asks for a large response and reads nothing of it.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

Address = tuple[str, int]

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_RESPONSE_END = b"Hello, world!"
_TRICKLE = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"a" * 1000
_TICK = 0.005
#: New connections in one tick: an attacker's flood, not one burst that no backlog can hold.
_MOST_OPENED = 20


@dataclass
class Seen:
    """``latencies`` in seconds. ``ages``: of connections when the server closed them. ``open``: at the end."""

    latencies: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    errors: int = 0
    refused_with_408: int = 0


def attend(address: Address, clients: int, interval: float, seconds: float) -> Seen:
    """Each of ``clients`` asks once in ``interval``, on a connection that it keeps; it is late when it has to be.

    A latency counts from the moment when the request was due, so that a server which stands still pays for all that
    it kept waiting.
    """
    seen = Seen()
    choice = random.Random(1)
    poll = select.epoll()
    socks = [socket.create_connection(address, 10) for _ in range(clients)]
    by_fd = {sock.fileno(): number for number, sock in enumerate(socks)}
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock.fileno(), select.EPOLLIN)
    start = time.perf_counter()
    due = [start + choice.random() * interval for _ in socks]
    asked = [False] * clients
    while (now := time.perf_counter()) < start + seconds:
        for number, sock in enumerate(socks):
            if not asked[number] and due[number] <= now:
                sock.sendall(_REQUEST)
                asked[number] = True
        for fd, _ in poll.poll(0.001):
            number = by_fd[fd]
            data = socks[number].recv(65536)
            if not data.endswith(_RESPONSE_END):
                seen.errors += 1
                if not data:
                    raise SystemExit("the server closed the connection of a well-behaved client")
            seen.latencies.append(time.perf_counter() - due[number])
            asked[number] = False
            due[number] += interval
    return seen


class _Flood:
    """Non-blocking connections that are opened anew when they are closed."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.seen = Seen()
        self.poll = select.epoll()
        self.socks: dict[int, socket.socket] = {}
        self.opened: dict[int, float] = {}

    def open(self, events: int, receive_buffer: int = 0) -> int:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        code = sock.connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self.seen.errors += 1
            return -1
        fd = sock.fileno()
        self.socks[fd] = sock
        self.opened[fd] = time.monotonic()
        self.seen.most_open = max(self.seen.most_open, len(self.socks))
        self.poll.register(fd, events)
        return fd

    def closed(self, fd: int) -> None:
        self.seen.ages.append(time.monotonic() - self.opened.pop(fd))
        self.poll.unregister(fd)
        self.socks.pop(fd).close()


def trickle(address: Address, connections: int, interval: float, seconds: float) -> Seen:
    """Hold ``connections``, each sending a byte every ``interval`` seconds."""
    flood = _Flood(address)
    waiting: deque[tuple[float, socket.socket, int]] = deque()  # until when, for what, bytes sent; in order of time
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        for _ in range(min(_MOST_OPENED, connections - len(flood.socks))):
            fd = flood.open(select.EPOLLIN | select.EPOLLRDHUP)
            if fd >= 0:
                waiting.append((now + interval, flood.socks[fd], 0))
        while waiting and waiting[0][0] <= now:
            _, sock, sent = waiting.popleft()
            if sock.fileno() >= 0:
                try:
                    sock.send(_TRICKLE[sent : sent + 1])
                except OSError:
                    pass  # not connected yet, or closed, which the poll tells
                waiting.append((now + interval, sock, sent + 1))
        for fd, _ in flood.poll.poll(_TICK):
            try:
                data = flood.socks[fd].recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if b" 408 " in data:
                flood.seen.refused_with_408 += 1
            elif not data:
                flood.closed(fd)
    flood.seen.open = len(flood.socks)
    return flood.seen


def ignore(address: Address, connections: int, seconds: float) -> Seen:
    """Ask for the large response ``connections`` times and read nothing, until all are closed or time is over."""
    flood = _Flood(address)
    asking = set()
    for _ in range(connections):
        asking.add(flood.open(select.EPOLLOUT, 65536))
    start = time.monotonic()
    while flood.socks and time.monotonic() < start + seconds:
        for fd, events in flood.poll.poll(0.1):
            if fd in asking and events & select.EPOLLOUT:
                asking.discard(fd)
                flood.socks[fd].send(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                flood.poll.modify(fd, 0)  # errors and hang-ups only
            elif events & (select.EPOLLERR | select.EPOLLHUP):
                flood.closed(fd)
    flood.seen.open = len(flood.socks)
    return flood.seen
