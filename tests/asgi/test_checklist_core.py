"""ASGI 3.0, rules 1 to 11 of the checklist: the application's call, events and their types, errors, extensions."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pronghorn.asgi.errors import EventError
from pronghorn.asgi.scope import Shared
from tests.asgi.apps import Event, Receive, Send, body, hello, reply, sends, start
from tests.asgi.doubles import in_loop, until
from tests.asgi.support import Conversation, scope_of

Talk = Callable[..., Conversation]
Scope = dict[str, Any]


# -- the scope ------------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_01_scope_is_a_dict_with_a_type(talk: Talk) -> None:
    scope = await scope_of(talk)
    assert type(scope) is dict
    assert scope["type"] == "http"
    assert all(type(key) is str for key in scope)


@in_loop
async def test_rule_02_asgi_version(talk: Talk) -> None:
    scope = await scope_of(talk)
    assert type(scope["asgi"]) is dict
    assert scope["asgi"]["version"] == "3.0"


@in_loop
async def test_rule_03_spec_version(talk: Talk) -> None:
    """2.4 promises an OSError from ``send`` (rule 24); 2.5 differs for WebSocket only."""
    scope = await scope_of(talk)
    assert scope["asgi"]["spec_version"] == "2.5"


# -- the call -------------------------------------------------------------------------------------------------------


class _AsInstance:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send)


class _AwaitableOnly:
    """What the call returns need not be a coroutine."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send

    def __await__(self) -> Iterator[Any]:
        return reply(self._send).__await__()


async def _with_more(more: str, scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, more.encode())


def _returns_future(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return asyncio.ensure_future(reply(send))


APPLICATIONS = {
    "function": hello,
    "instance": _AsInstance(),
    "partial": functools.partial(_with_more, "more"),
    "awaitable": _AwaitableOnly,
    "future": _returns_future,
}


@pytest.mark.parametrize("name", APPLICATIONS)
@in_loop
async def test_rule_04_called_once_with_scope_receive_send_and_awaited(talk: Talk, name: str) -> None:
    calls: list[tuple[Any, ...]] = []

    def app(*args: Any) -> Any:
        calls.append(args)
        return APPLICATIONS[name](*args)

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.status == 200
    assert answer.complete
    ((scope, receive, send),) = calls
    assert scope["type"] == "http"
    assert callable(receive)
    assert callable(send)
    assert conversation.log.entries == []


@pytest.mark.parametrize("result", [None, 3, "text"])
@in_loop
async def test_rule_04_an_application_that_returns_no_awaitable_is_a_500(talk: Talk, result: object) -> None:
    conversation = talk(lambda scope, receive, send: result)
    answer = await conversation.finish()
    assert answer.status == 500
    assert len(conversation.log.errors) == 1
    (error,) = conversation.log.raised
    assert isinstance(error, TypeError)


# -- events ---------------------------------------------------------------------------------------------------------


def assert_plain(value: Any) -> None:
    """ASGI, Events: only these types, down to the leaves."""
    if type(value) in (dict, Shared):
        for key, item in value.items():
            assert type(key) is str
            assert_plain(item)
    elif type(value) in (list, tuple):
        for item in value:
            assert_plain(item)
    elif type(value) is int:
        assert -(2**63) <= value < 2**63
    elif type(value) is float:
        assert value == value
        assert abs(value) != float("inf")
    else:
        assert value is None or type(value) in (bytes, str, bool), value


@in_loop
async def test_rule_06_events_are_dicts_of_plain_values(talk: Talk) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert_plain(scope)
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())
            if events[-1].get("more_body") is False:
                await reply(send)

    conversation = talk(app, "POST", streams=True, state={"number": 1})
    conversation.data(b"some")
    await until(lambda: events, "the first event")
    conversation.data(b"thing")
    conversation.end()
    await conversation.finish()
    assert conversation.log.entries == []
    assert {event["type"] for event in events} == {"http.request", "http.disconnect"}
    for event in events:
        assert type(event) is dict
        assert type(event["type"]) is str
        assert_plain(event)


STARTED = [start()]
INVALID: dict[str, tuple[list[Event], Any, str]] = {
    "no dict": ([], 5, "dict"),
    "a string": ([], "http.response.start", "dict"),
    "None": ([], None, "dict"),
    "empty": ([], {}, "type"),
    "no type": ([], {"status": 200}, "type"),
    "type not a string": ([], {"type": 5}, "5"),
    "type a list": ([], {"type": ["http.response.start"]}, "http.response.start"),
    "unknown type": ([], {"type": "http.response.stat"}, "http.response.stat"),
    "another protocol's type": ([], {"type": "websocket.accept"}, "websocket.accept"),
    "a received type": ([], {"type": "http.request"}, "http.request"),
    "no status": ([], {"type": "http.response.start"}, "status"),
    "status a string": ([], start("200"), "status"),  # type: ignore[arg-type]
    "status a float": ([], start(200.0), "status"),  # type: ignore[arg-type]
    "status None": ([], start(None), "status"),  # type: ignore[arg-type]
    "status a bool": ([], start(True), "status"),
    "status too small": ([], start(99), "status"),
    "status interim": ([], start(101), "status"),
    "status too large": ([], start(1000), "status"),
    "status far too large": ([], start(2**70), "status"),
    "header name a string": ([], start(200, ("x-a", b"1")), "headers"),  # type: ignore[arg-type]
    "header value a string": ([], start(200, (b"x-a", "1")), "headers"),  # type: ignore[arg-type]
    "header value an int": ([], start(200, (b"x-a", 1)), "headers"),  # type: ignore[arg-type]
    "header a triple": ([], start(200, (b"x-a", b"1", b"2")), "headers"),  # type: ignore[arg-type]
    "header a bytes": ([], {"type": "http.response.start", "status": 200, "headers": [b"x-a"]}, "headers"),
    "headers a dict": ([], {"type": "http.response.start", "status": 200, "headers": {b"x-a": b"1"}}, "headers"),
    "headers an int": ([], {"type": "http.response.start", "status": 200, "headers": 5}, "headers"),
    "header name empty": ([], start(200, (b"", b"1")), "headers"),
    "header name with a space": ([], start(200, (b"x a", b"1")), "headers"),
    "header a pseudo-header": ([], start(200, (b":status", b"200")), "headers"),
    "header value with CR LF": ([], start(200, (b"x-a", b"1\r\nx-b: 2")), "headers"),
    "header value with NUL": ([], start(200, (b"x-a", b"1\0")), "headers"),
    "two content-lengths": ([], start(200, (b"content-length", b"1"), (b"content-length", b"1")), "content-length"),
    "content-length no number": ([], start(200, (b"content-length", b"+1")), "content-length"),
    "started twice": (STARTED, start(), "http.response.start"),
    "body before start": ([], body(b"x"), "http.response.body"),
    "body a string": (STARTED, {"type": "http.response.body", "body": "text"}, "body"),
    "body None": (STARTED, {"type": "http.response.body", "body": None}, "body"),
    "body an int": (STARTED, {"type": "http.response.body", "body": 5}, "body"),
    "trailers before start": ([], {"type": "http.response.trailers", "headers": []}, "http.response.trailers"),
    "trailers not announced": (
        [start(), body(b"x", True)],
        {"type": "http.response.trailers", "headers": []},
        "http.response.trailers",
    ),
}


@pytest.mark.parametrize("name", INVALID)
@in_loop
async def test_rule_07_an_invalid_event_raises_out_of_send(talk: Talk, name: str) -> None:
    """The error names the event or the key, and the application can still answer."""
    before, event, named = INVALID[name]
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for one in before:
            await send(one)
        try:
            await send(event)
        except Exception as error:
            caught.append(error)
        if not before:
            await send(start(418))
        await send(body(b"teapot"))

    conversation = talk(app)
    answer = await conversation.finish()
    (error,) = caught
    assert isinstance(error, EventError), error
    assert named in str(error)
    assert "\n" not in str(error)
    assert answer.complete
    assert answer.status == (200 if before else 418)
    assert answer.body.endswith(b"teapot")


@pytest.mark.parametrize("event", [{"type": "http.response.stat"}, {"type": 5}, {"type": ["x"]}, {}, 5])
@in_loop
async def test_rule_07_after_the_response_too(talk: Talk, event: Any) -> None:
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send)
        try:
            await send(event)
        except Exception as error:
            caught.append(error)

    await talk(app).finish()
    assert [type(error) for error in caught] == [EventError]


@in_loop
async def test_rule_07_an_invalid_event_that_escapes_is_a_500(talk: Talk) -> None:
    conversation = talk(sends(start(200, ("x", "y"))))  # type: ignore[arg-type]
    answer = await conversation.finish()
    assert answer.status == 500
    assert len(conversation.log.errors) == 1


@in_loop
async def test_rule_07_unknown_keys_are_no_error(talk: Talk) -> None:
    answer = await talk(sends(start(200, later=1), body(b"o", True) | {"x": 1}, body(b"k") | {"y": None})).finish()
    assert (answer.status, answer.body, answer.complete) == (200, b"ok", True)


# -- errors ---------------------------------------------------------------------------------------------------------


class Oops(Exception):
    pass


@pytest.mark.parametrize("before", [[], [start(201)]], ids=["idle", "started"])
@in_loop
async def test_rule_08_an_exception_before_the_head_is_a_500(talk: Talk, before: list[Event]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in before:
            await send(event)
        raise Oops("what went wrong")

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.status == 500
    assert answer.complete
    assert b"what went wrong" not in answer.body, "a traceback is not the client's business"
    assert len(conversation.log.entries) == 1
    (error,) = conversation.log.raised
    assert isinstance(error, Oops)


@in_loop
async def test_rule_08_an_exception_after_the_head_cuts_the_response_off(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"the first half", True))
        raise Oops

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.status == 200
    assert answer.cut
    assert not answer.complete
    assert [type(error) for error in conversation.log.raised] == [Oops]


@in_loop
async def test_rule_08_an_exception_after_the_response_is_logged(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"fine")
        raise Oops

    conversation = talk(app)
    answer = await conversation.finish()
    assert (answer.status, answer.body, answer.complete, answer.cut) == (200, b"fine", True, False)
    assert [type(error) for error in conversation.log.raised] == [Oops]


@in_loop
async def test_rule_08_an_exception_out_of_the_call_itself(talk: Talk) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Any:
        raise Oops

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.status == 500
    assert [type(error) for error in conversation.log.raised] == [Oops]


@pytest.mark.parametrize(
    ("events", "status"),
    [([], 500), ([start()], 500), ([start(), body(b"x", True)], 200)],
    ids=["idle", "held", "streaming"],
)
@in_loop
async def test_rule_08_returning_early_is_an_error_too(talk: Talk, events: list[Event], status: int) -> None:
    conversation = talk(sends(*events))
    answer = await conversation.finish()
    assert answer.status == status
    assert answer.complete == (status == 500)
    assert len(conversation.log.errors) == 1
    assert "GET '/'" in conversation.log.errors[0]


# -- after the end --------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_09_messages_after_the_response_are_no_ops(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"once")
        await send(start(500))
        await send(body(b"twice"))
        await send({"type": "http.response.trailers", "headers": []})
        await send({"type": "http.response.early_hint", "links": []})

    conversation = talk(app)
    answer = await conversation.finish()
    assert (answer.status, answer.body) == (200, b"once")
    assert conversation.log.entries == []


@in_loop
async def test_rule_09_messages_after_a_disconnect_raise_what_the_server_takes_back(talk: Talk) -> None:
    raised: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        for event in (start(), body()):
            try:
                await send(event)
            except OSError as error:
                raised.append(type(error))
        await send(start())

    conversation = talk(app)
    await asyncio.sleep(0)
    conversation.leave()
    await conversation.finish()
    assert len(raised) == 2
    assert conversation.log.entries == []


# -- extensions and mutability --------------------------------------------------------------------------------------


@in_loop
async def test_rule_10_extensions_are_dicts_by_name(talk: Talk) -> None:
    extensions = (await scope_of(talk))["extensions"]
    assert type(extensions) is dict
    assert extensions
    for name, value in extensions.items():
        assert type(name) is str
        assert isinstance(value, dict)


def mutable_parts(value: Any, where: str = "scope") -> Iterator[tuple[int, str]]:
    """The identity of each dict and list in ``value``, and where it is."""
    if isinstance(value, dict):
        if type(value) is not Shared:  # which test_scope.py shows to be immutable
            yield id(value), where
        for key, item in value.items():
            yield from mutable_parts(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        if isinstance(value, list):
            yield id(value), where
        for number, item in enumerate(value):
            yield from mutable_parts(item, f"{where}[{number}]")


@in_loop
async def test_rule_11_requests_share_nothing_mutable(talk: Talk) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send)

    conversation = talk(app, state={})
    await conversation.finish()
    context = conversation.context
    await type(conversation)(app, eager=context.eager, state=context.state, templates=context.templates).finish()
    first, second = (dict(mutable_parts(scope)) for scope in scopes)
    shared = [second[one] for one in second if one in first]
    assert shared == []


@in_loop
async def test_rule_11_writing_to_a_scope_changes_no_other(talk: Talk) -> None:
    """The same by what an application sees, as middleware does it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["headers"] == [(b"host", b"x")]
        assert "written" not in scope["extensions"]
        assert "written" not in scope
        assert "written" not in scope["asgi"]
        for part in (scope, scope["asgi"], scope["extensions"]):
            part["written"] = 1
        scope["headers"].append((b"x-written", b"1"))
        await reply(send)

    conversation = talk(app)
    assert (await conversation.finish()).status == 200
    again = type(conversation)(app, eager=conversation.context.eager, templates=conversation.context.templates)
    assert (await again.finish()).status == 200
