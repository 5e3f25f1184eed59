"""``defaultheaders.py``: fields that responses get where the application gives none of that name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pronghorn.defaultheaders import DefaultHeaders, parse_fields

FIELDS = ((b"x-one", b"1"), (b"x-two", b"2"))


def sent_through(*messages: Any) -> list[Any]:
    """What arrives of ``messages``."""
    arrived: list[Any] = []

    async def send(message: Any) -> None:
        arrived.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    asyncio.run(DefaultHeaders(app, FIELDS)({"type": "http"}, None, send))  # type: ignore[arg-type]
    return arrived


@pytest.mark.parametrize("kind", ["http.response.start", "websocket.accept", "websocket.http.response.start"])
def test_heads_get_the_fields(kind: str) -> None:
    assert sent_through({"type": kind}) == [{"type": kind, "headers": list(FIELDS)}]
    given = [(b"x-zero", b"0"), (b"X-ONE", b"mine")]
    assert sent_through({"type": kind, "headers": given, "status": 200}) == [
        {"type": kind, "headers": [*given, (b"x-two", b"2")], "status": 200}
    ]
    assert given == [(b"x-zero", b"0"), (b"X-ONE", b"mine")]


def test_headers_that_are_read_once() -> None:
    message = {"type": "http.response.start", "headers": iter([(b"x-one", b"mine")])}
    assert sent_through(message)[0]["headers"] == [(b"x-one", b"mine"), (b"x-two", b"2")]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.body", "body": b"x"},
        {"type": "websocket.send", "text": "x"},
        {"type": "http.response.start", "headers": 5},
        {"type": "http.response.start", "headers": [5]},
        {"type": "http.response.start", "headers": [(None, b"")]},
        {},
        None,
        5,
    ],
    ids=repr,
)
def test_all_else_is_passed_on_as_it_is(message: Any) -> None:
    assert sent_through(message)[0] is message


def test_fields_as_text() -> None:
    assert parse_fields("") == ()
    assert parse_fields("X-Frame-Options: DENY\n\n  X-Two :b:c  \r\n".replace(" :", ":")) == (
        (b"x-frame-options", b"DENY"),
        (b"x-two", b"b:c"),
    )
    assert parse_fields("Server: mine") == ((b"server", b"mine"),)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        ": y",
        "a b: c",
        "x-y : z",
        "x: a\0b",
        "x: a\rb",
        "x: \u20ac",
        "Content-Length: 5",
        "connection: close",
        "Transfer-Encoding: chunked",
        "upgrade: h2c",
        "Keep-Alive: 5",
    ],
)
def test_what_is_no_common_field(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_fields("x-good: 1\n" + text)
