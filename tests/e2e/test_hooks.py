"""Request hooks of real configurations: what they are given, and what the application sees of their edits."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

SCOPE = """
import json
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/fail":
        raise RuntimeError("application is broken")
    shown = {name: scope[name] for name in ("method", "path", "scheme", "query_string", "headers", "client")}
    body = json.dumps(shown, default=bytes.decode).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
    await send({"type": "http.response.body", "body": body})
"""


def serve_hooks(serve: Serve, hooks: str, **settings: object) -> GunicornServer:
    return serve(source=SCOPE, config="from tests.e2e.apps.trace import trace\n" + hooks, **settings)


def test_a_timing_pair(serve: Serve) -> None:
    """The most common pair in public configurations."""
    server = serve_hooks(
        serve,
        "import time\n"
        "def pre_request(worker, req):\n"
        "    req.start_time = time.time()\n"
        "    worker.log.info('begin %s %s', req.method, req.path)\n"
        "def post_request(worker, req, environ, resp):\n"
        "    took = time.time() - req.start_time\n"
        "    assert 0 <= took < 60\n"
        "    trace('end', req.method, req.path, resp.status, resp.status_code, resp.sent > 10)\n",
    )
    server.get("/a%20b?q=1")
    server.wait_trace("end GET /a%20b 200 OK 200 True")
    server.wait_log("begin GET /a%20b")


def test_edits_reach_the_application(serve: Serve) -> None:
    server = serve_hooks(
        serve,
        "def pre_request(worker, req):\n"
        "    req.headers = [h for h in req.headers if h[0] != 'X-SECRET'] + [('X-QUEUE', '5')]\n"
        "    req.scheme = 'https'\n",
        accesslog="-",
        access_log_format="queue %({x-queue}i)s scheme %({wsgi.url_scheme}e)s",
    )
    shown = json.loads(server.get("/", "X-Secret: 1", "X-Kept: 2").body)
    headers = {name: value for name, value in shown["headers"]}
    assert headers["x-queue"] == "5"
    assert headers["x-kept"] == "2"
    assert "x-secret" not in headers
    assert shown["scheme"] == "https"
    server.wait_log("^queue 5 scheme https$")


def test_post_request_without_an_access_log(serve: Serve) -> None:
    server = serve_hooks(
        serve,
        "def post_request(worker, req, environ, resp):\n"
        "    names = ('REQUEST_METHOD', 'PATH_INFO', 'QUERY_STRING', 'REMOTE_ADDR', 'SERVER_PROTOCOL', 'HTTP_X_ONE')\n"
        "    trace('seen', *(environ[name] for name in names), dict(resp.headers)['x-app'], resp.status)\n",
    )
    server.get("/p%20q?x=1", "X-One: 1")
    server.wait_trace("seen GET /p q x=1 127.0.0.1 HTTP/1.1 1 yes 200 OK")


@pytest.mark.parametrize(("arity", "arguments"), [(2, "worker, req"), (3, "worker, req, environ")])
def test_shorter_forms(serve: Serve, arity: int, arguments: str) -> None:
    server = serve_hooks(serve, f"def post_request({arguments}):\n    trace('seen {arity}', req.path)\n")
    server.get("/short")
    server.wait_trace(f"seen {arity} /short")


def test_pre_request_that_fails(serve: Serve) -> None:
    server = serve_hooks(
        serve,
        "def pre_request(worker, req):\n"
        "    if req.path == '/refuse':\n"
        "        raise ValueError('hook is broken')\n"
        "def post_request(worker, req, environ, resp):\n"
        "    trace('after', req.path, resp.status)\n",
    )
    assert server.get("/refuse").status == 500
    assert server.get("/other").status == 200
    server.wait_trace("after /other 200 OK")
    assert server.log().count("ValueError: hook is broken") == 1
    server.wait_trace("after /refuse 500")


def test_post_request_that_fails(serve: Serve) -> None:
    server = serve_hooks(
        serve, "def post_request(worker, req, environ, resp):\n    raise ValueError('hook is broken')\n"
    )
    with server.connect() as client:
        assert client.request("GET", "/").status == 200
        assert client.request("GET", "/").status == 200
    server.wait_log("Exception in post_request hook")
    assert "ValueError: hook is broken" in server.log()


def test_post_request_of_an_application_that_failed(serve: Serve) -> None:
    server = serve_hooks(
        serve, "def post_request(worker, req, environ, resp):\n    trace('after', req.path, resp.status_code)\n"
    )
    assert server.get("/fail").status == 500
    server.wait_trace("after /fail 500")


def test_malformed_requests_run_no_hook(serve: Serve) -> None:
    server = serve_hooks(
        serve,
        "def pre_request(worker, req):\n    trace('before', req.path)\n"
        "def post_request(worker, req, environ, resp):\n    trace('after', req.path)\n",
    )
    with server.connect() as client:
        client.send(b"GARBAGE\r\n\r\n")
        assert client.read_response().status == 400
    server.get("/fine")
    server.wait_trace("after /fine")
    assert [line.rpartition(" ")[0] for line in server.traced()] == ["before /fine", "after /fine"]


def test_force_close(serve: Serve) -> None:
    server = serve_hooks(serve, "def pre_request(worker, req):\n    req.force_close()\n")
    with server.connect() as client:
        response = client.request("GET", "/")
    assert response.connection == {"close"}


def test_a_worker_that_is_told_to_go(serve: Serve) -> None:
    """Memory watchers recycle their worker by ``worker.alive = False``."""
    server = serve_hooks(serve, "def post_request(worker, req, environ, resp):\n    worker.alive = False\n")
    (first,) = server.worker_pids()
    assert server.get("/").status == 200
    server.wait_gone([first])
    server.wait_ready()
    assert server.get("/").status == 200


def test_the_counter_that_configurations_use(serve: Serve) -> None:
    server = serve_hooks(
        serve,
        "def pre_request(worker, req):\n    trace('nr', worker.nr, worker.pid, worker.age, worker.cfg.proc_name)\n",
    )
    for number in range(1, 4):
        server.get("/")
        server.wait_trace(f"nr {number} {server.worker_pids()[0]} 1")


WEBSOCKET = """
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    assert (b"x-queue", b"5") in scope["headers"] and scope["scheme"] == "wss"
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    await send({"type": "websocket.close"})
"""


def test_websockets(serve: Serve) -> None:
    """A WebSocket is a request like any other: hooks, access log, once, when it has ended."""
    server = serve(
        source=WEBSOCKET,
        config=(
            "from tests.e2e.apps.trace import trace\n"
            "def pre_request(worker, req):\n"
            "    req.headers.append(('X-QUEUE', '5'))\n"
            "    req.scheme = 'https'\n"
            "    trace('before', req.path)\n"
            "def post_request(worker, req, environ, resp):\n"
            "    trace('after', req.path, resp.status, environ['HTTP_UPGRADE'])\n"
        ),
        accesslog="-",
        access_log_format="access %(r)s %(s)s %({x-queue}i)s",
    )
    with server.connect() as client:
        client.send(
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        client.read_until(b"hello")
        client.send(b"\x88\x82\0\0\0\0\x03\xe8")  # a Close frame with code 1000, masked with zeros
        server.wait_trace("after /chat 101 Switching Protocols websocket")
    server.wait_log(r"^access GET /chat HTTP/1\.1 101 5$")
    assert len(server.traced()) == 2
