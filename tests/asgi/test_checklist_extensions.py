"""Rules 10, 43 and 46 to 48 of the checklist: what is offered beyond HTTP's core, and that nothing else is.

Files, rules 44 and 45, are in ``test_checklist_files.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.errors import EventError
from tests.asgi.apps import Event, Receive, Send, body, hello, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.asgi.support import Conversation
from tests.net.support import Wire

Talk = Callable[..., Conversation]
Scope = dict[str, Any]

TE = [(b"host", b"x"), (b"te", b"trailers")]


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> Event:
    return {"type": "http.response.trailers", "headers": [*headers], "more_trailers": more}


def hint(*links: bytes) -> Event:
    return {"type": "http.response.early_hint", "links": [*links]}


async def advertised(talk: Talk) -> set[str]:
    names: set[str] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        names.update(scope["extensions"])
        await reply(send)

    await talk(app).finish()
    return names


async def refusals(talk: Talk, *events: Event) -> list[type[BaseException]]:
    """What ``send`` raises for the last of ``events``."""
    caught: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events[:-1]:
            await send(event)
        try:
            await send(events[-1])
        except Exception as error:
            caught.append(type(error))
        await send(start())
        await send(body())

    await talk(app).finish()
    return caught


@in_loop
async def test_rule_10_what_is_advertised(talk: Talk) -> None:
    assert await advertised(talk) == {
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.zerocopysend",
    }


NOT_OFFERED: dict[str, Event] = {
    "http.response.push": {"type": "http.response.push", "path": "/style.css", "headers": []},
    "http.response.debug": {"type": "http.response.debug", "info": {}},
}


@in_loop
async def test_rule_43_push_is_not_offered(talk: Talk) -> None:
    """Browsers removed it, and HTTP/1 never had it."""
    assert "http.response.push" not in await advertised(talk)
    assert await refusals(talk, NOT_OFFERED["http.response.push"]) == [EventError]


# -- early hints ----------------------------------------------------------------------------------------------------

LINK = b"</style.css>; rel=preload; as=style"


@pytest.mark.parametrize("when", ["before start", "after start"])
@in_loop
async def test_rule_46_early_hints_before_the_head(talk: Talk, when: str) -> None:
    """The specification's text wants it after the start event, other servers before: both are served."""
    events = [hint(LINK, b"</a>; rel=b"), start(), body(b"page")]
    if when == "after start":
        events[0], events[1] = events[1], events[0]
    conversation = talk(sends(*events))
    answer = await conversation.finish()
    assert answer.interim == [(103, [(b"link", LINK), (b"link", b"</a>; rel=b")])]
    assert (answer.status, answer.body) == (200, b"page")
    assert conversation.log.entries == []


@in_loop
async def test_rule_46_several_and_at_once(talk: Talk) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(hint(b"</1>"))
        await send(hint(b"</2>"))
        await gate.wait()
        await reply(send)

    conversation = talk(app)
    await settle()
    assert conversation.answer().interim == [(103, [(b"link", b"</1>")]), (103, [(b"link", b"</2>")])]
    assert conversation.status == 0
    gate.set()
    assert (await conversation.finish()).complete


@in_loop
async def test_rule_46_no_links_no_response(talk: Talk) -> None:
    answer = await talk(sends(hint(), {"type": "http.response.early_hint"}, start(), body())).finish()
    assert answer.interim == []
    assert answer.complete


@in_loop
async def test_rule_46_too_late_is_no_error(talk: Talk) -> None:
    conversation = talk(sends(start(), body(b"a", True), hint(LINK), body(b"b"), hint(LINK)))
    answer = await conversation.finish()
    assert (answer.interim, answer.body, answer.complete) == ([], b"ab", True)
    assert conversation.log.entries == []


@pytest.mark.parametrize("links", [["</a>"], b"</a>", [b"</a>\r\nx: y"], [b"\0"], 5, [5]], ids=repr)
@in_loop
async def test_rule_46_links_that_are_none_raise(talk: Talk, links: Any) -> None:
    conversation = talk(hello)
    assert await refusals(talk, {"type": "http.response.early_hint", "links": links}) == [EventError]
    assert (await conversation.finish()).interim == []


@in_loop
async def test_rule_46_not_to_http_1_0(eager: bool) -> None:
    """RFC 9110 section 15.2: no 1xx to an HTTP/1.0 client."""
    wire = Wire(sends(hint(LINK), start(), body(b"x")), eager=eager)
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    await until(lambda: wire.received)
    assert b"103" not in wire.received
    assert wire.received.startswith(b"HTTP/1.1 200 ")


# -- trailers -------------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_47_trailers(talk: Talk) -> None:
    conversation = talk(
        sends(
            start(200, (b"trailer", b"x-sum"), trailers=True),
            body(b"a", True),
            body(b"b"),
            trailers((b"x-sum", b"1"), (b"x-b", b"2"), more=True),
            trailers((b"x-c", b"3")),
        ),
        headers=TE,
    )
    answer = await conversation.finish()
    assert (answer.status, answer.body) == (200, b"ab")
    assert answer.trailers == [(b"x-sum", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]
    assert answer.complete
    assert conversation.log.entries == []


@in_loop
async def test_rule_47_only_to_who_asked(talk: Talk) -> None:
    conversation = talk(sends(start(trailers=True), body(b"a"), trailers((b"x-sum", b"1"))))
    answer = await conversation.finish()
    assert (answer.body, answer.trailers, answer.complete) == (b"a", [], True)
    assert conversation.log.entries == []


@in_loop
async def test_rule_47_the_response_is_not_over_without_them(talk: Talk) -> None:
    conversation = talk(sends(start(trailers=True), body(b"a")), headers=TE)
    answer = await conversation.finish()
    assert not answer.complete
    assert answer.cut
    assert len(conversation.log.errors) == 1


@in_loop
async def test_rule_47_one_body_and_nothing_in_the_trailers(talk: Talk) -> None:
    answer = await talk(sends(start(trailers=True), body(b"a"), trailers()), headers=TE).finish()
    assert (answer.body, answer.trailers, answer.complete) == (b"a", [], True)


@in_loop
async def test_rule_47_headers_are_optional(talk: Talk) -> None:
    last = {"type": "http.response.trailers"}
    answer = await talk(sends(start(trailers=True), body(b"a"), last), headers=TE).finish()
    assert answer.complete


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([], trailers()),
        ([start()], trailers()),
        ([start(), body(b"x", True)], trailers()),
        ([start(trailers=True)], trailers()),
        ([start(trailers=True), body(b"x", True)], trailers()),
        ([start(trailers=True), body(b"x")], body(b"y")),
        ([start(trailers=True), body(b"x")], start()),
        ([start(trailers=True), body(b"x")], trailers(("x", b"y"))),  # type: ignore[arg-type]
        ([start(trailers=True), body(b"x")], trailers((b"x", b"y\r\nz: 1"))),
        ([start(trailers=True), body(b"x")], {"type": "http.response.trailers", "headers": 5}),
    ],
    ids=["idle", "not announced", "streaming", "before content", "amid content", "body", "start", "str", "CRLF", "int"],
)
@in_loop
async def test_rule_47_out_of_place_or_invalid(talk: Talk, events: list[Event], last: Event) -> None:
    caught: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        try:
            await send(last)
        except Exception as error:
            caught.append(type(error))

    await talk(app, headers=TE).finish()
    assert caught == [EventError]


@in_loop
async def test_rule_47_framing_fields_are_not_sent_as_trailers(talk: Talk) -> None:
    """RFC 9110 section 6.5.1: a recipient that merged them would be misled."""
    conversation = talk(
        sends(
            start(trailers=True),
            body(b"a"),
            trailers((b"content-length", b"9"), (b"transfer-encoding", b"x"), (b"x-a", b"1")),
        ),
        headers=TE,
    )
    answer = await conversation.finish()
    assert answer.trailers in ([(b"x-a", b"1")], [])


@in_loop
async def test_rule_47_http_1_0_has_no_trailers(eager: bool) -> None:
    wire = Wire(sends(start(trailers=True), body(b"a"), trailers((b"x-sum", b"1"))), eager=eager)
    wire.send(b"GET / HTTP/1.0\r\nte: trailers\r\nconnection: te\r\n\r\n")
    await until(lambda: wire.closed)
    assert wire.received.endswith(b"\r\n\r\na")
    assert b"x-sum" not in wire.received


@in_loop
async def test_rule_48_debug_is_not_offered(talk: Talk) -> None:
    assert "http.response.debug" not in await advertised(talk)
    assert await refusals(talk, NOT_OFFERED["http.response.debug"]) == [EventError]
