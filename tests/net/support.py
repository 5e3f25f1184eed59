"""A connection without a socket that serves an application, and what its peer understands of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11

from pronghorn.asgi.context import Context
from pronghorn.net.connection import Connection
from pronghorn.net.ends import Ends
from pronghorn.net.http1 import Http1
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn
from pronghorn.wire.http1_rules import Rules
from tests.asgi.apps import Event, Receive, Scope, Send, read_all, reply
from tests.asgi.doubles import RecordingLog, make_context, until
from tests.net.transport import CLIENT, SERVER, FakeTransport

GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"


class Wire:
    """One connection that serves ``app`` over HTTP/1, seen from the peer.

    ``attributes`` are the context's. Bytes go in by ``send`` and come out in ``received``; time passes by
    ``advance``. Reading and answering are two steps, as on a loop: what ``send`` had read is answered in the turn that
    follows, which is the loop's to take, or ``take_turn``'s at once.
    ``worker``: a wire whose context, reaper and turn this one shares, as connections of one worker do.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        eager: bool = False,
        extra: dict[str, Any] | None = None,
        ends: Ends | None = None,
        rules: Rules | None = None,
        worker: Wire | None = None,
        **attributes: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        if worker is None:
            attributes.setdefault("rules", rules or Rules())
            attributes.setdefault("trusting_rules", attributes["rules"])
            self.context: Context = make_context(app, eager=eager, **attributes)
            self.reaper = Reaper(loop, self.context)
            self.turn = Turn(self.context)
        else:
            self.context, self.reaper, self.turn = worker.context, worker.reaper, worker.turn
        self.connection = Connection(self.context, self.reaper, self.turn, Http1)
        self.transport = FakeTransport(loop, **(extra or {}))
        self.transport.protocol = self.connection
        self.connection.ends = ends or Ends(CLIENT, SERVER, False)
        self.connection.connection_made(self.transport)

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    @property
    def received(self) -> bytes:
        return bytes(self.transport.received)

    @property
    def closed(self) -> bool:
        return self.transport.closing

    def send(self, data: bytes) -> None:
        """Have ``data`` read, and nothing more: what is to be answered is, in the turn that comes."""
        assert data
        self.transport.arrive(data)

    def take_turn(self) -> None:
        """Take the turn that was asked for, without a turn of the loop before it."""
        self.turn.run()

    def send_eof(self) -> None:
        self.transport.arrive(b"")

    def lose(self, error: Exception | None = None) -> None:
        self.transport.lose(error)

    def reset(self) -> None:
        """The peer resets the connection."""
        self.transport.reset()

    def stop_reading(self) -> None:
        """The peer reads nothing from now on."""
        self.transport.peer_reads = False

    def read_all(self) -> None:
        """The peer reads what there is and what comes."""
        self.transport.peer_reads = True
        self.transport.take()

    async def answered(self, count: int = 1, *methods: str) -> list[Answer]:
        """Wait for ``count`` whole responses and return them."""
        await until(lambda: sum(one.complete or one.cut for one in self.responses(*methods)) >= count, "the responses")
        answers = self.responses(*methods)
        assert len(answers) == count
        return answers

    async def ended(self) -> None:
        """Wait for the end of what the server sends, and end as well, as a client does."""
        await until(lambda: self.closed or self.transport.eof_written, "the end")
        if not self.closed:
            self.send_eof()
        await until(lambda: not self.reaper.connections, "the close")

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass and sweep once."""
        self.reaper.sweep(self.context.clock + seconds)

    def responses(self, *methods: str) -> list[Answer]:
        """The responses received so far, read by h11; ``methods``: of the requests, GET where not given."""
        return read_responses(self.received, *methods, ended=self.closed or self.transport.eof_written)


def post(content: bytes, *fields: bytes, path: bytes = b"/", declared: int = -1) -> bytes:
    length = len(content) if declared < 0 else declared
    lines = [b"POST %b HTTP/1.1" % path, b"host: x", b"content-length: %d" % length, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, scope["raw_path"] + b" " + await read_all(receive))


class Gate:
    """An application that answers, and then only when it is let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.paths: list[str] = []
        self.events: list[Event] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await self.open.wait()
        await reply(send, scope["raw_path"])


class Answer:
    """One response as the peer understood it."""

    def __init__(self) -> None:
        self.interim: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.cut = False

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, (name, values)
        return values[0] if values else None


def read_responses(data: bytes, *methods: str, ended: bool = False) -> list[Answer]:
    """Read ``data`` as responses, strictly; raises h11.RemoteProtocolError or AssertionError for what is none."""
    answers: list[Answer] = []
    rest = data
    for method in methods or ("GET",) * (data.count(b"HTTP/1.1 ") + 1):
        answer, rest = _read_response(rest, method, ended)
        if answer is None:
            break
        answers.append(answer)
        if not answer.complete:
            break
    assert not rest or (answers and not answers[-1].complete), f"more than was asked for: {rest[:200]!r}"
    return answers


def _read_response(data: bytes, method: str, ended: bool) -> tuple[Answer | None, bytes]:
    if not data:
        return None, b""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if ended:
        client.receive_data(b"")
    answer = Answer()
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            if not ended or not answer.status:
                raise
            answer.cut = True
            return answer, b""
        if event is h11.NEED_DATA:
            return (answer if answer.status or answer.interim else None), b""
        if isinstance(event, h11.InformationalResponse):
            answer.interim.append((event.status_code, [(bytes(n), bytes(v)) for n, v in event.headers]))
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, h11.Data):
            answer.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            answer.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
            answer.complete = True
            return answer, client.trailing_data[0]
        else:
            raise AssertionError(event)
