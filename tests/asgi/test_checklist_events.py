"""ASGI HTTP 2.5, rules 20 to 25 of the checklist: what is received and sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.errors import ClientDisconnected
from tests.asgi.apps import Event, Receive, Send, body, hello, read_all, reply, sends, start
from tests.asgi.doubles import in_loop, settle, until
from tests.asgi.support import Conversation
from tests.net.support import Wire

Talk = Callable[..., Conversation]
Scope = dict[str, Any]

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


# -- http.request ---------------------------------------------------------------------------------------------------


class Recorder:
    """An application that keeps what it receives, up to ``count`` events, and then answers."""

    def __init__(self, count: int) -> None:
        self.events: list[Event] = []
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(self._count):
            self.events.append(await receive())
        await reply(send)


@in_loop
async def test_rule_20_a_request_without_content(talk: Talk) -> None:
    app = Recorder(1)
    await talk(app).finish()
    assert app.events == [{"type": "http.request", "body": b"", "more_body": False}]


@in_loop
async def test_rule_20_content_that_came_at_once(talk: Talk) -> None:
    app = Recorder(1)
    await talk(app, "POST", body=b"content").finish()
    if app.events[0]["more_body"]:
        assert app.events[0]["body"] + b"" == b"content"[: len(app.events[0]["body"])]
    else:
        assert app.events == [{"type": "http.request", "body": b"content", "more_body": False}]


@in_loop
async def test_rule_20_streamed_content_is_whole_and_the_last_event_says_so(talk: Talk) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not events or events[-1]["more_body"]:
            events.append(await receive())
        await reply(send)

    conversation = talk(app, "POST", streams=True)
    parts = [b"%d" % number * number for number in range(1, 30)]
    for number, part in enumerate(parts):
        conversation.data(part)
        if number % 3 == 0:
            await settle(2)
    conversation.end()
    await conversation.finish()
    assert b"".join(event["body"] for event in events) == b"".join(parts)
    assert [event["more_body"] for event in events] == [True] * (len(events) - 1) + [False]
    assert all(type(event["body"]) is bytes and event["type"] == "http.request" for event in events)


@in_loop
async def test_rule_20_the_end_may_come_alone(talk: Talk) -> None:
    app = Recorder(2)
    conversation = talk(app, "POST", streams=True)
    conversation.data(b"all of it")
    await until(lambda: app.events)
    conversation.end()
    await conversation.finish()
    assert app.events == [
        {"type": "http.request", "body": b"all of it", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]


@in_loop
async def test_rule_20_empty_content(talk: Talk) -> None:
    app = Recorder(1)
    conversation = talk(app, "POST", streams=True)
    await settle()
    assert app.events == []
    conversation.end()
    await conversation.finish()
    assert app.events == [{"type": "http.request", "body": b"", "more_body": False}]


# -- http.disconnect ------------------------------------------------------------------------------------------------


@in_loop
async def test_rule_21_disconnect_after_the_response(talk: Talk) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await reply(send)
        for _ in range(3):
            events.append(await receive())

    await talk(app).finish()
    assert events == [{"type": "http.disconnect"}] * 3


@in_loop
async def test_rule_21_disconnect_after_the_response_although_content_was_not_read(talk: Talk) -> None:
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send)
        events.append(await receive())

    await talk(app, "POST", body=b"unread").finish()
    assert events == [{"type": "http.disconnect"}]


@in_loop
async def test_rule_21_a_waiting_receive_ends_with_the_response(talk: Talk) -> None:
    """As a framework listens for the disconnect beside its response."""
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not listener.done()
        await reply(send)
        events.append(await listener)

    await talk(app).finish()
    assert events == [{"type": "http.disconnect"}]


@pytest.mark.parametrize("received", [0, 1])
@in_loop
async def test_rule_21_disconnect_when_the_client_leaves(talk: Talk, received: int) -> None:
    """In the middle of the content, which can never be whole: the disconnect is what is next."""
    events: list[Event] = []
    taken: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(received):
            taken.append(await receive())
        for _ in range(3):
            events.append(await receive())

    conversation = talk(app, "POST", streams=True)
    if received:
        conversation.data(b"some")
        await until(lambda: taken)
    await settle(2)
    conversation.leave()
    await conversation.finish()
    assert events == [{"type": "http.disconnect"}] * 3
    assert conversation.log.entries == []


@in_loop
async def test_rule_21_content_that_was_whole_is_delivered_before_the_disconnect(talk: Talk) -> None:
    gate = asyncio.Event()
    events: list[Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())

    conversation = talk(app, "POST", body=b"whole")
    await settle()
    conversation.leave()
    gate.set()
    await conversation.finish()
    assert events[-1] == {"type": "http.disconnect"}
    assert b"".join(event["body"] for event in events[:-1]) == b"whole"
    assert events[-2]["more_body"] is False
    assert conversation.log.entries == []


@in_loop
async def test_rule_21_asking_again_and_again_cannot_stop_the_loop(talk: Talk) -> None:
    """Each disconnect lets the loop turn once."""
    turns = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send)
        while turns < 10:
            assert (await receive())["type"] == "http.disconnect"

    conversation = talk(app)
    for _ in range(10):
        await asyncio.sleep(0)
        turns += 1
    await conversation.finish()


# -- http.response.start --------------------------------------------------------------------------------------------


@in_loop
async def test_rule_22_defaults(talk: Talk) -> None:
    answer = await talk(sends({"type": "http.response.start", "status": 204}, {"type": "http.response.body"})).finish()
    assert (answer.status, answer.body, answer.complete) == (204, b"", True)


@pytest.mark.parametrize("headers", [None, [], (), iter([])])
@in_loop
async def test_rule_22_no_headers(talk: Talk, headers: Any) -> None:
    headers = iter([]) if headers is not None and not isinstance(headers, (list, tuple)) else headers
    conversation = talk(sends({"type": "http.response.start", "status": 200, "headers": headers}, body(b"x")))
    answer = await conversation.finish()
    assert (answer.status, answer.body) == (200, b"x")
    assert [name for name, _ in conversation.headers if name != b"content-length"] == []


FIELDS = [(b"x-b", b"1"), (b"set-cookie", b"a=1"), (b"x-a", b""), (b"set-cookie", b"b=2"), (b"x-b", b"\xe9 \t2")]
ITERABLES: dict[str, Callable[[], Any]] = {
    "list of tuples": lambda: list(FIELDS),
    "list of lists": lambda: [list(pair) for pair in FIELDS],
    "tuple": lambda: tuple(FIELDS),
    "generator": lambda: (pair for pair in FIELDS),
}


@pytest.mark.parametrize("kind", ITERABLES)
@in_loop
async def test_rule_22_headers_in_the_order_given(talk: Talk, kind: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ITERABLES[kind]()})
        await send(body(b"x"))

    conversation = talk(app)
    await conversation.finish()
    assert [field for field in conversation.headers if field[0] != b"content-length"] == FIELDS


@pytest.mark.parametrize("status", [200, 201, 203, 299, 302, 404, 418, 451, 500, 599, 600, 999])
@in_loop
async def test_rule_22_status(talk: Talk, status: int) -> None:
    assert (await talk(sends(start(status), body(b"x"))).finish()).status == status


@in_loop
async def test_rule_22_the_head_waits_for_the_first_body(talk: Talk) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-first", b"1")))
        await gate.wait()
        raise RuntimeError

    conversation = talk(app)
    await settle()
    assert conversation.status == 0
    gate.set()
    answer = await conversation.finish()
    assert answer.status == 500
    assert answer.header(b"x-first") is None


@in_loop
async def test_rule_22_trailers_is_false_by_default(talk: Talk) -> None:
    answer = await talk(sends(start(), body(b"x")), headers=[(b"host", b"x"), (b"te", b"trailers")]).finish()
    assert answer.complete
    assert answer.trailers == []


# -- http.response.body ---------------------------------------------------------------------------------------------


@in_loop
async def test_rule_23_defaults(talk: Talk) -> None:
    answer = await talk(sends(start(), {"type": "http.response.body"})).finish()
    assert (answer.body, answer.complete) == (b"", True)


@in_loop
async def test_rule_23_each_key_has_its_default_whatever_else_is_there(talk: Talk) -> None:
    """A part without ``body`` that says there is more; a start without ``headers`` that announces trailers."""
    app = sends(
        {"type": "http.response.start", "status": 200, "trailers": True},
        {"type": "http.response.body", "more_body": True},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "body": b"b"},
        {"type": "http.response.trailers"},
    )
    answer = await talk(app).finish()
    assert (answer.status, answer.body) == (200, b"ab")
    assert answer.complete


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@in_loop
async def test_rule_23_data_is_taken_before_send_returns(talk: Talk, kind: type) -> None:
    """What the application does with its buffer afterwards changes nothing, awaited or not."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        buffer = bytearray(b"first")
        sending = send(body(kind(buffer), True))
        buffer[:] = b"xxxxx"
        await sending
        await send(body(b" second", True))
        await send(body())

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.body == b"first second"
    assert answer.complete
    assert conversation.log.entries == []


@in_loop
async def test_rule_23_each_part_leaves_at_once(talk: Talk) -> None:
    """Server-sent events and long polling hang on it."""
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"", True))
        await gate.wait()
        gate.clear()
        await send(body(b"one", True))
        await gate.wait()
        await send(body(b"two"))

    conversation = talk(app)
    await until(lambda: conversation.status == 200)
    assert conversation.body == b""
    gate.set()
    await until(lambda: conversation.body == b"one")
    assert not conversation.answer().complete
    gate.set()
    await until(lambda: conversation.body == b"onetwo")
    await conversation.finish()
    assert conversation.answer().complete


@in_loop
async def test_rule_23_messages_after_the_last_body_are_ignored(talk: Talk) -> None:
    conversation = talk(sends(start(), body(b"all"), body(b"more", True), body(b"and more"), start(500)))
    answer = await conversation.finish()
    assert (answer.status, answer.body, answer.complete) == (200, b"all", True)
    assert conversation.log.entries == []


@pytest.mark.parametrize("more", [1, "yes", True])
@in_loop
async def test_rule_23_more_body_as_python_reads_it(talk: Talk, more: Any) -> None:
    answer = await talk(sends(start(), body(b"1", more), body(b"2", None))).finish()  # type: ignore[arg-type]
    assert (answer.body, answer.complete) == (b"12", True)


# -- a client that is gone ------------------------------------------------------------------------------------------


@in_loop
async def test_rule_24_send_to_a_client_that_left_raises_an_oserror(talk: Talk) -> None:
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            try:
                await send(body(b"x", True))
            except OSError as error:
                caught.append(error)
                raise
            await asyncio.sleep(0)

    conversation = talk(app)
    await settle(3)
    conversation.leave()
    await conversation.finish()
    (error,) = caught
    assert isinstance(error, ClientDisconnected)
    assert type(error) is not OSError, "a class of the server's own"
    assert conversation.log.entries == []


@in_loop
async def test_rule_24_send_that_waits_for_a_slow_client_raises_when_it_leaves(eager: bool) -> None:
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(body(b"x" * 1_000_000, True))
        except OSError as error:
            caught.append(error)
            raise

    wire = Wire(app, eager=eager)
    wire.transport.peer_reads = False
    wire.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await settle()
    assert wire.context.tasks
    assert caught == []
    wire.lose(ConnectionResetError())
    await until(lambda: not wire.context.tasks)
    assert [type(error) for error in caught] == [ClientDisconnected]
    assert wire.log.entries == []


def _group(error: BaseException) -> BaseException:
    return ExceptionGroup("several", [error, ExceptionGroup("more", [ClientDisconnected()])])


def _base_group(error: BaseException) -> BaseException:
    return BaseExceptionGroup("several", [error])


@pytest.mark.parametrize("wrap", [_group, _base_group])
@in_loop
async def test_rule_24_not_logged_in_an_exception_group_either(
    talk: Talk, wrap: Callable[[BaseException], BaseException]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        try:
            await send(start())
        except OSError as error:
            raise wrap(error) from None

    conversation = talk(app)
    await settle(3)
    conversation.leave()
    await conversation.finish()
    assert conversation.log.entries == []


@in_loop
async def test_rule_24_a_group_with_something_else_is_logged(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise ExceptionGroup("several", [ClientDisconnected(), KeyError("real")])

    conversation = talk(app)
    await settle(3)
    conversation.leave()
    await conversation.finish()
    assert len(conversation.log.errors) == 1


@in_loop
async def test_rule_24_an_exception_made_of_it_is_not_logged(talk: Talk) -> None:
    """Starlette turns the OSError into an exception of its own, which is no OSError and escapes."""

    class ClientDisconnect(Exception):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        try:
            await send(start())
        except OSError:
            raise ClientDisconnect

    conversation = talk(app)
    await settle(3)
    conversation.leave()
    await conversation.finish()
    assert conversation.log.errors == []


@in_loop
async def test_rule_24_a_defect_on_the_way_out_is_logged(talk: Talk) -> None:
    """The client has gone, but what failed has nothing to do with it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise KeyError("a defect")

    conversation = talk(app)
    await settle(3)
    conversation.leave()
    await conversation.finish()
    assert [type(error) for error in conversation.log.raised] == [KeyError]


@in_loop
async def test_rule_24_an_oserror_of_the_applications_own_is_logged(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError("the database")

    conversation = talk(app)
    answer = await conversation.finish()
    assert answer.status == 500
    assert [type(error) for error in conversation.log.raised] == [ConnectionResetError]


# -- responses without content --------------------------------------------------------------------------------------

WITHOUT_CONTENT = [
    ("HEAD", 200),
    ("HEAD", 404),
    ("GET", 204),
    ("GET", 304),
    ("HEAD", 204),
    ("HEAD", 304),
    ("POST", 204),
]
PARTS: dict[str, list[Event]] = {
    "one part": [body(b"hello")],
    "two parts": [body(b"hel", True), body(b"lo")],
    "nothing": [body()],
    "an empty end": [body(b"hello", True), body()],
}


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("declared", [True, False], ids=["length", "no length"])
@pytest.mark.parametrize(("method", "status"), WITHOUT_CONTENT)
@in_loop
async def test_rule_25_no_content_on_the_wire(
    talk_on_the_wire: Talk, method: str, status: int, declared: bool, parts: str
) -> None:
    fields = [(b"content-length", b"5")] if declared else []
    conversation = talk_on_the_wire(sends(start(status, *fields), *PARTS[parts]), method)
    answer = await conversation.finish()
    assert (answer.status, answer.body, answer.complete, answer.cut) == (status, b"", True, False)
    assert answer.header(b"transfer-encoding") is None
    if status == 204:
        assert answer.header(b"content-length") is None
    elif declared:
        assert answer.header(b"content-length") == b"5"
    assert conversation.log.entries == []


@pytest.mark.parametrize(("method", "status"), [*WITHOUT_CONTENT, ("GET", 205)])
@in_loop
async def test_rule_25_the_connection_goes_on(eager: bool, method: str, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await send(start(status))
            await send(body(b"hello"))
        else:
            await hello(scope, receive, send)

    wire = Wire(app, eager=eager)
    wire.send(b"%b / HTTP/1.1\r\nhost: x\r\n\r\nGET /next HTTP/1.1\r\nhost: x\r\n\r\n" % method.encode())
    await until(lambda: b"hello" in wire.received)
    first, second = wire.responses(method, "GET")
    assert (first.status, first.body) == (status, b"")
    assert (second.status, second.body) == (200, b"hello")
    assert not wire.closed


@in_loop
async def test_rule_25_content_of_a_request_is_no_matter(talk_on_the_wire: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        await send(start(204))
        await send(body())

    answer = await talk_on_the_wire(app, "POST", body=b"content").finish()
    assert (answer.status, answer.body, answer.complete) == (204, b"", True)
