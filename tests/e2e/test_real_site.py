"""What real sites configure, all at once, and seen from outside: metrics, loggers, hooks, and proxies in front."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.fronts import haproxy_config, needs, nginx_config, running
from tests.support.raw import RawClient, Response, request_bytes
from tests.support.server import GunicornServer
from tests.support.statsd import Statsd
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

APP = """
import json
import os
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SERVED = Counter("served", "Requests served")
WORKERS = Gauge("workers", "Living workers", multiprocess_mode="livesum")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        WORKERS.set(1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps([scope["scheme"], scope["client"]])})
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        SERVED.inc()
        document = {name: scope[name] for name in ("scheme", "client", "root_path", "path")}
        document["pid"] = os.getpid()
        document["host"] = dict(scope["headers"])[b"host"].decode()
        document["tls"] = scope["extensions"].get("tls")
        body = json.dumps(document).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
"""

#: As prometheus_client's documentation has it, and the timing pair that many sites have.
CONFIG = """
import time
from prometheus_client import multiprocess
from tests.e2e.apps.trace import trace

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    trace("dead", worker.pid)

def pre_request(worker, req):
    req.start_time = time.monotonic()

def post_request(worker, req, environ, resp):
    took = time.monotonic() - req.start_time
    client = environ.get("HTTP_X_FORWARDED_FOR", "-")
    trace("took", req.method, req.path, resp.status, environ["wsgi.url_scheme"], client, 0 <= took < 60)
"""

#: "Quacks like" Gunicorn's Logger, and is none: one JSON object a line, with whatever the event has.
LOGGER = """
import datetime
import json
import sys

class StructuredLogger:
    def __init__(self, cfg):
        self.cfg = cfg

    def _write(self, level, event, *args, **fields):
        fields.pop("exc_info", None)
        fields.pop("extra", None)
        text = event % args if args else event
        print(json.dumps({"level": level, "event": text, **fields}), file=sys.stderr, flush=True)

    def __getattr__(self, level):
        if level not in ("debug", "info", "warning", "error", "critical", "exception"):
            raise AttributeError(level)
        return lambda event, *args, **fields: self._write(level, event, *args, **fields)

    def log(self, level, event, *args, **fields):
        self._write(str(level), event, *args, **fields)

    def access(self, resp, req, environ, request_time):
        assert isinstance(request_time, datetime.timedelta)
        self._write(
            "info",
            "request",
            status=resp.status,
            code=resp.status_code,
            method=environ["REQUEST_METHOD"],
            target=environ["RAW_URI"],
            peer=environ.get("REMOTE_ADDR"),
            scheme=environ["wsgi.url_scheme"],
            forwarded=[value for name, value in req.headers if name == "X-FORWARDED-FOR"],
            bytes=resp.sent,
            seconds=request_time.total_seconds(),
        )

    def reopen_files(self):
        self._write("info", "reopened")

    def close_on_exec(self):
        pass
"""
WEBSOCKET = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip

pytest.importorskip("prometheus_client")


@pytest.fixture
def site(serve: Serve, tmp_path: Path) -> Callable[..., GunicornServer]:
    """``site(**settings)`` starts the application with metrics and hooks."""

    def start(**settings: object) -> GunicornServer:
        metrics = tmp_path / "metrics"
        metrics.mkdir(exist_ok=True)
        (tmp_path / "sitelogger.py").write_text(LOGGER)
        return serve(
            source=APP,
            config=CONFIG,
            workers=2,
            pythonpath=str(tmp_path),
            environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
            **settings,
        )

    return start


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    receiver = Statsd()
    yield receiver
    receiver.socket.close()


def measured(server: GunicornServer, name: str) -> float:
    match = re.search(rf"^{name} (\S+)$", server.get("/metrics").text, re.MULTILINE)
    assert match is not None
    return float(match.group(1))


def records(server: GunicornServer) -> list[dict[str, object]]:
    """What the structured logger wrote."""
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


def test_metrics_of_workers_that_come_and_go(site: Callable[..., GunicornServer], tmp_path: Path) -> None:
    server = site()
    for _ in range(5):
        server.get("/")
    assert measured(server, "served_total") == 5
    wait_until(lambda: measured(server, "workers") == 2)
    old = server.worker_pids()
    server.signal(signal.SIGHUP)
    for pid in old:
        server.wait_trace(f"dead {pid}")
    wait_until(lambda: len(server.accepting_pids()) == 2)
    wait_until(lambda: measured(server, "workers") == 2)
    assert measured(server, "served_total") == 5  # a counter outlives its worker
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_trace(f"dead {victim}")
    wait_until(lambda: len(server.accepting_pids()) == 2 and measured(server, "workers") == 2)
    assert not list((tmp_path / "metrics").glob(f"gauge_livesum_{victim}.db"))
    assert server.stop() == 0


def test_a_structured_logger(site: Callable[..., GunicornServer]) -> None:
    server = site(logger_class="sitelogger.StructuredLogger")
    assert server.get("/a%20b?q=1", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https").status == 200
    server.wait_trace("took GET /a%20b 200 OK https 203.0.113.9 True")
    (entry,) = wait_until(lambda: [one for one in records(server) if one["event"] == "request"])
    assert entry["status"] == "200 OK"
    assert (entry["code"], entry["method"], entry["target"]) == (200, "GET", "/a%20b?q=1")
    assert (entry["peer"], entry["scheme"], entry["forwarded"]) == ("127.0.0.1", "https", ["203.0.113.9"])
    with server.connect() as client:
        client.send(b"NONSENSE\r\n\r\n")
        assert client.read_response().status == 400
    server.wait_log(r'"level": "warning", "event": "Invalid request from ip=127\.0\.0\.1: ')
    server.signal(signal.SIGUSR1)
    wait_until(lambda: [one for one in records(server) if one["event"] == "reopened"])
    assert server.stop() == 0
    assert "Traceback" not in server.log()


@needs("nginx")
def test_behind_nginx_on_a_unix_socket(
    site: Callable[..., GunicornServer], statsd: Statsd, tmp_path: Path
) -> None:
    """nginx as ``examples/deploy`` configures it. What a client says of itself is replaced."""
    path = tmp_path / "s" / "gunicorn.sock"
    path.parent.mkdir()
    server = site(bind=f"unix:{path}", statsd_host=statsd.host, statsd_prefix="site")
    with running("nginx", tmp_path / "nginx", lambda port: nginx_config(tmp_path / "nginx", port, str(path))) as front:
        with RawClient(front) as client:
            for target in ("/one", "/two"):
                response = client.request("GET", target, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")
                document = response.json()
                assert document["client"] == ["127.0.0.1", 0]
                assert (document["scheme"], document["path"], document["host"]) == ("http", target, "test")
                server.wait_trace(f"took GET {target} 200 OK http 127.0.0.1 True")
        with RawClient(front) as client:
            client.send(request_bytes("GET", "/", *WEBSOCKET))
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            assert b'["ws", ["127.0.0.1", 0]]' in client.read_until(b"]]")
        wait_until(lambda: statsd.count("site.gunicorn.requests:1|c|@1.0") >= 2, message=lambda: str(statsd.lines()))
        assert "site.gunicorn.request.status.200:1|c|@1.0" in statsd.lines()
        assert server.stop() == 0


@needs_gunicorn(24, 1)
@needs("haproxy")
def test_behind_haproxy_that_announces_its_clients(
    site: Callable[..., GunicornServer], statsd: Statsd, tmp_path: Path
) -> None:
    """``send-proxy-v2``: the PROXY header tells the client, and so whether its fields are to be believed."""
    server = site(
        proxy_protocol="v2",
        statsd_host=statsd.host,
        accesslog="-",
        access_log_format="LINE %(h)s %({remote_port}e)s %(U)s %(s)s",
    )
    assert isinstance(server.address, tuple)
    address = server.address

    def config(port: int) -> str:
        return haproxy_config(port, address, options="send-proxy-v2")

    with running("haproxy", tmp_path / "haproxy", config) as front:
        # 503 until haproxy has found out that the server is there.
        wait_until(lambda: _get(front, "/health").status == 200)
        assert _get(front, "/").json()["client"][0] == "127.0.0.1"
        with RawClient(front) as client:
            client.send(request_bytes("GET", "/port"))
            assert client.read_response().status == 200
            server.wait_log(rf"LINE 127\.0\.0\.1 {client.port} /port 200$")
        wait_until(lambda: statsd.count("gunicorn.requests:1|c|@1.0") >= 2, message=lambda: str(statsd.lines()))
        assert server.stop() == 0


def _get(front: tuple[str, int], target: str) -> Response:
    with RawClient(front) as client:
        return client.request("GET", target)


def test_mutual_tls(site: Callable[..., GunicornServer], tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    server = site(cert_reqs=2, ca_certs=str(certificates.ca_certs), **certificates.settings)
    someone = certificates.people.issue_cert("someone@example.com", common_name="Some One")
    context = certificates.context(someone)
    with RawClient(server.address) as client:
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        document = client.request("GET", "/mine").json()
    assert document["scheme"] == "https"
    assert document["tls"]["client_cert_name"].startswith("CN=Some One")
    server.wait_trace("took GET /mine 200 OK https - True")
    assert server.stop() == 0
