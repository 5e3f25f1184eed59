"""lockstep: one message out, one answer back, over each of N connections; for what wrk cannot do.

    closed loop   the next message leaves when the answer is there
    open loop     --rate: messages leave at Poisson times, and latency counts from the time a message was
                  due, whether or not a connection was free (no coordinated omission); one that was never
                  answered counts with the time it had waited by the end
    --hold        each connection does one exchange, then all stay open until standard input ends

It knows two kinds of answer: an HTTP/1.1 response with Content-Length (RFC 9112 section 6.3), and the echo of a
WebSocket message (RFC 6455 section 5). One thread, epoll, one line of JSON. It knows nothing of servers and
workloads, and imports little, because its start is part of the measured window.
"""

from __future__ import annotations

import gc
import math
import select
import signal
import socket
import sys
import time

_now = time.monotonic_ns

_SECOND = 1_000_000_000
_TICK = 100  # nanoseconds, the grain of latencies
_TICKS = 10.0  # per microsecond
_FINE = 1 << 18  # ticks: 26 ms
_ROOM = 1 << 18  # the largest answer
_READ = 1 << 14
_EVENTS = 256
_SOCKET_SECONDS = 10
_DRAIN_SECONDS = 2
_WAIT_SECONDS = 0.1
_PING = 0x89
_MASK_64 = 0xFFFF_FFFF_FFFF_FFFF
_FRAME_MASK = b"\x1f\x9b\x35\xe2"
_LARGEST_MESSAGE = 65535


class Options:
    """The command line, parsed. SystemExit for one that cannot be run."""

    def __init__(self, words):
        given = {}
        rest = iter(words)
        for word in rest:
            given[word] = "" if word == "--hold" else next(rest, "")
        self.hold = given.pop("--hold", None) is not None
        self.port = int(given.pop("--port", 0))
        self.path = given.pop("--unix", "")
        self.connections = int(given.pop("--connections", 64))
        self.seconds = float(given.pop("--seconds", 3))
        self.rate = float(given.pop("--rate", 0))
        self.limit = int(given.pop("--limit", sys.maxsize))
        message = int(given.pop("--websocket", 0))
        self.request = _content(given.pop("--request", ""))
        self.handshake = _content(given.pop("--handshake", ""))
        self.echo = b""
        if message:
            self.request, self.echo = _frames(message)
        if given or not self.request or not (self.port or self.path) or self.connections < 1:
            raise SystemExit(f"lockstep: bad arguments: {' '.join(words)}")


class Samples:
    """Durations: counted per tick up to `_FINE`, so that a percentile needs no sorting; the rare rest one by one."""

    def __init__(self):
        self.count = 0
        self._counts = [0] * _FINE
        self._longer = []

    def record(self, elapsed):
        ticks = elapsed // _TICK
        if ticks < _FINE:
            self._counts[ticks] += 1
        else:
            self._longer.append(ticks)
        self.count += 1

    def percentile(self, share):
        """Microseconds below which the share of the samples lies."""
        if not self.count:
            return 0.0
        rank = min(int(share * self.count), self.count - 1)
        seen = 0
        for ticks in range(_FINE):
            seen += self._counts[ticks]
            if seen > rank:
                return ticks / _TICKS
        return sorted(self._longer)[rank - seen] / _TICKS


class Arrivals:
    """Due times with exponential gaps; a fixed seed (xorshift64), so that every server gets the same arrivals."""

    def __init__(self, rate, began):
        self._mean = _SECOND / rate
        self._state = 0x9E37_79B9_7F4A_7C15
        self.due = began
        self.advance()

    def advance(self):
        state = self._state
        state ^= (state << 13) & _MASK_64
        state ^= state >> 7
        state ^= (state << 17) & _MASK_64
        self._state = state
        self.due += int(-math.log(((state >> 11) + 0.5) / 9007199254740992.0) * self._mean)


class Connection:
    """One socket, the time its message in flight was due, and the part of an answer that is there."""

    def __init__(self, options):
        self._options = options
        self.socket = None
        self.busy = False
        self.due = 0
        self.rest = b""

    def open(self):
        """Connect, and upgrade where there is a handshake. False if that fails."""
        self.busy = False
        self.rest = b""
        self.socket = None
        connecting = socket.socket(socket.AF_UNIX if self._options.path else socket.AF_INET, socket.SOCK_STREAM)
        connecting.settimeout(_SOCKET_SECONDS)
        try:
            if self._options.path:
                connecting.connect(self._options.path)
            else:
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connecting.connect(("127.0.0.1", self._options.port))
            if self._options.handshake:
                _upgrade(connecting, self._options.handshake)
        except (OSError, ValueError):
            connecting.close()
            return False
        self.socket = connecting
        self._send = connecting.send
        self._receive = connecting.recv
        return True

    def receive(self):
        """What is there, after what was there before. ConnectionError at its end."""
        data = self._receive(_READ)
        if not data:
            raise ConnectionError("closed by the server")
        return self.rest + data if self.rest else data

    def send(self, message):
        """All of it. What goes wrong is reported by the next read."""
        try:
            done = self._send(message)
        except BlockingIOError:
            done = 0
        except OSError:
            done = -1
        if done != len(message):
            self._send_rest(message, done)

    def _send_rest(self, message, done):
        waits = self.socket.gettimeout()
        try:
            if done < 0:
                raise ConnectionError("not sent")
            self.socket.settimeout(_SOCKET_SECONDS)
            self.socket.sendall(message[done:])
        except OSError:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the server was first
        self.socket.settimeout(waits)


class Response:
    """Finds the end of an HTTP response; `failures` counts statuses other than 2xx."""

    def __init__(self):
        self.failures = 0
        self._head = b"\0"  # no head begins like this
        self._length = 0
        self._failed = False

    def end(self, data):
        """Length of the complete response at the start of `data`, 0 if it is not all there. ValueError: wrong."""
        # Most heads are, byte for byte, the one before.
        if not data.startswith(self._head) and not self._read_head(data):
            return 0
        if self._length > len(data):
            return 0
        if self._failed:
            self.failures += 1
        return self._length

    def _read_head(self, data):
        head, ending, _ = data.partition(b"\r\n\r\n")
        if not ending:
            if len(data) >= _ROOM:
                raise ValueError("a head without an end")
            return False
        if not head.startswith(b"HTTP/1."):
            raise ValueError("not HTTP/1")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                self._length = len(head) + 4 + int(value)
                break
        else:
            raise ValueError("no Content-Length")
        if self._length > _ROOM:
            raise ValueError("an answer too long")
        self._head = head + ending
        self._failed = head[9:10] != b"2"
        return True


class Client:
    """The connections of one run, the loops over them, and what they count."""

    def __init__(self, options):
        self._options = options
        self._request = options.request
        self._echo = options.echo
        self._limit = options.limit
        self._connections = [Connection(options) for _ in range(options.connections)]
        self._watched = {}
        self._epoll = select.epoll()
        self._response = Response()
        self._sent = self._answered = self._unopened = self._broken = self._overdue = 0
        self._latency = Samples()
        self._lateness = Samples()

    def run(self):
        for connection in self._connections:
            self._open(connection)
        began = _now()
        stop = began + int(self._options.seconds * _SECOND)
        if self._options.rate > 0:
            self._open_loop(stop)
        else:
            self._closed_loop(stop)
        self._drain()
        self._report(began)

    def hold(self):
        began = _now()
        for connection in self._connections:
            self._exchange_once(connection)
        self._report(began)
        sys.stdin.buffer.read()

    # the loops

    def _closed_loop(self, stop):
        for connection in self._connections:
            if self._sent < self._limit:
                self._start(connection, _now())
        poll = self._epoll.poll
        while _now() < stop and self._answered + self._broken < self._limit:
            for event in poll(_WAIT_SECONDS, _EVENTS):
                connection = self._watched[event[0]]
                if self._finish(connection) and self._sent < self._limit:
                    self._start(connection, _now())

    def _open_loop(self, stop):
        """Due messages wait in line for a free connection. Spins: to sleep is to be late."""
        arrivals = Arrivals(self._options.rate, _now())
        poll = self._epoll.poll
        idle = list(self._connections)
        line = []
        first = 0
        while True:
            now = _now()
            if now >= stop:
                break
            unhindered = first == len(line) and len(idle) > 0
            while arrivals.due <= now:
                line.append(arrivals.due)
                arrivals.advance()
            while first < len(line) and idle:
                due = line[first]
                first += 1
                if unhindered:
                    self._lateness.record(_now() - due)
                self._start(idle.pop(), due)
            for event in poll(0, _EVENTS):
                connection = self._watched[event[0]]
                was_busy = connection.busy
                if self._finish(connection) and was_busy:
                    idle.append(connection)
        self._overdue += len(line) - first  # due, never sent: the server could not keep up
        for due in line[first:]:
            self._latency.record(_now() - due)

    def _drain(self):
        stop = _now() + _DRAIN_SECONDS * _SECOND
        while self._waits() and _now() < stop:
            for event in self._epoll.poll(_WAIT_SECONDS, _EVENTS):
                self._finish(self._watched[event[0]])
        for connection in self._connections:
            if connection.busy:
                self._overdue += 1
                self._latency.record(_now() - connection.due)

    def _waits(self):
        for connection in self._connections:  # noqa: SIM110 - a generator expression sees no C attributes
            if connection.busy:
                return True
        return False

    def _exchange_once(self, connection):
        if not connection.open():
            self._unopened += 1
            return
        self._start(connection, _now())
        stop = _now() + _SOCKET_SECONDS * _SECOND
        done = False
        try:
            while not done and _now() < stop:
                done = self._take(connection)
        except (OSError, ValueError):
            pass  # counted like one that is not done
        connection.busy = False
        if done:
            self._latency.record(_now() - connection.due)
            self._answered += 1
        else:
            self._broken += 1

    # one exchange

    def _start(self, connection, due):
        if connection.socket is None:
            self._unopened += 1
            return
        connection.busy = True
        connection.due = due
        self._sent += 1
        connection.send(self._request)

    def _finish(self, connection):
        """Read; whether the connection is now free for the next message."""
        try:
            if not self._take(connection):
                return False
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            return self._reopen(connection)
        self._latency.record(_now() - connection.due)
        self._answered += 1
        connection.busy = False
        return True

    def _take(self, connection):
        """Whether the awaited answer is complete. OSError: the connection is lost. ValueError: a wrong answer."""
        data = connection.receive()
        done = False
        while data:
            if self._echo and data[0] == _PING:
                used = _pong(connection, data)
            elif done or not connection.busy:
                raise ValueError("bytes nobody asked for")
            else:
                used = _echo_end(data, self._echo) if self._echo else self._response.end(data)
                done = used > 0
            if not used:
                break
            data = data[used:] if used < len(data) else b""
        connection.rest = data
        return done

    def _open(self, connection):
        if not connection.open():
            self._unopened += 1
            return False
        connection.socket.setblocking(False)
        self._watched[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        return True

    def _reopen(self, connection):
        if connection.busy:
            self._broken += 1
        del self._watched[connection.socket.fileno()]
        connection.socket.close()
        return self._open(connection)

    def _report(self, began):
        seconds = (_now() - began) / 1e9
        latency = self._latency
        print(
            f'{{"requests": {self._answered}, "seconds": {seconds:.6f}, "p50": {latency.percentile(0.5):.1f}, '
            f'"p99": {latency.percentile(0.99):.1f}, "p999": {latency.percentile(0.999):.1f}, '
            f'"max": {latency.percentile(1.0):.1f}, "late_p99": {self._lateness.percentile(0.99):.1f}, '
            f'"connect": {self._unopened}, "read": {self._broken}, "status": {self._response.failures}, '
            f'"timeout": {self._overdue}}}',
            flush=True,
        )


def _echo_end(data, echo):
    """Length of the echo at the start of `data`, 0 if it is not all there. ValueError: something else."""
    if data.startswith(echo):
        return len(echo)
    if not echo.startswith(data):
        raise ValueError("not the message sent")
    return 0


def _pong(connection, data):
    """Answer the ping at the start of `data`; its length, 0 if it is not all there."""
    if len(data) < 2 or len(data) < 2 + data[1]:
        return 0
    end = 2 + data[1]
    # An all-zero masking key is legal and carries the payload as it is.
    connection.send(bytes((0x8A, 0x80 | data[1], 0, 0, 0, 0)) + data[2:end])
    return end


def _upgrade(connecting, handshake):
    """Blocking: 101 and the end of the head. The server has no reason to say more unasked."""
    connecting.sendall(handshake)
    head = b""
    while b"\r\n\r\n" not in head:
        data = connecting.recv(_READ)
        if not data or len(head) > _READ:
            raise ConnectionError("no answer to the upgrade")
        head += data
    if head[9:12] != b"101":
        raise ValueError("not upgraded")


def _frames(length):
    """A masked binary message of the client, and its echo. The mask is fixed: a message costs nothing to build."""
    if length > _LARGEST_MESSAGE:
        raise SystemExit(f"lockstep: --websocket {length}: no message is that long")
    payload = bytes(ord("a") + i % 26 for i in range(length))
    masked = bytes(byte ^ _FRAME_MASK[i % 4] for i, byte in enumerate(payload))
    size = bytes((length,)) if length < 126 else bytes((126, length >> 8, length & 0xFF))
    return bytes((0x82, 0x80 | size[0])) + size[1:] + _FRAME_MASK + masked, b"\x82" + size + payload


def _content(name):
    if not name:
        return b""
    with open(name, "rb") as file:
        return file.read()


def main(words):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the driver reports the interruption
    gc.disable()  # no cycles are made per message, and a collection would be a pause
    options = Options(words)
    client = Client(options)
    if options.hold:
        client.hold()
    else:
        client.run()


if __name__ == "__main__":
    main(sys.argv[1:])
