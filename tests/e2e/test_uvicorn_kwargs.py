"""A subclass that was written for UvicornWorker: its ``CONFIG_KWARGS`` seen from outside."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

SOURCE = """
import asyncio
import json

from pronghorn import AsyncWorker


class Worker(AsyncWorker):
    CONFIG_KWARGS = {kwargs!r}


async def app(scope, receive, send):
    assert scope["type"] != "lifespan", "told not to"
    document = {{name: scope[name] for name in ("type", "client", "scheme", "root_path", "path")}}
    document["loop"] = type(asyncio.get_running_loop()).__module__
    if scope["type"] == "websocket":
        await send({{"type": "websocket.accept"}})
        await send({{"type": "websocket.close"}})
        return
    if scope["query_string"] == b"wait":
        await asyncio.sleep(30)
    headers = [(b"x-frame-options", b"SAMEORIGIN")] if scope["query_string"] == b"own" else []
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": json.dumps(document).encode()}})
"""
HANDSHAKE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
FORWARDED = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")


def start(serve: Serve, kwargs: dict[str, object], **options: object) -> GunicornServer:
    return serve(source=SOURCE.format(kwargs=kwargs), worker_class="main.Worker", **options)


def test_the_common_keys(serve: Serve) -> None:
    server = start(
        serve,
        {
            "loop": "asyncio",
            "http": "h11",
            "lifespan": "off",
            "ws": "none",
            "proxy_headers": False,
            "server_header": False,
            "date_header": False,
            "root_path": "/app",
            "headers": [("X-Frame-Options", "DENY"), ("X-Site", "one")],
            "limit_concurrency": 1,
            "timeout_graceful_shutdown": 3,
        },
    )
    response = server.get("/x", *FORWARDED)
    document = response.json()
    assert document["client"][0] == "127.0.0.1"
    assert document["scheme"] == "http"
    assert (document["root_path"], document["path"]) == ("/app", "/app/x")
    assert document["loop"].startswith("asyncio")
    assert response.header("x-frame-options") == "DENY"
    assert response.header("x-site") == "one"
    assert response.header("server") is None
    assert response.header("date") is None
    assert server.get("/?own").header("x-frame-options") == "SAMEORIGIN"
    assert server.get("/", *HANDSHAKE).json()["type"] == "http"
    with server.connect() as client:
        client.send(request_bytes("GET", "/?wait"))
        wait_until(lambda: server.get("/").status == 503)
        assert server.get("/").header("x-site") == "one"
        assert server.stop(timeout=20) == 0
    server.wait_log(r"Cancelling 1 request\(s\)")


def test_trust_and_keep_alive(serve: Serve) -> None:
    kwargs = {"lifespan": "off", "forwarded_allow_ips": "127.0.0.0/8", "timeout_keep_alive": 0}
    server = start(serve, kwargs, forwarded_allow_ips="192.0.2.1", keepalive=30)
    with server.connect() as client:
        response = client.request("GET", "/", *FORWARDED)
        assert response.header("connection") == "close"
        client.assert_closed()
    document = json.loads(response.body)
    assert (document["client"], document["scheme"]) == (["203.0.113.9", 0], "https")
    assert document["loop"].startswith("uvloop")


def test_fields_of_a_handshake(serve: Serve) -> None:
    server = start(serve, {"lifespan": "off", "headers": [("X-Site", "one")], "ws_per_message_deflate": False})
    with server.connect() as client:
        client.send(request_bytes("GET", "/", *HANDSHAKE, "Sec-WebSocket-Extensions: permessage-deflate"))
        head = client.read_until(b"\r\n\r\n").lower()
    assert head.startswith(b"http/1.1 101 ")
    assert b"\r\nx-site: one\r\n" in head
    assert b"permessage-deflate" not in head


def test_an_unknown_key_stops_the_server(serve: Serve) -> None:
    server = start(serve, {"loops": "auto"}, ready=False)
    assert server.wait_exit() == 1
    server.wait_log(r"CONFIG_KWARGS\['loops'\] is not allowed: use some of ")
    assert "Traceback" not in server.log()
    assert "Booting worker" not in server.log()


def test_a_key_that_is_gunicorns_stops_the_server(serve: Serve) -> None:
    server = start(serve, {"workers": 7}, ready=False)
    assert server.wait_exit() == 1
    server.wait_log(r"CONFIG_KWARGS\['workers'\]=7 is not allowed: use Gunicorn's setting workers$")
