"""An exchange on a bench: driven step by step, from both of its sides, with no application in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.stream import RecordingStream
from pronghorn.wire.errors import ProtocolError
from tests.asgi.apps import Event, Receive, Send, body, start
from tests.asgi.doubles import RecordingLog, make_context, settle
from tests.asgi.support import make_endpoint, make_request

Scope = dict[str, Any]


class Oops(Exception):
    pass


class Bench:
    """An exchange whose application does nothing until told how to end, so that the test sends and receives itself."""

    def __init__(self, *, content: bytes | None = b"abc", eager: bool = False, **attributes: Any) -> None:
        self._outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cancelled = False
        self.observed: list[tuple[int, int]] = []
        self.context = make_context(self._app, eager=eager, observer=self._observe, **attributes)
        self.stream = RecordingStream()
        headers = [(b"host", b"x"), (b"te", b"trailers")]
        request = make_request("POST", b"/x", headers, body=content)
        self.exchange = HttpExchange(self.context, self.stream, request, make_endpoint(self.context))

    @property
    def log(self) -> RecordingLog:
        log: RecordingLog = self.context.log
        return log

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._outcome
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def _observe(self, exchange: HttpExchange) -> None:
        assert exchange is self.exchange
        self.observed.append((exchange.status, exchange.stream.sent))

    async def start(self) -> Bench:
        self.exchange.start()
        await settle(2)
        return self

    async def app_returns(self) -> None:
        self._outcome.set_result(None)
        await settle(4)

    async def app_raises(self, error: BaseException) -> None:
        self._outcome.set_exception(error)
        await settle(4)

    async def app_cancels_itself(self) -> None:
        self._outcome.cancel()
        await settle(4)

    async def receive(self) -> Event | None:
        """What ``receive`` returns, or None where it waits."""
        task = asyncio.ensure_future(self.exchange.receive())
        await settle(4)
        if task.done():
            return task.result()
        task.cancel()
        await settle(2)
        return None

    async def play(self, *steps: str) -> None:
        for step in steps:
            await STEPS[step](self)

    def head(self) -> tuple[int, bytes] | None:
        """Status and first content of the response that was sent."""
        for name, *values in self.stream.calls:
            if name == "head":
                response: Any = values[0]
                return response.status, values[1]  # type: ignore[return-value]
        return None

    @property
    def aborted(self) -> bool:
        return ("abort",) in self.stream.calls


async def _data(bench: Bench) -> None:
    bench.exchange.on_data(b"abc")


async def _end(bench: Bench) -> None:
    bench.exchange.on_end([])


async def _half(bench: Bench) -> None:
    bench.exchange.on_disconnect(False)


async def _lost(bench: Bench) -> None:
    bench.exchange.on_disconnect(True)


async def _fault(bench: Bench) -> None:
    bench.exchange.on_fault(ProtocolError(413, "too much", ((b"x-why", b"1"),)))


async def _timeout(bench: Bench) -> None:
    bench.exchange.on_timeout()


async def _take(bench: Bench) -> None:
    await bench.receive()


def _sending(*events: Event) -> Callable[[Bench], Any]:
    async def step(bench: Bench) -> None:
        for event in events:
            await bench.exchange.send(event)

    return step


async def _app_returns(bench: Bench) -> None:
    await bench.app_returns()


async def _app_raises(bench: Bench) -> None:
    await bench.app_raises(Oops())


async def _app_cancels(bench: Bench) -> None:
    await bench.app_cancels_itself()


async def _cancel(bench: Bench) -> None:
    bench.exchange.cancel()
    await settle(4)


STEPS: dict[str, Callable[[Bench], Any]] = {
    "data": _data,
    "end": _end,
    "half-close": _half,
    "lost": _lost,
    "fault": _fault,
    "timeout": _timeout,
    "take": _take,
    "start": _sending(start()),
    "start with trailers": _sending(start(trailers=True)),
    "more": _sending(body(b"1", True)),
    "last": _sending(body(b"2")),
    "empty": _sending(body(b"", True)),
    "trailers": _sending({"type": "http.response.trailers", "headers": [(b"x-t", b"1")]}),
    "hint": _sending({"type": "http.response.early_hint", "links": [b"</a>"]}),
    "unknown": _sending({"type": "http.response.surprise"}),
    "return": _app_returns,
    "raise": _app_raises,
    "cancel itself": _app_cancels,
    "cancel": _cancel,
}

#: The steps that lead to each state of the response.
TO_SENDING: dict[str, list[str]] = {
    "IDLE": [],
    "HELD": ["start"],
    "STREAMING": ["start", "more"],
    "TRAILERS": ["start with trailers", "last"],
    "DONE": ["start", "last"],
    "LOST": ["lost"],
}
