"""``--reload``: a worker starts again when its code changes, also after code that could not be read."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

ANSWER = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": %r})
"""
BROKEN = "async def app(scope, receive, send):\n    return <b>'mended?'\n"

ENGINES = [
    "poll",
    pytest.param(
        "inotify",
        marks=pytest.mark.skipif(importlib.util.find_spec("inotify") is None, reason="the package inotify is absent"),
    ),
]


class Code:
    """A module ``site_app`` in a directory of its own: inotify watches directories, and the log is in another."""

    def __init__(self, directory: Path, serve: Serve) -> None:
        self.directory = directory
        self.file = directory / "site_app.py"
        self.log = directory.with_name("logs") / "error.log"
        self._serve = serve
        directory.mkdir()
        self.log.parent.mkdir()

    def serve(self, text: str, **settings: object) -> GunicornServer:
        self.file.write_text(text)
        environment = {"PYTHONDONTWRITEBYTECODE": "1"}
        return self._serve(
            "site_app:app",
            pythonpath=str(self.directory),
            environment=environment,
            reload=True,
            errorlog=str(self.log),
            **settings,
        )

    def change(self, text: str) -> None:
        """Change the module, and its modification time, when the reloader has seen the old one."""
        before = self.file.stat().st_mtime_ns
        time.sleep(1.1)  # the poller remembers a file's time when it first looks, about once a second
        self.file.write_text(text)
        assert self.file.stat().st_mtime_ns > before


@pytest.fixture
def code(tmp_path: Path, serve: Serve) -> Code:
    return Code(tmp_path / "code", serve)


def wait_body(server: GunicornServer, body: bytes) -> None:
    wait_until(lambda: server.get("/").body == body, 20, lambda: f"{body!r}; log:\n{server.log()}")


@pytest.mark.parametrize("engine", ENGINES)
class TestChange:
    def test_of_the_application(self, code: Code, engine: str) -> None:
        config = (
            "def worker_int(worker):\n    worker.log.info('hook worker_int')\n"
            "def worker_exit(server, worker):\n    worker.log.info('hook worker_exit')\n"
        )
        server = code.serve(ANSWER % b"old", config=config, reload_engine=engine)
        assert server.get("/").body == b"old"
        code.change(ANSWER % b"new")
        wait_body(server, b"new")
        assert re.findall("hook (.*)", server.log()) == ["worker_int", "worker_exit"]
        server.wait_log("Worker reloading: .*site_app.py modified")

    def test_of_another_file(self, code: Code, engine: str, tmp_path: Path) -> None:
        extra = tmp_path / "templates" / "extra.html"
        extra.parent.mkdir()
        extra.write_text("1")
        server = code.serve(ANSWER % b"served", reload_engine=engine, reload_extra_files=[str(extra)])
        (before,) = server.worker_pids()
        time.sleep(1.1)
        extra.write_text("22")
        server.wait_gone([before])
        wait_body(server, b"served")

    def test_syntax_error_and_its_end(self, code: Code, engine: str) -> None:
        """The browser shows the traceback until the file is mended; the server never stops."""
        server = code.serve(ANSWER % b"old", reload_engine=engine)
        assert server.get("/").body == b"old"
        code.change(BROKEN)
        wait_until(lambda: server.get("/").status == 500, 20, "the error page")
        page = server.get("/")
        assert (page.header("content-type") or "").startswith("text/html")
        assert b"SyntaxError" in page.body
        assert b"site_app.py" in page.body
        assert b"return &lt;b&gt;" in page.body, "escaped"
        server.wait_log("SyntaxError")
        code.change(ANSWER % b"mended")
        wait_body(server, b"mended")


def test_syntax_error_from_the_beginning(code: Code) -> None:
    server = code.serve(BROKEN, reload_engine="poll")
    assert server.get("/").status == 500
    code.change(ANSWER % b"mended")
    wait_body(server, b"mended")


FAILING_LIFESPAN = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("raise RuntimeError('no database')", b"RuntimeError: no database"),
        ("import no_such_module", b"ModuleNotFoundError: No module named &#x27;no_such_module&#x27;"),
        ("other = 1", b"AppImportError: Failed to find attribute &#x27;app&#x27;"),
        (FAILING_LIFESPAN, b"LifespanFailed: no database"),
    ],
    ids=["an exception", "a missing module", "no application", "a lifespan that fails"],
)
def test_whatever_keeps_it_from_booting_is_shown_until_it_is_mended(code: Code, text: str, shown: bytes) -> None:
    server = code.serve(ANSWER % b"old", reload_engine="poll")
    code.change(text)
    wait_until(lambda: server.get("/").status == 500, 20, lambda: f"the error page:\n{server.log()}")
    assert shown in server.get("/").body
    assert server.log().count("The application cannot be loaded; it is tried again when a file changes") == 1
    assert server.log().count("Traceback (") <= 1
    code.change(ANSWER % b"mended")
    wait_body(server, b"mended")


def test_a_file_that_does_not_exist_yet(code: Code) -> None:
    server = code.serve("from missing.part import app\n", reload_engine="poll")
    assert server.get("/").status == 500
    (code.directory / "missing").mkdir()
    (code.directory / "missing" / "__init__.py").touch()
    server.wait_log("No module named 'missing.part'")
    (code.directory / "missing" / "part.py").write_text(ANSWER % b"there")
    wait_body(server, b"there")


def test_the_page_is_for_this_machine(code: Code) -> None:
    server = code.serve(BROKEN, reload_engine="poll")
    assert b"SyntaxError" in server.get("/").body
    for field in ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=unknown"):
        response = server.get("/", field)
        assert (response.status, response.body) == (500, b"Internal Server Error\n")


def test_the_importing_file_counts_too(code: Code) -> None:
    """The mistake may be the import itself."""
    (code.directory / "broken.py").write_text("def (:\n")
    server = code.serve("import broken\n" + ANSWER % b"?", reload_engine="poll")
    assert server.get("/").status == 500
    code.change(ANSWER % b"without it")
    wait_body(server, b"without it")


def test_without_reload_a_syntax_error_stops_the_server(serve: Serve) -> None:
    server = serve(source=BROKEN, ready=False)
    assert server.wait_exit() == 3


@needs_gunicorn(24)
def test_lifespan_that_has_to_be_supported(code: Code) -> None:
    server = code.serve(BROKEN, reload_engine="poll", asgi_lifespan="on")
    assert server.get("/").status == 500


def test_a_request_under_way_is_finished(code: Code) -> None:
    server = code.serve("from tests.e2e.apps.bare import app\n", reload_engine="poll")
    with server.connect() as client:
        client.send(request_bytes("GET", "/gate"))
        server.wait_trace("at gate")
        code.change(ANSWER % b"new")
        server.wait_log("Worker reloading")
        (server.directory / "gate").touch()
        assert client.read_response().status == 200
    wait_body(server, b"new")
