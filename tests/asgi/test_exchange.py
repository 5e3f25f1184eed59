"""``HttpExchange``: each state of receiving and sending under each input, as tables."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from pronghorn.asgi.errors import ClientDisconnected, EventError
from pronghorn.asgi.exchange import Receiving, Sending
from tests.asgi.apps import Event, body, start
from tests.asgi.bench import TO_SENDING, Bench
from tests.asgi.doubles import in_loop, settle

# -- Receiving ------------------------------------------------------------------------------------------------------

TO_RECEIVING: dict[str, list[str]] = {
    "OPEN": [],
    "OPEN with content": ["data"],
    "COMPLETE": ["data", "end"],
    "COMPLETE_THEN_GONE": ["data", "end", "half-close"],
    "TAKEN": ["data", "end", "take"],
    "GONE": ["half-close"],
}
GONE = {"type": "http.disconnect"}
WAITS = None


def content(data: bytes, more: bool) -> Event:
    return {"type": "http.request", "body": data, "more_body": more}


#: Nobody asks any more.
ANY = ""
#: State, input: the state after it, and what ``receive`` then says.
RECEIVING: dict[str, dict[str, tuple[str, Event | None]]] = {
    "OPEN": {
        "data": ("OPEN", content(b"abc", True)),
        "end": ("COMPLETE", content(b"", False)),
        "take": ("OPEN", WAITS),
        "half-close": ("GONE", GONE),
        "lost": ("GONE", GONE),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
    "OPEN with content": {
        "data": ("OPEN", content(b"abcabc", True)),
        "end": ("COMPLETE", content(b"abc", False)),
        "take": ("OPEN", WAITS),
        "half-close": ("GONE", GONE),
        "lost": ("GONE", GONE),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
    "COMPLETE": {
        "data": ("COMPLETE", content(b"abc", False)),
        "end": ("COMPLETE", content(b"abc", False)),
        "take": ("TAKEN", WAITS),
        "half-close": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "lost": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
    "COMPLETE_THEN_GONE": {
        "data": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "end": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "take": ("GONE", GONE),
        "half-close": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "lost": ("COMPLETE_THEN_GONE", content(b"abc", False)),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
    "TAKEN": {
        "data": ("TAKEN", WAITS),
        "end": ("TAKEN", WAITS),
        "take": ("TAKEN", WAITS),
        "half-close": ("GONE", GONE),
        "lost": ("GONE", GONE),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
    "GONE": {
        "data": ("GONE", GONE),
        "end": ("GONE", GONE),
        "take": ("GONE", GONE),
        "half-close": ("GONE", GONE),
        "lost": ("GONE", GONE),
        "fault": ("GONE", GONE),
        "timeout": (ANY, GONE),
    },
}


@pytest.mark.parametrize(("state", "step"), [(state, step) for state, steps in RECEIVING.items() for step in steps])
@in_loop
async def test_receiving(state: str, step: str, eager: bool) -> None:
    bench = await Bench(eager=eager).start()
    await bench.play(*TO_RECEIVING[state])
    assert bench.exchange.receiving is Receiving[state.partition(" ")[0]]
    await bench.play(step)
    after, said = RECEIVING[state][step]
    if after != ANY:
        assert bench.exchange.receiving is Receiving[after]
    assert await bench.receive() == said


@pytest.mark.parametrize("state", TO_RECEIVING)
@in_loop
async def test_after_the_response_there_is_only_the_disconnect(state: str) -> None:
    bench = await Bench().start()
    await bench.play(*TO_RECEIVING[state], "start", "last")
    for _ in range(3):
        assert await bench.receive() == GONE
    await bench.play("data", "end", "half-close")
    assert await bench.receive() == GONE


@in_loop
async def test_a_request_without_content_is_complete_from_the_start() -> None:
    bench = await Bench(content=None).start()
    assert bench.exchange.receiving is Receiving.COMPLETE
    assert await bench.receive() == content(b"", False)
    assert await bench.receive() is WAITS


@pytest.mark.parametrize("step", ["data", "end", "half-close", "lost", "fault", "timeout", "last"])
@in_loop
async def test_a_receive_that_waits_is_woken(step: str) -> None:
    bench = await Bench().start()
    await bench.play("start")
    waiting = asyncio.ensure_future(bench.exchange.receive())
    await settle(3)
    assert not waiting.done()
    await bench.play(step)
    await settle(3)
    assert waiting.done()


@in_loop
async def test_what_is_taken_is_told_to_the_stream() -> None:
    bench = await Bench().start()
    await bench.play("data", "data")
    assert ("consumed", 6) not in bench.stream.calls
    await bench.play("take", "data", "take", "end", "take")
    assert [call for call in bench.stream.calls if call[0] == "consumed"] == [("consumed", 6), ("consumed", 3)]


# -- Expect: 100-continue -------------------------------------------------------------------------------------------

CONTINUE = ("informational", 100, [])


async def expecting(*steps: str) -> Bench:
    bench = Bench()
    bench.exchange.request.expect_continue = True
    await bench.start()
    await bench.play(*steps)
    return bench


@in_loop
async def test_100_is_sent_when_the_application_asks_for_content() -> None:
    bench = await expecting()
    assert bench.stream.calls == []
    coroutine: Any = bench.exchange.receive()
    assert bench.stream.calls == [], "asked is when it is awaited"
    coroutine.close()
    await bench.play("take", "take")
    assert bench.stream.calls == [CONTINUE], "once"


@pytest.mark.parametrize("steps", [["data"], ["start"], ["data", "end"], ["half-close"], ["start", "last"]], ids=str)
@in_loop
async def test_100_is_not_sent_where_it_says_nothing(steps: list[str]) -> None:
    """The content comes anyway, or nobody will read it (RFC 9110 section 10.1.1)."""
    bench = await expecting(*steps, "take")
    assert CONTINUE not in bench.stream.calls


# -- Sending --------------------------------------------------------------------------------------------------------

REFUSED = EventError
LEFT = ClientDisconnected

#: State, event: the state after it, or the error that ``send`` raises and which leaves the state as it was.
SENDING: dict[str, dict[str, str | type[BaseException]]] = {
    "IDLE": {
        "start": "HELD",
        "more": REFUSED,
        "last": REFUSED,
        "trailers": REFUSED,
        "hint": "IDLE",
        "unknown": REFUSED,
    },
    "HELD": {
        "start": REFUSED,
        "more": "STREAMING",
        "last": "DONE",
        "trailers": REFUSED,
        "hint": "HELD",
        "unknown": REFUSED,
    },
    "STREAMING": {
        "start": REFUSED,
        "more": "STREAMING",
        "empty": "STREAMING",
        "last": "DONE",
        "trailers": REFUSED,
        "hint": "STREAMING",
        "unknown": REFUSED,
    },
    "TRAILERS": {
        "start": REFUSED,
        "more": REFUSED,
        "last": REFUSED,
        "trailers": "DONE",
        "hint": "TRAILERS",
        "unknown": REFUSED,
    },
    "DONE": {"start": "DONE", "more": "DONE", "last": "DONE", "trailers": "DONE", "hint": "DONE", "unknown": REFUSED},
    "LOST": {"start": LEFT, "more": LEFT, "last": LEFT, "trailers": LEFT, "hint": LEFT, "unknown": LEFT},
}


@pytest.mark.parametrize(("state", "step"), [(state, step) for state, steps in SENDING.items() for step in steps])
@in_loop
async def test_sending(state: str, step: str) -> None:
    bench = await Bench().start()
    await bench.play(*TO_SENDING[state])
    assert bench.exchange.sending is Sending[state]
    calls = [*bench.stream.calls]
    expected = SENDING[state][step]
    if isinstance(expected, str):
        await bench.play(step)
        assert bench.exchange.sending is Sending[expected]
    else:
        with pytest.raises(expected):
            await bench.play(step)
        assert bench.exchange.sending is Sending[state]
    if not isinstance(expected, str) or state == "DONE":
        assert bench.stream.calls == calls, "nothing was sent"


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        (["start", "last"], ["head"]),
        (["start", "more", "last"], ["head", "data"]),
        (["start", "empty", "last"], ["head", "data"]),
        (["start", "empty", "empty", "more", "last"], ["head", "data", "data"]),
        (["start with trailers", "last", "trailers"], ["head", "trailers"]),
        (["start with trailers", "more", "last", "trailers"], ["head", "data", "trailers"]),
        (["hint", "start", "hint", "last"], ["informational", "informational", "head"]),
    ],
    ids=lambda value: " ".join(value),
)
@in_loop
async def test_what_reaches_the_stream(steps: list[str], names: list[str]) -> None:
    """The head goes with the first content; an empty part in between is no part."""
    bench = await Bench().start()
    await bench.play(*steps)
    assert [call[0] for call in bench.stream.calls] == names
    assert bench.stream.complete


# -- an application that sends on and on ----------------------------------------------------------------------------

#: What may be sent for ever, and what brings the response where that is of no use any more.
ENDLESS = [
    (["lost"], body(b"x", True)),
    (["lost"], start()),
    (["lost"], {"type": "http.response.trailers"}),
    (["lost"], {"type": "http.response.early_hint", "links": []}),
    (["lost"], {"type": "http.response.pathsend", "path": "/nowhere"}),
    (["lost"], {"type": "no such event"}),
    (["start", "lost"], body(b"x", True)),
    (["start", "more", "lost"], body(b"x", True)),
    (["start", "last"], body(b"x", True)),
    (["start", "last", "lost"], body(b"x", True)),
    (["start", "last"], {"type": "no such event"}),
    (["timeout"], body(b"x", True)),
    (["fault"], body(b"x", True)),
    ([], body(b"x", True)),
    ([], {"type": "no such event"}),
    ([], {}),
    (["start"], start()),
]


@pytest.mark.parametrize("way", ["await", "gather", "task", "wait_for"])
@in_loop
async def test_an_application_that_sends_on_and_on_lets_the_loop_run(way: str) -> None:
    for steps, event in ENDLESS:
        bench = await Bench(disconnect_grace_period=-1.0).start()
        await bench.play(*steps)
        turns = 0

        async def spin(bench: Bench = bench, event: Any = event) -> None:
            while True:
                with contextlib.suppress(Exception):
                    sending = bench.exchange.send(event)
                    if way == "gather":
                        await asyncio.gather(sending)
                    elif way == "task":
                        await asyncio.create_task(sending)
                    elif way == "wait_for":
                        await asyncio.wait_for(sending, 1000)
                    else:
                        await sending

        spinning = asyncio.create_task(spin())
        for _ in range(100):  # hangs where it does not
            await asyncio.sleep(0)
            turns += 1
        spinning.cancel()
        await settle(2)
        assert turns == 100
        bench.exchange.cancel()
        await settle(4)
