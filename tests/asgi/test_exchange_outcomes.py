"""``HttpExchange``: how it ends and who hears of it; cancellation, backpressure, what ends the worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.errors import ClientDisconnected, is_reported
from pronghorn.asgi.exchange import HttpExchange, Sending
from pronghorn.asgi.stream import RecordingStream
from tests.asgi.apps import Receive, Send, body, start
from tests.asgi.bench import TO_SENDING, Bench, Oops, Scope
from tests.asgi.doubles import RecordingLog, Timers, in_loop, make_context, settle, until
from tests.asgi.support import make_endpoint, make_request

# -- outcomes -------------------------------------------------------------------------------------------------------

#: Ended by us, in whatever words: DONE or LOST.
OVER = "OVER"
#: State, what ends it: (state after it, status of a response that is sent in the application's place or None, whether
#: the response is cut off, the level of the one log entry or None).
Outcome = tuple[str, int | None, bool, str | None]
OUTCOMES: dict[str, dict[str, Outcome]] = {
    "IDLE": {
        "return": (OVER, 500, False, "error"),
        "raise": (OVER, 500, False, "error"),
        "cancel itself": (OVER, 500, False, "error"),
        "cancel": (OVER, 503, False, "warning"),
        "timeout": (OVER, 504, False, "warning"),
        "fault": (OVER, 413, False, None),
        "lost": ("LOST", None, False, None),
        "half-close": ("IDLE", None, False, None),
    },
    "HELD": {
        "return": (OVER, 500, False, "error"),
        "raise": (OVER, 500, False, "error"),
        "cancel itself": (OVER, 500, False, "error"),
        "cancel": (OVER, 503, False, "warning"),
        "timeout": (OVER, 504, False, "warning"),
        "fault": (OVER, 413, False, None),
        "lost": ("LOST", None, False, None),
        "half-close": ("HELD", None, False, None),
    },
    "STREAMING": {
        "return": (OVER, None, True, "error"),
        "raise": (OVER, None, True, "error"),
        "cancel itself": (OVER, None, True, "error"),
        "cancel": (OVER, None, True, "warning"),
        "timeout": (OVER, None, True, "warning"),
        "fault": (OVER, None, True, None),
        "lost": ("LOST", None, False, None),
        "half-close": ("STREAMING", None, False, None),
    },
    "TRAILERS": {
        "return": (OVER, None, True, "error"),
        "raise": (OVER, None, True, "error"),
        "cancel itself": (OVER, None, True, "error"),
        "cancel": (OVER, None, True, "warning"),
        "timeout": (OVER, None, True, "warning"),
        "fault": (OVER, None, True, None),
        "lost": ("LOST", None, False, None),
        "half-close": ("TRAILERS", None, False, None),
    },
    "DONE": {
        "return": ("DONE", None, False, None),
        "raise": ("DONE", None, False, "error"),
        "cancel itself": ("DONE", None, False, None),
        "cancel": ("DONE", None, False, None),
        "fault": ("DONE", None, False, None),
        "lost": ("DONE", None, False, None),
        "half-close": ("DONE", None, False, None),
    },
    "LOST": {
        "return": ("LOST", None, False, None),
        "raise": ("LOST", None, False, "error"),
        "cancel itself": ("LOST", None, False, None),
        "cancel": ("LOST", None, False, "info"),
        "fault": ("LOST", None, False, None),
        "lost": ("LOST", None, False, None),
        "half-close": ("LOST", None, False, None),
    },
}


@pytest.mark.parametrize(("state", "step"), [(state, step) for state, steps in OUTCOMES.items() for step in steps])
@in_loop
async def test_outcomes(state: str, step: str, eager: bool) -> None:
    bench = await Bench(eager=eager).start()
    await bench.play(*TO_SENDING[state])
    before = bench.head()
    await bench.play(step)
    after, status, cut, level = OUTCOMES[state][step]
    if after == OVER:
        assert bench.exchange.sending >= Sending.DONE
    else:
        assert bench.exchange.sending is Sending[after]
    assert bench.aborted is cut
    if status is None:
        assert bench.head() == before
    else:
        head = bench.head()
        assert head is not None
        assert head[0] == status
        assert head[1]
        assert bench.stream.complete
    assert [entry[0] for entry in bench.log.entries] == ([level] if level else [])
    if step in ("return", "raise", "cancel itself", "cancel"):
        assert not bench.context.tasks


@pytest.mark.parametrize("step", ["timeout", "fault"])
@pytest.mark.parametrize("state", ["IDLE", "HELD", "STREAMING", "TRAILERS"])
@in_loop
async def test_what_we_have_ended_is_over_for_the_application_too(state: str, step: str) -> None:
    """An application that streams on, to nobody, must hear of it, or it need never come to an end."""
    bench = await Bench().start()
    await bench.play(*TO_SENDING[state], step)
    for event in ("start", "more", "last", "trailers"):
        with pytest.raises(ClientDisconnected):
            await bench.play(event)
    assert await bench.receive() == {"type": "http.disconnect"}
    assert len([call for call in bench.stream.calls if call[0] == "head"]) == 1


@pytest.mark.parametrize(
    ("state", "said"), [("IDLE", "without a response"), ("HELD", "before its response was complete")]
)
@in_loop
async def test_what_is_said_of_an_application_that_returns_early(state: str, said: str) -> None:
    bench = await Bench().start()
    await bench.play(*TO_SENDING[state], "return")
    (line,) = bench.log.errors
    assert said in line
    assert "POST '/x'" in line


@in_loop
async def test_a_fault_is_answered_with_its_reason_and_fields() -> None:
    bench = await Bench().start()
    await bench.play("fault")
    head = bench.head()
    assert head == (413, b"too much\n")
    response = bench.exchange.response
    assert response is not None
    assert (b"x-why", b"1") in response.headers


@in_loop
async def test_the_time_for_a_whole_request_ends_the_application_too() -> None:
    bench = await Bench().start()
    await bench.play("timeout")
    await settle(4)
    assert bench.cancelled
    assert not bench.context.tasks
    assert len(bench.log.entries) == 1


@in_loop
async def test_cancel_without_an_application_is_nothing() -> None:
    bench = Bench()
    bench.exchange.cancel()
    bench.exchange.on_disconnect(True)
    bench.exchange.on_writable()
    assert bench.stream.calls == []


# -- observation ----------------------------------------------------------------------------------------------------

#: State, what ends it: the status that the access log gets.
OBSERVED: dict[str, dict[str, int]] = {
    "IDLE": {"return": 500, "raise": 500, "cancel": 503, "timeout": 504, "fault": 413, "lost": 499},
    "HELD": {"return": 500, "raise": 500, "cancel": 503, "timeout": 504, "fault": 413, "lost": 499},
    "STREAMING": {"return": 200, "raise": 200, "cancel": 200, "timeout": 200, "fault": 200, "lost": 200},
    "TRAILERS": {"return": 200, "raise": 200, "cancel": 200, "timeout": 200, "fault": 200, "lost": 200},
    "DONE": {"return": 200, "raise": 200, "cancel": 200, "fault": 200, "lost": 200},
}


@pytest.mark.parametrize(("state", "step"), [(state, step) for state, steps in OBSERVED.items() for step in steps])
@in_loop
async def test_observed_once_whatever_happens(state: str, step: str) -> None:
    bench = await Bench(disconnect_grace_period=0.0).start()
    await bench.play(*TO_SENDING[state], step)
    if bench.context.tasks and not bench.cancelled:
        bench.exchange.cancel()
    await settle(4)
    assert not bench.context.tasks
    assert [status for status, _ in bench.observed] == [OBSERVED[state][step]]


@in_loop
async def test_observed_when_the_last_byte_was_handed_over() -> None:
    bench = await Bench().start()
    await bench.play("start", "more")
    assert bench.observed == []
    await bench.play("last")
    assert bench.observed == [(200, 2)]
    await bench.app_returns()
    assert len(bench.observed) == 1


@in_loop
async def test_trailers_are_waited_for() -> None:
    bench = await Bench().start()
    await bench.play("start with trailers", "last")
    assert bench.observed == []
    await bench.play("trailers")
    assert bench.observed == [(200, 1)]


@pytest.mark.parametrize("timed", [True, False])
@in_loop
async def test_started_is_exact_where_somebody_wants_it(timed: bool) -> None:
    """Else it is the time of the last sweep, which costs nothing and is good enough for diagnostics."""
    before = time.monotonic()
    bench = await Bench(timed=timed).start()
    if timed:
        assert before <= bench.exchange.started <= time.monotonic()
    else:
        assert bench.exchange.started == bench.context.clock


# -- pre_request ----------------------------------------------------------------------------------------------------


@in_loop
async def test_pre_request_comes_before_the_scope() -> None:
    bench = Bench()

    def hook(exchange: HttpExchange) -> None:
        assert exchange.scope is None
        exchange.request.headers.append((b"x-busy", b"1"))

    bench.context.pre_request = hook
    await bench.start()
    assert bench.exchange.scope is not None
    assert (b"x-busy", b"1") in bench.exchange.scope["headers"]


@in_loop
async def test_pre_request_that_raises_is_a_500() -> None:
    def hook(exchange: HttpExchange) -> None:
        raise Oops

    bench = await Bench(pre_request=hook).start()
    head = bench.head()
    assert head is not None
    assert head[0] == 500
    assert [type(error) for error in bench.log.raised] == [Oops]
    assert [status for status, _ in bench.observed] == [500]
    assert not bench.context.tasks


# -- disconnect and cancellation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["half-close", "lost"])
@pytest.mark.parametrize("state", ["IDLE", "HELD", "STREAMING", "TRAILERS"])
@in_loop
async def test_cancelled_after_the_grace_period(state: str, step: str) -> None:
    bench = await Bench(disconnect_grace_period=7.0).start()
    timers = Timers()
    await bench.play(*TO_SENDING[state], step)
    assert timers.delays == [7.0]
    assert not bench.cancelled
    timers.fire()
    await settle(4)
    assert bench.cancelled
    assert not bench.context.tasks
    assert bench.log.of("warning", "error") == [], "clients leave all the time"


@in_loop
async def test_one_grace_period_however_often_the_client_leaves() -> None:
    bench = await Bench(disconnect_grace_period=7.0).start()
    timers = Timers()
    await bench.play("half-close", "lost", "lost")
    assert timers.delays == [7.0]


@in_loop
async def test_no_grace_period_cancels_at_once() -> None:
    bench = await Bench(disconnect_grace_period=0.0).start()
    timers = Timers()
    await bench.play("lost")
    await settle(4)
    assert timers.pending == []
    assert bench.cancelled
    assert [(level, "has left" in text) for level, text, _ in bench.log.entries] == [("info", True)]


LEAVING = ["half-close", "lost"]


@pytest.mark.parametrize("step", LEAVING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "MOVE", "get"])
@in_loop
async def test_work_that_changes_something_is_finished_without_its_client(method: str, step: str) -> None:
    """Safe methods are those of RFC 9110 section 9.2.1; any other runs on unless a time was set on purpose."""
    is_safe = method in ("GET", "HEAD", "OPTIONS", "TRACE")
    for on_purpose in (False, True):
        bench = Bench(content=None, disconnect_grace_period=7.0, cancels_unsafe=on_purpose)
        bench.exchange.request.method = method
        await bench.start()
        timers = Timers()
        await bench.play("take", step)
        assert timers.delays == ([7.0] if is_safe or on_purpose else [])
        timers.fire()
        await settle(4)
        assert bench.cancelled is (is_safe or on_purpose)
        lines = [text for level, text, _ in bench.log.entries if level == "info"]
        assert len(lines) == int(bench.cancelled)
        if bench.cancelled:
            assert f"Cancelled {method} '/x' from ip=" in lines[0]
            assert " after " in lines[0]
        else:
            await bench.app_returns()
        assert not bench.context.tasks
        assert [status for status, _ in bench.observed] == [499]


#: What becomes of the application once the client is gone, and the log's status for a request that was complete, and
#: for one that was not. Its own mistake is its own where the client asked in full and may still read.
ENDINGS = {"return": (499, 499), "cancel": (499, 499), "cancel itself": (499, 499), "raise": (500, 499)}


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("begun", [[], ["start"]])
@in_loop
async def test_who_left_first_is_what_the_log_says(how: str, begun: list[str]) -> None:
    complete, cut = ENDINGS[how]
    for before, leaving, logged, told in (
        (["data", "end", "take"], "half-close", complete, 503 if complete == 499 else 500),
        (["data"], "half-close", cut, 400),
        (["data", "end"], "lost", 499, None),
        (["data"], "lost", 499, None),
        (["data"], "half-close lost", 499, None),
    ):
        bench = await Bench(disconnect_grace_period=-1.0).start()
        await bench.play(*before, *begun, *leaving.split(), how)
        await settle(4)
        assert [status for status, _ in bench.observed] == [logged], leaving
        head = bench.head()
        assert (head and head[0]) == told, (leaving, before)


@in_loop
async def test_a_negative_grace_period_never_cancels() -> None:
    bench = await Bench(disconnect_grace_period=-1.0).start()
    timers = Timers()
    await bench.play("lost")
    await settle(4)
    assert timers.pending == []
    assert not bench.cancelled


@in_loop
async def test_an_application_that_returns_in_time_is_not_cancelled() -> None:
    bench = await Bench(disconnect_grace_period=7.0).start()
    timers = Timers()
    await bench.play("lost", "return")
    assert timers.pending == []
    assert not bench.cancelled
    assert bench.log.entries == []


@in_loop
async def test_after_the_response_an_application_may_go_on() -> None:
    """Background tasks run on when the client has hung up."""
    bench = await Bench(disconnect_grace_period=0.0).start()
    await bench.play("start", "last", "lost")
    await settle(4)
    assert not bench.cancelled
    assert bench.context.tasks
    await bench.app_returns()


@in_loop
async def test_a_cancelled_application_may_still_answer(eager: bool) -> None:
    """It catches the cancellation, cleans up and says so."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await send(start(503))
            await send(body(b"shutting down"))
            raise

    context = make_context(app, eager=eager)
    stream = RecordingStream()
    exchange = HttpExchange(context, stream, make_request(), make_endpoint(context))
    exchange.start()
    await settle(3)
    exchange.cancel()
    await until(lambda: not context.tasks)
    assert stream.content == b"shutting down"
    assert exchange.status == 503
    assert context.log.entries == []


# -- backpressure ---------------------------------------------------------------------------------------------------


@in_loop
async def test_send_waits_while_the_stream_is_blocked() -> None:
    bench = await Bench().start()
    await bench.play("start")
    bench.stream.is_blocked = True
    sending = asyncio.ensure_future(bench.exchange.send(body(b"1", True)))
    await settle()
    assert not sending.done()
    assert bench.stream.content == b"1", "handed over before"
    bench.exchange.on_writable()
    await settle()
    assert not sending.done(), "blocked again at once"
    bench.stream.is_blocked = False
    bench.exchange.on_writable()
    await settle()
    assert sending.done()
    assert sending.result() is None


@in_loop
async def test_all_that_wait_go_on() -> None:
    bench = await Bench().start()
    await bench.play("start")
    bench.stream.is_blocked = True
    sending = [asyncio.ensure_future(bench.exchange.send(body(b"1", True))) for _ in range(3)]
    await settle()
    bench.stream.is_blocked = False
    bench.exchange.on_writable()
    assert await asyncio.gather(*sending) == [None] * 3


@in_loop
async def test_the_last_part_waits_for_nobody() -> None:
    """The protocol may be done with the exchange by then, and would never tell it to go on."""
    bench = await Bench().start()
    await bench.play("start")
    bench.stream.is_blocked = True
    sending = asyncio.ensure_future(bench.exchange.send(body(b"all")))
    await settle(3)
    assert sending.done()


@pytest.mark.parametrize("step", ["lost", "timeout", "fault"])
@in_loop
async def test_what_ends_the_exchange_ends_the_waiting(step: str) -> None:
    bench = await Bench().start()
    await bench.play("start")
    bench.stream.is_blocked = True
    sending = asyncio.ensure_future(bench.exchange.send(body(b"1", True)))
    await settle(3)
    await bench.play(step)
    await settle(3)
    assert sending.done()
    assert type(sending.exception()) is ClientDisconnected


@in_loop
async def test_a_cancelled_send_leaves_the_others_waiting() -> None:
    bench = await Bench().start()
    await bench.play("start")
    bench.stream.is_blocked = True
    first, second = (asyncio.ensure_future(bench.exchange.send(body(b"1", True))) for _ in range(2))
    await settle(3)
    first.cancel()
    await settle(3)
    assert first.cancelled()
    assert not second.done()
    bench.stream.is_blocked = False
    bench.exchange.on_writable()
    await second


# -- errors of the stream -------------------------------------------------------------------------------------------


class Refusing(RecordingStream):
    """Raises as a writer does for content that does not fit its declared length."""

    def send_head(self, response: Any, data: bytes, end: bool) -> None:
        super().send_head(response, data, end)
        raise RuntimeError("too long")

    def send_data(self, data: bytes, end: bool) -> None:
        super().send_data(data, end)
        raise RuntimeError("too long")


@pytest.mark.parametrize("more", [True, False])
@in_loop
async def test_what_the_stream_refuses_comes_out_of_send(more: bool) -> None:
    bench = Bench()
    bench.stream = Refusing()
    bench.exchange = HttpExchange(bench.context, bench.stream, make_request(), make_endpoint(bench.context))
    await bench.start()
    await bench.play("start")
    with pytest.raises(RuntimeError, match="too long"):
        await bench.exchange.send(body(b"1", more))
    assert len(bench.observed) == (0 if more else 1)


# -- what ends a process elsewhere ----------------------------------------------------------------------------------


class NotAnException(BaseException):
    pass


FATAL = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), NotAnException()]


def ends_with(error: BaseException, steps: int) -> Callable[..., Any]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        raise error

    return app


def calls_and_raises(error: BaseException) -> Callable[..., Any]:
    def app(scope: Scope, receive: Receive, send: Send) -> Any:
        raise error

    return app


def hook_raises(error: BaseException) -> Callable[[Any], None]:
    def hook(exchange: Any) -> None:
        raise error

    return hook


@pytest.mark.parametrize("error", FATAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["at once", "later", "call", "pre_request"])
def test_what_is_no_exception_is_a_failure_like_others(eager: bool, error: BaseException, place: str) -> None:
    """The loop may end with it, for that is asyncio's way. Entered again, it goes on where it was."""
    app = calls_and_raises(error) if place == "call" else ends_with(error, int(place == "later"))
    hook = hook_raises(error) if place == "pre_request" else None
    stream = RecordingStream()
    observed: list[int] = []

    async def serve() -> RecordingLog:
        context = make_context(
            app, eager=eager, pre_request=hook, observer=lambda exchange: observed.append(exchange.status)
        )
        HttpExchange(context, stream, make_request(), make_endpoint(context)).start()
        await settle()
        log: RecordingLog = context.log
        return log

    loop = asyncio.new_event_loop()
    try:
        serving = loop.create_task(serve())
        while not serving.done():
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(serving)
        assert stream.complete
        assert observed == [500]
        assert serving.result().raised == [error]
        assert is_reported(error)
    finally:
        loop.close()


@in_loop
async def test_a_request_is_described_in_one_short_line() -> None:
    bench = Bench()
    bench.exchange.request.target = b"/a\xff" + b"x" * 1000
    line = bench.exchange.describe()
    assert line.startswith("POST '/a")
    assert len(line) < 250
    bench.exchange.request.target = b"/a\r\nb"
    assert "\n" not in bench.exchange.describe()
