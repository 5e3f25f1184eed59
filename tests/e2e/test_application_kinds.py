"""What ``gunicorn -k pronghorn.AsyncWorker NAME`` makes of applications that are not ASGI 3."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

APP = """
import os

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]

class Asgi2:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        if self.scope["type"] == "lifespan":
            await receive()
            self.scope["state"]["started"] = True
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = f"{self.scope['asgi']['version']} {self.scope['state']} {self.scope['path']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

def make():
    return Asgi2
"""

APP_LOAD_ERROR = 4


@pytest.fixture(autouse=True)
def _pronghorn_only(worker_class: str) -> None:
    if worker_class != "pronghorn.AsyncWorker":
        pytest.skip("other worker classes find out with each request")


@pytest.mark.parametrize("preload", [False, True])
def test_wsgi_application_stops_the_master_with_one_line(serve: Serve, preload: bool) -> None:
    server = serve("main:wsgi", source=APP, ready=False, preload_app=preload)
    assert server.wait_exit() == APP_LOAD_ERROR
    assert "Traceback" not in server.log()
    (line,) = [line for line in server.log().splitlines() if "WSGI" in line]
    assert "'main:wsgi' is a WSGI application (main.wsgi)" in line
    assert "'gthread'" in line


def test_factory_stops_the_master_with_one_line(serve: Serve) -> None:
    server = serve("main:make", source=APP, ready=False)
    assert server.wait_exit() == APP_LOAD_ERROR
    assert "Traceback" not in server.log()
    assert "name it as 'main:make()'" in server.log()


@pytest.mark.parametrize("app", ["main:Asgi2", "main:make()"])
def test_asgi2_application_is_served(serve: Serve, app: str) -> None:
    server = serve(app, source=APP)
    assert server.get("/path").text == "2.0 {'started': True} /path"
    assert server.stop() == 0
    assert "Traceback" not in server.log()
