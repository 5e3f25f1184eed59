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


def talk(app: ErrorPage, kind: str, **scope: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": kind, **scope}, receive, send))
    return sent


def test_http() -> None:
    start, body = talk(ErrorPage(error_of("def app(:")), "http")
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert headers[b"content-type"].startswith(b"text/html")
    assert b"main.py" in body["body"]
    assert b"SyntaxError" in body["body"]


#: Scope's client, fields, and whether it is known to be on this machine.
CLIENTS: list[tuple[Any, list[tuple[bytes, bytes]], bool]] = [
    (("127.0.0.1", 5), [(b"host", b"x")], True),
    (("127.0.0.9", 5), [], True),
    (("::1", 5), [], True),
    (("::ffff:127.0.0.1", 5), [], True),
    (("203.0.113.9", 0), [(b"x-forwarded-for", b"203.0.113.9")], False),
    (("192.168.0.7", 5), [], False),
    (("::ffff:192.0.2.1", 5), [], False),
    (("2001:db8::1", 5), [], False),
    (("fe80::1%eth0", 5), [], False),
    (None, [], False),
    (("", 5), [], False),
    (("unix:", 5), [], False),
    (("127.0.0.1", 5), [(b"x-forwarded-for", b"127.0.0.1")], False),
    (("127.0.0.1", 5), [(b"forwarded", b"for=unknown")], False),
    (("127.0.0.1", 5), [(b"via", b"1.1 proxy")], False),
    (("127.0.0.1", 5), [(b"x-real-ip", b"203.0.113.9")], False),
]


def test_who_sees_it() -> None:
    error = error_of("def app(:")
    for client, headers, is_local in CLIENTS:
        for audience, is_shown in (("loopback", is_local), ("everybody", True), ("nobody", False)):
            start, body = talk(ErrorPage(error, audience), "http", client=client, headers=headers)
            assert start["status"] == 500
            assert (b"SyntaxError" in body["body"]) is is_shown, (client, headers, audience)
            assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])


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
