"""Error trackers and correlation ids, as they are: they find the request that the server's own log lines are about."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until
from tests.support.websocket import handshake

Serve = Callable[..., GunicornServer]

SENTRY = '''
import asyncio, json
import sentry_sdk
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.routing import Route
from tests.e2e.apps.trace import trace

class Writes(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            what = event.get("exception", {}).get("values", [{}])[-1].get("type")
            trace("event", json.dumps([what, event.get("request", {}).get("url")]))

sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Writes)

async def fails(request):
    await asyncio.sleep(0.001 if "late" in request.url.path else 0)
    raise SystemExit(3) if "exit" in request.url.path else ValueError("oops")

starlette = Starlette(routes=[Route("/starlette/{path:path}", fails)])

async def bare(scope, receive, send):
    if scope["path"].startswith("/starlette"):
        await starlette(scope, receive, send)
    if "late" in scope["path"]:
        await asyncio.sleep(0.001)
    raise ValueError("oops")

wrapped = SentryAsgiMiddleware(bare)

def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    return wrapped(scope, receive, send)
'''


@pytest.mark.parametrize("eager", ["0", "1"])
def test_sentry_sees_one_event_with_its_request(serve: Serve, eager: str) -> None:
    server = serve(source=SENTRY, environment={"PRONGHORN_EAGER_TASKS": eager})
    paths = ["/bare", "/bare/late", "/starlette/now", "/starlette/late"]
    for path in paths:
        assert server.get(path).status == 500
    wait_until(lambda: len(server.traced()) >= len(paths), 10, server.log)
    assert server.stop() == 0  # what is still on its way to the tracker is, by now, with it
    events = [json.loads(line.removeprefix("event ").rpartition(" ")[0]) for line in server.traced()]
    assert [what for what, _ in events] == ["ValueError"] * len(paths), server.log()
    assert [str(url).partition("test")[2] for _, url in events] == paths


CORRELATED = '''
import asyncio
from asgi_correlation_id import CorrelationIdMiddleware

async def bare(scope, receive, send):
    if "late" in scope["path"]:
        await asyncio.sleep(0.001)
    if "raise" in scope["path"]:
        raise ValueError("oops")
    if "exit" in scope["path"]:
        raise SystemExit(3)
    if "cancel" in scope["path"]:
        raise asyncio.CancelledError
    if "ok" in scope["path"]:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
    if "wait" in scope["path"]:
        await asyncio.sleep(60)

wrapped = CorrelationIdMiddleware(bare, validator=None)

def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    return wrapped(scope, receive, send)
'''
FILTERED = '''
accesslog = "-"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"id": {"()": "asgi_correlation_id.CorrelationIdFilter", "default_value": "none"}},
    "formatters": {"id": {"format": "[%(correlation_id)s] %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "id", "filters": ["id"]}},
    "root": {"handlers": [], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"handlers": ["out"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["out"], "level": "INFO", "propagate": False},
    },
}
'''


@pytest.mark.parametrize("eager", ["0", "1"])
def test_a_correlation_id_is_found_in_every_line_of_a_request(serve: Serve, eager: str) -> None:
    server = serve(
        source=CORRELATED,
        config=FILTERED,
        environment={"PRONGHORN_EAGER_TASKS": eager, "PRONGHORN_DISCONNECT_GRACE_PERIOD": "0"},
    )
    said = {
        "ok": "GET /",
        "raise": "Exception in ASGI application, GET '/",
        "return": "ASGI application returned without a response to GET '/",
        "cancel": "ASGI application cancelled itself in GET '/",
    }
    with server.connect() as client:
        for how, line in said.items():
            for late in ("", "late"):
                ident = f"id-{late}{how}"
                client.request("GET", f"/{late}{how}", f"X-Request-ID: {ident}")
                server.wait_log(rf"^\[{ident}\] .*{line}{late}{how}")
                server.wait_log(rf'^\[{ident}\] .*"GET /{late}{how} HTTP/1.1"')
        client.request("GET", "/lateexit", "X-Request-ID: id-exit")
        server.wait_log(r"^\[id-exit\] Exception in ASGI application, GET '/lateexit'")
    with server.connect() as client:
        client.send(request_bytes("GET", "/wait", "X-Request-ID: id-wait"))
    server.wait_log(r"^\[id-wait\] Cancelled GET '/wait'")
    server.wait_log(r'^\[id-wait\] .*"GET /wait HTTP/1.1" 499')
    with server.connect() as client:
        handshake(client, "/raise", "X-Request-ID: id-chat")
        server.wait_log(r"^\[id-chat\] Exception in ASGI application, WebSocket '/raise'")
