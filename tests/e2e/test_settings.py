"""Settings that Gunicorn itself acts upon, and those that an ASGI worker has no use for: each seen from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import RawClient
from tests.support.server import GunicornServer
from tests.support.versions import gunicorn_at_least, needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

#: Answers with what its process sees of the settings.
SHOWS_PROCESS = """
import json, os, sys, threading

async def app(scope, receive, send):
    assert scope["type"] == "http"
    document = {
        "cwd": os.getcwd(),
        "path": sys.path,
        "SITE": os.environ.get("SITE"),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "root_path": scope["root_path"],
        "traced": sys.gettrace() is not None,
    }
    print("printed by the application", flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
"""


def others_can_read(path: str) -> bool:
    """Whether every user gets to the files of Python, of the tests and of the packages."""
    places = {os.path.realpath(place) for place in (path, os.__file__, __file__, sys.executable, pytest.__file__)}
    return all(os.stat(parent).st_mode & 0o005 == 0o005 for place in places for parent in Path(place).parents)


def shown(serve: Serve, **settings: object) -> dict:
    return serve(source=SHOWS_PROCESS, **settings).get("/").json()


class TestProcess:
    def test_raw_env(self, serve: Serve) -> None:
        assert shown(serve, raw_env=["SITE=example"])["SITE"] == "example"

    def test_raw_env_sets_options(self, serve: Serve, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("only Pronghorn has these options")
        assert serve(raw_env=["PRONGHORN_SERVER_HEADER=site"]).get("/").header("server") == "site"

    def test_pythonpath(self, serve: Serve, tmp_path: Path) -> None:
        assert str(tmp_path) in shown(serve, pythonpath=str(tmp_path))["path"]

    def test_chdir(self, serve: Serve, tmp_path: Path) -> None:
        (tmp_path / "elsewhere.py").write_text(SHOWS_PROCESS)
        server = serve("elsewhere:app", chdir=str(tmp_path))
        assert server.get("/").json()["cwd"] == str(tmp_path)

    def test_wsgi_app(self, serve: Serve) -> None:
        server = serve(source=SHOWS_PROCESS, wsgi_app="main:app")
        assert server.get("/").status == 200

    def test_worker_tmp_dir(self, serve: Serve, tmp_path: Path) -> None:
        server = serve(worker_tmp_dir=str(tmp_path), timeout=2)
        (worker,) = server.worker_pids()
        targets = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
        assert any(target.startswith(f"{tmp_path}/wgunicorn-") for target in targets)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
    @pytest.mark.skipif(not others_can_read(sys.prefix), reason="another user could not read this Python")
    def test_user_and_group(self, serve: Serve, tmp_path: Path) -> None:
        for directory in (tmp_path, *tmp_path.parents):
            if directory.stat().st_uid == os.getuid() and str(directory).startswith("/tmp/"):
                directory.chmod(0o755)
        document = shown(serve, user=65534, group=65534)
        assert (document["uid"], document["gid"]) == (65534, 65534)

    def test_spew(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "app.sock"
        serve(source=SHOWS_PROCESS, spew=True, bind=f"unix:{path}")
        with RawClient(path) as client:
            assert client.request("GET", "/").json()["traced"] is True

    def test_pidfile(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        server = serve(pidfile=str(path))
        assert path.read_text().strip() == str(server.pid)
        assert server.stop() == 0
        assert not path.exists()

    def test_max_requests_jitter(self, serve: Serve) -> None:
        server = serve(max_requests=2, max_requests_jitter=3)
        pids = [server.get("/pid").text for _ in range(12)]
        assert all(2 <= pids.count(pid) <= 5 for pid in pids[:-5])

    @needs_gunicorn(24)
    def test_root_path(self, serve: Serve) -> None:
        assert shown(serve, root_path="/mounted")["root_path"] == "/mounted"

    @needs_gunicorn(24)
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop", "auto"])
    def test_asgi_loop(self, serve: Serve, worker_class: str, loop: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("the start-up line is Pronghorn's")
        server = serve(asgi_loop=loop)
        server.wait_log(f"serves .* on {'asyncio' if loop == 'asyncio' else 'uvloop'}")


class TestLogging:
    def test_errorlog_and_loglevel(self, serve: Serve, tmp_path: Path) -> None:
        path, address = tmp_path / "error.log", tmp_path / "app.sock"
        serve(errorlog=str(path), loglevel="error", bind=f"unix:{address}")  # it does not log where it listens
        with RawClient(address) as client:
            assert client.request("GET", "/fail").status == 500
        wait_until(lambda: "failed before the head" in path.read_text(), message="the traceback")
        assert "INFO" not in path.read_text()

    def test_capture_output(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "error.log"
        server = serve(source=SHOWS_PROCESS, errorlog=str(path), capture_output=True)
        server.get("/")
        wait_until(lambda: "printed by the application" in path.read_text(), message="what was printed")

    def test_syslog(self, serve: Serve) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10)
            host = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
            server = serve(syslog=True, syslog_addr=host, syslog_prefix="site", syslog_facility="local3")
            server.get("/?to-syslog")
            while True:
                line = receiver.recv(65536).decode()
                if "to-syslog" in line:
                    break
        assert "gunicorn.site.access" in line
        assert line.startswith("<158>"), "facility local3, severity info"

    def test_disable_redirect_access_to_syslog(self, serve: Serve) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10)
            host = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
            server = serve(syslog=True, syslog_addr=host, disable_redirect_access_to_syslog=True)
            server.get("/?not-to-syslog")
            server.get("/fail")
            lines = ""
            while "failed before the head" not in lines:
                lines += receiver.recv(65536).decode()
        assert "not-to-syslog" not in lines

    def test_logconfig(self, serve: Serve, tmp_path: Path) -> None:
        path, configuration = tmp_path / "access.log", tmp_path / "logging.ini"
        configuration.write_text(
            "[loggers]\nkeys=root,gunicorn.error,gunicorn.access\n[handlers]\nkeys=console,file\n"
            "[formatters]\nkeys=own\n[logger_root]\nlevel=INFO\nhandlers=console\n"
            "[logger_gunicorn.error]\nlevel=INFO\nhandlers=console\npropagate=0\nqualname=gunicorn.error\n"
            "[logger_gunicorn.access]\nlevel=INFO\nhandlers=file\npropagate=0\nqualname=gunicorn.access\n"
            "[handler_console]\nclass=StreamHandler\nargs=(sys.stderr,)\n"
            f"[handler_file]\nclass=FileHandler\nargs=({str(path)!r},)\nformatter=own\n"
            "[formatter_own]\nformat=own: %(message)s\n"
        )
        server = serve(logconfig=str(configuration))
        server.get("/?configured")
        wait_until(lambda: "?configured" in path.read_text(), message="a line in the file")
        assert path.read_text().startswith("own: 127.0.0.1")

    @needs_gunicorn(21)
    def test_logconfig_json(self, serve: Serve, tmp_path: Path) -> None:
        path, configuration = tmp_path / "access.log", tmp_path / "logging.json"
        document = {
            "version": 1,
            "disable_existing_loggers": False,
            "root": {"level": "INFO", "handlers": ["console"]},
            "formatters": {"own": {"format": '{"level": "%(levelname)s", "line": "%(message)s"}'}},
            "handlers": {
                "file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "own"},
                "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
            },
            "loggers": {
                "gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False},
                "gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False},
            },
        }
        configuration.write_text(json.dumps(document))
        server = serve(logconfig_json=str(configuration), access_log_format="%(m)s %(U)s %(s)s")
        server.get("/nothing")
        wait_until(lambda: "/nothing" in path.read_text(), message="a line in the file")
        assert path.read_text() == '{"level": "INFO", "line": "GET /nothing 404"}\n'


HOOKS = """
from tests.e2e.apps.trace import trace

def on_starting(server): trace("on_starting")
def on_reload(server): trace("on_reload")
def when_ready(server): trace("when_ready")
def pre_fork(server, worker): trace("pre_fork")
def post_fork(server, worker): trace("post_fork")
def post_worker_init(worker): trace("post_worker_init", worker.loop.is_running(), callable(worker.wsgi))
def worker_exit(server, worker): trace("worker_exit")
def child_exit(server, worker): trace("child_exit", worker.pid)
def nworkers_changed(server, new, old): trace("nworkers_changed", new, old)
def pre_exec(server): trace("pre_exec")
def on_exit(server): trace("on_exit")
"""


class TestHooks:
    @staticmethod
    def of(server: GunicornServer, pid: int) -> list[str]:
        return [line.rpartition(" ")[0] for line in server.traced() if line.endswith(f" {pid}")]

    def test_order(self, serve: Serve, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("other workers have no loop in post_worker_init")
        server = serve(config=HOOKS)
        (worker,) = server.worker_pids()
        assert server.stop() == 0
        master = self.of(server, server.pid)
        assert [hook for hook in master if not hook.startswith("nworkers_changed")] == [
            "on_starting",
            "when_ready",
            "pre_fork",
            f"child_exit {worker}",
            "on_exit",
        ]
        assert self.of(server, worker) == [
            "post_fork",
            "post_worker_init False True",
            "lifespan.startup",
            "lifespan.shutdown",
            "lifespan.shutdown.complete",
            "worker_exit",
            "atexit",
        ]

    def test_of_operations(self, serve: Serve, tmp_path: Path) -> None:
        server = serve(config=HOOKS, pidfile=str(tmp_path / "pid"))
        server.signal(signal.SIGTTIN)
        server.wait_trace("nworkers_changed 2 1")
        server.signal(signal.SIGHUP)
        server.wait_trace("on_reload")
        server.signal(signal.SIGUSR2)
        server.wait_trace("pre_exec")


class TestWithoutEffect:
    """One line at start for each, and the server serves."""

    @pytest.fixture(autouse=True)
    def _pronghorn_only(self, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("the lines are Pronghorn's")

    @pytest.mark.parametrize(
        ("settings", "since"),
        [
            ({"threads": 4}, 20),
            ({"ssl_version": 5}, 20),
            ({"tmp_upload_dir": "/tmp"}, 20),
            ({"do_handshake_on_connect": True}, 20),
            ({"suppress_ragged_eofs": False}, 20),
            ({"http_protocols": "h2,h1"}, 25),
            ({"http2_max_concurrent_streams": 7}, 25),
            ({"http_parser": "python"}, 26),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_said(self, serve: Serve, settings: dict[str, object], since: int) -> None:
        if not gunicorn_at_least((since,)):
            pytest.skip("a newer Gunicorn's setting")
        server = serve(workers=2, **settings)
        assert server.get("/").status == 200
        (name,) = settings
        lines = [line for line in server.log().splitlines() if f"Setting {name}=" in line]
        assert len(lines) == 1, server.log()
        assert "has no effect" in lines[0]

    @needs_gunicorn(24)
    def test_uwsgi_is_refused(self, serve: Serve) -> None:
        server = serve(protocol="uwsgi", ready=False)
        assert server.wait_exit() not in (0, None)
        assert "Setting protocol='uwsgi' is not allowed" in server.log()
        assert "Booting worker" not in server.log()

    def test_nothing_is_said_by_default(self, serve: Serve) -> None:
        server = serve()
        assert "has no effect" not in server.log()
        assert "is not known" not in server.log()


class TestUnknownVariables:
    @pytest.fixture(autouse=True)
    def _pronghorn_only(self, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("the variables are Pronghorn's")

    def test_a_typing_mistake_is_said_once(self, serve: Serve) -> None:
        server = serve(environment={"PRONGHORN_HEADER_TIMOUT": "5"}, workers=2)
        assert server.get("/").status == 200
        assert server.log().count("PRONGHORN_HEADER_TIMOUT is not known; did you mean PRONGHORN_HEADER_TIMEOUT?") == 1

    def test_switches_of_the_build_and_of_kubernetes_are_no_mistake(self, serve: Serve) -> None:
        server = serve(
            environment={
                "PRONGHORN_PURE": "1",
                "PRONGHORN_REQUIRE_COMPILED": "",
                "PRONGHORN_SANITIZE": "",
                "PRONGHORN_SERVICE_HOST": "10.0.0.1",
                "PRONGHORN_SERVICE_PORT_HTTP": "80",
                "PRONGHORN_PORT": "tcp://10.0.0.1:80",
                "PRONGHORN_PORT_80_TCP_ADDR": "10.0.0.1",
            }
        )
        assert server.get("/").status == 200
        assert "is not known" not in server.log()


def test_keepalive_of_a_setting(serve: Serve) -> None:
    with RawClient(serve(keepalive=1).address) as client:
        assert client.request("GET", "/").status == 200
        client.assert_closed()


def test_check_config(serve: Serve) -> None:
    server = serve(args=["--check-config"], ready=False)
    assert server.wait_exit() == 0
    assert "Booting worker" not in server.log()
