"""The page in place of an application that cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pronghorn.errorpage import ErrorPage


def error_of(source: str, filename: str = "main.py") -> SyntaxError:
    with pytest.raises(SyntaxError) as caught:
        compile(source, filename, "exec")
    return caught.value


def talk(app: ErrorPage, kind: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": kind}, receive, send))
    return sent


def test_http() -> None:
    start, body = talk(ErrorPage(error_of("def app(:")), "http")
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert headers[b"content-type"].startswith(b"text/html")
    assert b"main.py" in body["body"]
    assert b"SyntaxError" in body["body"]


def test_nothing_of_the_source_becomes_markup() -> None:
    _, body = talk(ErrorPage(error_of("x = '<script>alert(1)</script>' +", "<b>.py")), "http")
    assert b"<script>" not in body["body"]
    assert b"<b>" not in body["body"]
    assert b"&lt;script&gt;" in body["body"]


def test_what_no_encoding_takes() -> None:
    _, body = talk(ErrorPage(SyntaxError("a lone surrogate \udcff")), "http")
    assert b"\\udcff" in body["body"]


def test_websocket_is_refused() -> None:
    assert [message["type"] for message in talk(ErrorPage(error_of("(")), "websocket")] == ["websocket.close"]


def test_lifespan_is_supported() -> None:
    messages = talk(ErrorPage(error_of("(")), "lifespan")
    assert [message["type"] for message in messages] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
