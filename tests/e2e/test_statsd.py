"""Request metrics to a real UDP socket, with and without an access log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.server import GunicornServer
from tests.support.statsd import Statsd
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    receiver = Statsd()
    yield receiver
    receiver.socket.close()


@pytest.mark.parametrize("access_log", [False, True])
def test_each_request_is_counted(serve: Serve, statsd: Statsd, access_log: bool) -> None:
    settings = {"accesslog": "-"} if access_log else {}
    server = serve(statsd_host=statsd.host, statsd_prefix="site", **settings)
    with server.connect() as client:
        for _ in range(3):
            assert client.request("GET", "/?counted").status == 200
        assert client.request("GET", "/nothing").status == 404
        client.send(b"GARBAGE\r\n\r\n")
        assert client.read_response().status == 400
    wait_until(lambda: statsd.count("site.gunicorn.requests:1|c|@1.0") == 5, message=lambda: str(statsd.lines()))
    assert statsd.count("site.gunicorn.request.status.200:1|c|@1.0") == 3
    assert statsd.count("site.gunicorn.request.status.404:1|c|@1.0") == 1
    assert statsd.count("site.gunicorn.request.status.400:1|c|@1.0") == 1
    durations = [line for line in statsd.lines() if line.startswith("site.gunicorn.request.duration:")]
    assert len(durations) == 5
    assert all(re.fullmatch(r"[^:]+:\d+(\.\d+)?(e-\d+)?\|ms", line) for line in durations)
    assert server.log().count('"GET /?counted HTTP/1.1" 200') == (3 if access_log else 0)


def test_tags(serve: Serve, statsd: Statsd) -> None:
    server = serve(statsd_host=statsd.host, dogstatsd_tags="env:test")
    server.get("/")
    wait_until(lambda: statsd.count("gunicorn.requests:1|c|@1.0|#env:test") == 1, message=lambda: str(statsd.lines()))


def test_metrics_of_the_application(serve: Serve, statsd: Statsd) -> None:
    """Hooks send metrics of their own through the logger's ``extra``."""
    server = serve(
        statsd_host=statsd.host,
        config=(
            "def post_request(worker, req, environ, resp):\n"
            "    worker.log.info('', extra={'metric': 'own.' + resp.status.split()[0], 'value': 7, 'mtype': 'gauge'})\n"
        ),
    )
    server.get("/")
    wait_until(lambda: statsd.count("own.200:7|g") == 1, message=lambda: str(statsd.lines()))
