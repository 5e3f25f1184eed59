"""``errors.py``: which exceptions are only the client's leaving, in whatever words, and which are mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.errors import ClientDisconnected, came_of_disconnect, hands_on_disconnect, is_disconnect
from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.doubles import in_loop, settle, until
from tests.asgi.support import Conversation
from tests.net.support import Wire

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

Talk = Callable[..., Conversation]


class Left(Exception):
    """A framework's name for it."""


class Own(ConnectionError):
    """Another's."""


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("several", errors)


def raised_from(cause: BaseException, error: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException:
            raise error  # the context is what is tested
    except BaseException as caught:
        return caught


def raised_holding(error: BaseException, event: Any) -> BaseException:
    """``error`` as raised by a function that holds ``event``."""
    try:
        raise error
    except BaseException as caught:
        return caught


GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientDisconnected(), True),
        (group(ClientDisconnected()), True),
        (group(ClientDisconnected(), group(ClientDisconnected())), True),
        (group(ClientDisconnected(), ValueError()), False),
        (OSError(), False),
        (ConnectionResetError(), False),
        (Left(), False),
    ],
    ids=repr,
)
def test_is_disconnect(error: BaseException, expected: bool) -> None:
    assert is_disconnect(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised_from(ClientDisconnected(), Left()), True),
        (raised_from(raised_from(ClientDisconnected(), Left()), Left()), True),
        (raised_from(group(ClientDisconnected()), Left()), True),
        (group(raised_from(ClientDisconnected(), Left())), True),
        (group(raised_from(ClientDisconnected(), Left()), ValueError()), False),
        (raised_from(ValueError(), Left()), False),
        (Left(), False),
    ],
    ids=repr,
)
def test_came_of_disconnect(error: BaseException, expected: bool) -> None:
    assert came_of_disconnect(error) is expected


def test_came_of_disconnect_ends_with_a_circle() -> None:
    first, second = Left(), Left()
    first.__context__, second.__context__ = second, first
    assert not came_of_disconnect(first)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised_holding(Left(), GONE), True),
        (raised_holding(Own(), GONE), True),
        (raised_holding(ConnectionResetError(), GONE), True),
        (group(raised_holding(Left(), GONE), ClientDisconnected()), True),
        (group(raised_holding(Left(), GONE), ValueError()), False),
        (raised_holding(Left(), {"type": "http.request"}), False),
        (raised_holding(Left(), None), False),
        (raised_holding(KeyError("body"), GONE), False),
        (raised_holding(OSError(), GONE), False),
        (Left(), False),
    ],
    ids=repr,
)
def test_hands_on_disconnect(error: BaseException, expected: bool) -> None:
    assert hands_on_disconnect(error) is expected


# -- through an exchange --------------------------------------------------------------------------------------------


async def read(receive: Receive) -> None:
    """As frameworks read content."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        if not message.get("more_body"):
            return


@in_loop
async def test_an_upload_broken_off_is_no_error_of_the_application(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)

    conversation = talk(app, "POST", body=b"x" * 10, streams=True)
    conversation.data(b"abc")
    await settle()
    conversation.leave()
    await conversation.finish()
    assert conversation.log.of("warning", "error") == []
    assert conversation.log.raised == []


@in_loop
async def test_also_in_a_group(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read(receive)
        except Left as error:
            raise ExceptionGroup("of a task group", [error]) from None

    conversation = talk(app, "POST", streams=True)
    await settle()
    conversation.leave()
    await conversation.finish()
    assert conversation.log.raised == []


@in_loop
async def test_a_mistake_after_the_disconnect_is_an_error(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise Left("not handed on: raised where there is no event")

    conversation = talk(app, "POST", streams=True)
    await settle()
    conversation.leave()
    await conversation.finish()
    assert [type(error) for error in conversation.log.raised] == [Left]


@in_loop
async def test_a_send_that_fails_in_a_group_is_no_error(talk: Talk) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send(body(b"x", True))
        except OSError as error:
            raise ExceptionGroup("of a task group", [error]) from None

    conversation = talk(app)
    await settle()
    conversation.leave()
    await conversation.finish()
    assert conversation.log.of("warning", "error") == []


@pytest.mark.parametrize("events", [[], [start()], [start(), body(b"x", True)]], ids=["idle", "held", "streaming"])
@in_loop
async def test_an_application_that_ends_when_it_is_told_of_a_half_close(eager: bool, events: list[Any]) -> None:
    """The peer has said its last and may still read: it gets an end, and nobody made a mistake."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        while (await receive())["type"] != "http.disconnect":
            pass

    wire = Wire(app, eager=eager)
    wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
    await settle()
    wire.send_eof()
    await until(lambda: not wire.context.tasks)
    assert wire.log.of("warning", "error") == []
    await until(lambda: wire.closed or wire.transport.eof_written)
