"""What Gunicorn's settings, hooks and loggers promise of each request, as any worker class could keep it.

``python -m tests.compare_workers`` runs these tests against other worker classes and prints who keeps what. The tests
here are the promise in its plainest form; the details are in the modules of their subjects.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import NoResponse, RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until
from tests.support.websocket import CLOSE, TEXT, handshake, read_frame, send_frame

Serve = Callable[..., GunicornServer]

APP = "tests.e2e.apps.promises:app"
TRACE = "from tests.e2e.apps.trace import trace\n"
promise = pytest.mark.promise


def scope(address: Any, *fields: str, target: str = "/scope") -> dict[str, Any]:
    with RawClient(address) as client:
        response = client.request("GET", target, *fields)
        assert response.status == 200
        return json.loads(response.body)


# -- connections ------------------------------------------------------------------------------------------------------


@promise("`worker_connections` is a limit")
def test_worker_connections(serve: Serve) -> None:
    server = serve(worker_connections=2)
    with server.connect() as first, server.connect() as second, server.connect() as third:
        for client in (first, second):
            client.send(request_bytes("GET", "/gate", "Connection: close"))
        wait_until(lambda: "".join(server.traced()).count("at gate") == 2, message="two requests under way")
        third.send(request_bytes("GET", "/"))
        third.assert_silent(1.0)
        (server.directory / "gate").touch()
        assert first.read_response().status == 200
        assert third.read_response().status == 200


@promise("A client that sends nothing, or half a request, is not waited for")
def test_silent_clients(serve: Serve) -> None:
    server = serve(keepalive=2, environment={"PRONGHORN_HEADER_TIMEOUT": "2"})
    with server.connect(timeout=10) as silent, server.connect(timeout=10) as half:
        half.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Half")
        silent.read_until_closed()
        half.read_until_closed()


# -- the request's head -----------------------------------------------------------------------------------------------


@promise("`limit_request_line`, `limit_request_fields` and `limit_request_field_size` are limits")
@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(150)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 5_000_000 + b"\r\n\r\n",
    ],
    ids=["line", "fields", "field", "5 MB"],
)
def test_limits(server: GunicornServer, head: bytes) -> None:
    with server.connect() as client:
        client.send_until_refused(head)
        assert client.read_response().status in (414, 431)


@promise("`casefold_http_method`, `strip_header_spaces` and `permit_obsolete_folding` have their effect")
class TestLeniency:
    @needs_gunicorn(22)
    def test_casefold_http_method(self, serve: Serve) -> None:
        with serve(casefold_http_method=True, permit_unconventional_http_method=True).connect() as client:
            assert client.request("get", "/scope").json()["method"] == "GET"

    def test_strip_header_spaces(self, serve: Serve) -> None:
        with serve(strip_header_spaces=True).connect() as client:
            assert ["x-one", "1"] in client.request("GET", "/scope", "X-One : 1").json()["headers"]

    @needs_gunicorn(23)
    def test_permit_obsolete_folding(self, serve: Serve) -> None:
        with serve(permit_obsolete_folding=True).connect() as client:
            assert ["x-one", "1 2"] in client.request("GET", "/scope", "X-One: 1\r\n 2").json()["headers"]

    @needs_gunicorn(23)
    def test_obsolete_folding_is_refused_by_default(self, serve: Serve) -> None:
        with serve().connect() as client:
            assert client.request("GET", "/scope", "X-One: 1\r\n 2").status == 400


@promise("A malformed request is in the log, with the peer, and in the access log")
def test_malformed_requests(serve: Serve) -> None:
    server = serve(accesslog="-", access_log_format="ACCESS %(s)s")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n")
        assert client.read_response().status == 400
    server.wait_log("Invalid request from ip=127.0.0.1: .")
    server.wait_log("^ACCESS 400")


# -- proxies ----------------------------------------------------------------------------------------------------------


@promise("`forwarder_headers`: SCRIPT_NAME of a trusted proxy mounts the application")
@needs_gunicorn(23)
def test_script_name(serve: Serve) -> None:
    document = scope(serve(source=SHOWS_SCOPE).address, "SCRIPT_NAME: /mounted", target="/mounted/scope")
    assert document["root_path"] == "/mounted"


SHOWS_SCOPE = """
import json

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = json.dumps({name: scope[name] for name in ("path", "root_path", "client", "scheme")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


@promise("A trusted proxy tells client and scheme, over TCP and unix sockets")
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_forwarded_fields(serve: Serve, tmp_path: Path, kind: str) -> None:
    server = serve(bind=f"unix:{tmp_path / 'app.sock'}" if kind == "unix" else "127.0.0.1:0")
    for field in ("X-Forwarded-Proto: https", "X-Forwarded-Ssl: on"):
        document = scope(server.address, "X-Forwarded-For: 203.0.113.9", field)
        assert document["client"][0] == "203.0.113.9"
        assert document["scheme"] == "https"


@promise("A unix socket's path is the server's name")
def test_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    serve(bind=f"unix:{path}")
    assert scope(path)["server"] == [str(path), None]


# -- hooks ------------------------------------------------------------------------------------------------------------


@promise("`post_request` gets the real `environ` and `resp`, with and without an access log")
@pytest.mark.parametrize("settings", [{}, {"accesslog": "-"}], ids=["without", "with"])
def test_post_request(serve: Serve, settings: dict[str, object]) -> None:
    server = serve(
        config=TRACE + "def post_request(worker, req, environ, resp):\n"
        "    trace('after', resp.status, environ['REQUEST_METHOD'], environ['SERVER_NAME'], environ['HTTP_X_ONE'])\n",
        **settings,
    )
    assert server.get("/", "X-One: 1").status == 200
    server.wait_trace("after 200 OK GET 127.0.0.1 1")


@promise("`pre_request` may set attributes on `req`, and its edits count")
def test_pre_request(serve: Serve) -> None:
    server = serve(
        config=TRACE + "import time\n"
        "def pre_request(worker, req):\n"
        "    req.start_time = time.time()\n"
        "    req.scheme = 'https'\n"
        "    req.headers.append(('X-BUSY', '3'))\n"
        "def post_request(worker, req, environ, resp):\n"
        "    trace('took', time.time() - req.start_time >= 0)\n"
    )
    document = scope(server.address)
    assert document["scheme"] == "https"
    assert ["x-busy", "3"] in document["headers"]
    server.wait_trace("took True")


# -- the access log ---------------------------------------------------------------------------------------------------


@promise("`access_log_format`, CGI variables included")
def test_access_log_format(serve: Serve) -> None:
    server = serve(
        accesslog="-",
        access_log_format="ACCESS %(h)s %(m)s %(U)s %(q)s %(s)s %(B)s %({x-one}i)s %({content-type}o)s "
        "%({server_name}e)s %({wsgi.url_scheme}e)s %({remote_port}e)s",
    )
    with server.connect() as client:
        assert client.request("GET", "/?a=b", "X-One: 1").status == 200
        server.wait_log(rf"^ACCESS 127\.0\.0\.1 GET / a=b 200 13 1 text/plain 127\.0\.0\.1 http {client.port}$")


@promise("A `logger_class` written for WSGI workers")
def test_logger_class(serve: Serve) -> None:
    server = serve(logger_class="tests.e2e.apps.loggers.TimingLogger")
    assert server.get("/").status == 200
    server.wait_trace("access 200 200 True text/plain GET / 127.0.0.1 http 127.0.0.1")


@promise("A `logger_class` that overrides `atoms()`")
def test_atoms(serve: Serve) -> None:
    server = serve(
        logger_class="tests.e2e.apps.loggers.AtomsLogger", accesslog="-", access_log_format="%(site)s %(s)s"
    )
    assert server.get("/").status == 200
    server.wait_log("^example-get 200$")


@promise("A duck-typed `logger_class`")
def test_duck_typed_logger(serve: Serve) -> None:
    server = serve(logger_class="tests.e2e.apps.loggers.DuckLogger", ready=False, bind="127.0.0.1:0")
    server.wait_log("duck.info: Listening at")
    server.wait_ready()
    assert server.get("/?duck").status == 200
    server.wait_trace("access 200 GET /?duck True")
    assert server.stop() == 0


@promise("statsd counts requests without an access log")
def test_statsd(serve: Serve) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        server = serve(statsd_host=f"127.0.0.1:{receiver.getsockname()[1]}")
        assert server.get("/").status == 200
        received: set[str] = set()
        wanted = {"gunicorn.requests", "gunicorn.request.status.200", "gunicorn.request.duration"}
        while not wanted <= received:
            received.add(receiver.recv(65536).decode().partition(":")[0])


@promise("WebSockets: hooks, access log, statsd and `max_requests`")
class TestWebSockets:
    @staticmethod
    def talk(server: GunicornServer) -> None:
        with server.connect() as client:
            assert handshake(client, "/chat").status == 101
            assert read_frame(client) == (TEXT, b"hello")
            send_frame(client, CLOSE, b"\x03\xe8")
            client.read_until_closed()

    def test_hooks(self, serve: Serve) -> None:
        server = serve(
            APP,
            config=TRACE + "def pre_request(worker, req):\n    trace('before', req.path)\n"
            "def post_request(worker, req, environ, resp):\n    trace('after', req.path, resp.status)\n",
        )
        self.talk(server)
        server.wait_trace("before /chat")
        server.wait_trace("after /chat 101")

    def test_access_log(self, serve: Serve) -> None:
        server = serve(APP, accesslog="-", access_log_format="ACCESS %(m)s %(U)s %(s)s")
        self.talk(server)
        server.wait_log("^ACCESS GET /chat 101$")

    def test_logger_class(self, serve: Serve) -> None:
        server = serve(APP, logger_class="tests.e2e.apps.loggers.DuckLogger", ready=False)
        server.wait_ready()
        self.talk(server)
        server.wait_trace("access 101 GET /chat True")

    def test_statsd(self, serve: Serve) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10)
            server = serve(APP, statsd_host=f"127.0.0.1:{receiver.getsockname()[1]}")
            self.talk(server)
            while not receiver.recv(65536).startswith(b"gunicorn.request.status.101:"):
                pass

    def test_max_requests(self, serve: Serve) -> None:
        server = serve(APP, max_requests=2)
        (first,) = server.worker_pids()
        for _ in range(2):
            self.talk(server)
        server.wait_gone([first])


# -- files ------------------------------------------------------------------------------------------------------------


@promise("`sendfile`: an application may hand over a file by its path")
def test_sendfile(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content " * 100_000)
    source = (
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http' and 'http.response.pathsend' in scope['extensions']\n"
        f"    headers = [(b'content-length', b'{file.stat().st_size}')]\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})\n"
        f"    await send({{'type': 'http.response.pathsend', 'path': {str(file)!r}}})\n"
    )
    assert serve(source=source).get("/").body == file.read_bytes()


# -- TLS --------------------------------------------------------------------------------------------------------------


@promise("A port with TLS is never served in plain text; a broken certificate stops the server")
class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, str]:
        trustme = pytest.importorskip("trustme")
        authority = trustme.CA()
        one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
        one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        one.private_key_pem.write_to_path(tmp_path / "key.pem")
        other.private_key_pem.write_to_path(tmp_path / "other.pem")
        return {name: str(tmp_path / f"{name}.pem") for name in ("cert", "key", "other")}

    def refuses_to_start(self, server: GunicornServer) -> None:
        """Exit code 3, and until then no answer to a plain request."""
        (address,) = server.addresses

        def ended() -> bool:
            try:
                with RawClient(address, timeout=2) as client:
                    client.send(request_bytes("GET", "/"))
                    status = client.read_response().status
            except (OSError, NoResponse):
                return server.exit_code() is not None
            raise AssertionError(f"{status} in plain text")

        wait_until(ended, 20, "the end of the server")
        assert server.exit_code() == 3

    def test_key_of_another_certificate(self, serve: Serve, files: dict[str, str]) -> None:
        self.refuses_to_start(serve(certfile=files["cert"], keyfile=files["other"], ready=False))

    @needs_gunicorn(21)
    def test_hook_that_raises(self, serve: Serve, files: dict[str, str]) -> None:
        config = "def ssl_context(config, default_factory):\n    raise ValueError('hook is broken')\n"
        self.refuses_to_start(serve(certfile=files["cert"], keyfile=files["key"], config=config, ready=False))


# -- what a worker has no use for -------------------------------------------------------------------------------------


@promise("`threads`, which an event loop has no use for, is not ignored silently")
def test_threads(serve: Serve) -> None:
    server = serve(threads=4)
    assert re.search(r"\[WARNING\].*threads", server.log())
