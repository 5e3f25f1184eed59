"""Gunicorn's process contract from outside: signals, replacement, drain, timeouts, hooks, exit codes."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.apps.trace import HOOKS
from tests.support.processes import descriptors, is_accepting, is_running
from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

GRACEFUL = 60  # longer than any deadline here: who waits for all of it fails
QUICK = 15.0  # a deadline for what takes well under a second: room for a busy machine, far from GRACEFUL


class TestTerm:
    def test_answers_what_is_in_flight_and_exits_0(self, serve: Serve) -> None:
        server = serve(config=HOOKS, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            server.signal(signal.SIGTERM)
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            (server.directory / "gate").touch()
            response = client.read_response()
            assert response.text == str(worker)
            assert "close" in response.connection
            client.assert_closed()
        assert server.wait_exit(QUICK) == 0

    def test_runs_shutdown_hook_and_atexit_in_this_order(self, serve: Serve) -> None:
        server = serve(config=HOOKS)
        worker = server.only_worker()
        assert server.stop() == 0
        assert server.traced_by(worker) == [
            "lifespan.startup",
            "lifespan.shutdown",
            "lifespan.shutdown.complete",
            "worker_exit",
            "atexit",
        ]

    def test_logs_no_trouble(self, serve: Serve) -> None:
        server = serve(workers=2)
        server.get("/")
        assert server.stop() == 0
        log = "\n".join(line for line in server.log().splitlines() if "uncompiled" not in line)
        for trouble in ("Traceback", "ERROR", "WARNING", "Bad file descriptor", "SIGKILL"):
            assert trouble not in log

    def test_idle_connections_do_not_delay_it(self, serve: Serve) -> None:
        server = serve(graceful_timeout=GRACEFUL, keepalive=60)
        with server.connect() as used, server.connect() as silent:
            assert used.request("GET", "/").status == 200
            server.signal(signal.SIGTERM)
            used.assert_closed()
            silent.assert_closed()
            assert server.wait_exit(QUICK) == 0

    def test_shutdown_comes_after_the_last_response(self, serve: Serve) -> None:
        """ASGI lifespan: shutdown is sent once all connections are done."""
        server = serve()
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            server.signal(signal.SIGTERM)
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            assert "lifespan.shutdown" not in server.traced_by(worker)
            (server.directory / "gate").touch()
            assert client.read_response().status == 200
        assert server.wait_exit() == 0
        assert "lifespan.shutdown.complete" in server.traced_by(worker)

    def test_what_exceeds_graceful_timeout_is_cancelled_before_the_kill(self, serve: Serve) -> None:
        server = serve(config=HOOKS, graceful_timeout=2)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/hold"))
            server.wait_trace("at hold")
            assert server.stop() == 0
        happened = server.traced_by(worker)
        assert (
            happened.index("cancelled") < happened.index("lifespan.shutdown.complete") < happened.index("worker_exit")
        )
        assert "SIGKILL" not in server.log()

    def test_repeated(self, serve: Serve) -> None:
        """Gunicorn itself repeats TERM once a second while it has too many workers."""
        server = serve(config=HOOKS)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            for _ in range(3):
                os.kill(worker, signal.SIGTERM)
            wait_until(lambda: not is_accepting(worker), QUICK, "the worker stops accepting")
            os.kill(worker, signal.SIGTERM)
            (server.directory / "gate").touch()
            assert client.read_response().text == str(worker)
        server.wait_gone([worker])
        assert server.traced_by(worker).count("lifespan.shutdown") == 1
        assert server.traced_by(worker)[-2:] == ["worker_exit", "atexit"]

    def test_of_one_worker_replaces_it(self, serve: Serve) -> None:
        server = serve()
        worker = server.only_worker()
        os.kill(worker, signal.SIGTERM)
        server.wait_gone([worker])
        assert server.get("/pid").text != str(worker)
        assert "ERROR" not in server.log()


class TestQuickExit:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    def test_of_the_master(self, serve: Serve, number: int) -> None:
        server = serve(config=HOOKS, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/hold"))
            server.wait_trace("at hold")
            assert server.stop(number, QUICK) == 0
        happened = server.traced_by(worker)
        assert happened.count("worker_int") == 1
        for wanted in ("cancelled", "lifespan.shutdown.complete", "worker_exit", "atexit"):
            assert wanted in happened, happened
        assert "SIGKILL" not in server.log()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    def test_of_one_worker_replaces_it(self, serve: Serve, number: int) -> None:
        server = serve(config=HOOKS, graceful_timeout=GRACEFUL)
        worker = server.only_worker()
        os.kill(worker, number)
        server.wait_gone([worker], QUICK)
        assert server.traced_by(worker)[-2:] == ["worker_exit", "atexit"]
        assert "worker_int" in server.traced_by(worker)
        assert server.get("/pid").text != str(worker)

    def test_ctrl_c_reaches_the_whole_group(self, serve: Serve) -> None:
        """A terminal signals master and workers at once; each worker then gets the master's QUIT as well."""
        server = serve(config=HOOKS, graceful_timeout=GRACEFUL, workers=2)
        workers = server.worker_pids()
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait_exit(QUICK) == 0
        for worker in workers:
            assert "lifespan.shutdown.complete" in server.traced_by(worker)
        assert "Traceback" not in server.log()


class TestReplacement:
    def test_of_a_killed_worker(self, serve: Serve) -> None:
        server = serve(workers=2)
        before = server.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        server.wait_gone(before[:1])
        wait_until(lambda: len(server.accepting_pids()) == 2, message="two accepting workers again")
        after = server.worker_pids()
        assert before[0] not in after
        assert before[1] in after
        wait_until(lambda: server.get("/pid").text == str(max(after)), message="an answer from the new worker")

    def test_after_max_requests(self, serve: Serve) -> None:
        server = serve(max_requests=3)
        pids = [server.get("/pid").text for _ in range(9)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
        server.wait_log("Autorestarting worker after current request")
        assert "ERROR" not in server.log()

    def test_max_requests_is_announced_on_a_kept_connection(self, serve: Serve) -> None:
        server = serve(max_requests=3, keepalive=60)
        with server.connect() as client:
            closing = ["close" in client.request("GET", "/").connection for _ in range(3)]
            assert closing == [False, False, True]
            client.assert_closed()
        assert server.get("/").status == 200

    def test_more_and_fewer_workers(self, serve: Serve) -> None:
        server = serve(config=HOOKS)
        server.signal(signal.SIGTTIN)
        wait_until(lambda: len(server.accepting_pids()) == 2, message="a second worker")
        newest = max(server.worker_pids())
        server.signal(signal.SIGTTOU)
        wait_until(lambda: len(server.worker_pids()) == 1, message="the end of one worker")
        assert server.only_worker() == newest, "the oldest one has to go"
        assert server.get("/pid").text == str(newest)
        assert "ERROR" not in server.log()

    def test_with_a_preloaded_application(self, serve: Serve) -> None:
        server = serve(preload_app=True, workers=2)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: len(server.accepting_pids()) == 2, message="two accepting workers again")
        assert server.get("/pid").text in map(str, server.worker_pids())
        assert server.stop() == 0


ANSWER = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": %r})
"""


class TestReload:
    def test_hup_loads_the_new_code_and_loses_nothing(self, serve: Serve) -> None:
        server = serve("main:app", source="from tests.e2e.apps.bare import app\n", workers=2)
        before = server.worker_pids()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            server.write_source(ANSWER % b"the new application")
            server.signal(signal.SIGHUP)
            wait_until(lambda: set(server.accepting_pids()).isdisjoint(before), message="only new workers accept")
            assert server.get("/").body == b"the new application"
            (server.directory / "gate").touch()
            assert client.read_response().text in map(str, before)
        server.wait_gone(before)
        wait_until(lambda: len(server.accepting_pids()) == 2, message="two new workers")
        assert "ERROR" not in server.log()

    def test_hup_reads_the_configuration_again(self, serve: Serve) -> None:
        server = serve(keepalive=60)
        before = server.worker_pids()
        with server.connect() as client:
            assert "close" not in client.request("GET", "/").connection
        server.write_config(keepalive=0)
        server.signal(signal.SIGHUP)
        server.wait_gone(before)
        with server.connect() as client:
            assert "close" in client.request("GET", "/").connection

    def test_hup_ends_old_workers_within_graceful_timeout(self, serve: Serve) -> None:
        """The master sends no SIGKILL after HUP: the worker has to keep the time by itself."""
        server = serve(config=HOOKS, graceful_timeout=2)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/hold"))
            server.wait_trace("at hold")
            server.signal(signal.SIGHUP)
            server.wait_gone([worker], QUICK)
        assert server.traced_by(worker)[-2:] == ["worker_exit", "atexit"]

    def test_usr2_starts_a_second_master_on_the_same_socket(self, serve: Serve, tmp_path: Path) -> None:
        pidfile = tmp_path / "pid"
        server = serve(pidfile=str(pidfile), config=HOOKS)
        old_worker = server.only_worker()
        server.signal(signal.SIGUSR2)
        successor = int(wait_until(lambda: _read(Path(f"{pidfile}.2")), message="the pid file of the new master"))
        wait_until(lambda: server.log().count("Listening at") == 2, message="the new master listens")
        assert server.stop() == 0
        assert not is_running(old_worker)
        assert server.get("/pid").text != str(old_worker)
        wait_until(lambda: _read(pidfile) == str(successor), message="the new master takes the pid file over")
        assert is_running(successor)


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


class TestLogs:
    def test_usr1_reopens_them(self, serve: Serve, tmp_path: Path) -> None:
        access, error = tmp_path / "access.log", tmp_path / "error.log"
        server = serve(accesslog=str(access), errorlog=str(error), workers=2)
        server.get("/before")
        wait_until(lambda: "/before" in access.read_text(), message="a line in the access log")
        for file in (access, error):
            file.rename(f"{file}.1")
        server.signal(signal.SIGUSR1)
        for file in (access, error):
            wait_until(
                lambda file=file: all(str(file) in descriptors(pid).values() for pid in server.worker_pids()),
                message=f"every worker has the new {file.name} open",
            )
        server.get("/fail?after")
        wait_until(lambda: "/fail?after" in access.read_text(), message="a line in the new access log")
        wait_until(lambda: "failed before the head" in error.read_text(), message="the traceback")
        assert "after" not in Path(f"{access}.1").read_text()
        assert "failed before the head" not in Path(f"{error}.1").read_text()

    def test_usr1_interrupts_no_request(self, serve: Serve) -> None:
        server = serve()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            for _ in range(5):
                os.kill(server.only_worker(), signal.SIGUSR1)
            (server.directory / "gate").touch()
            assert client.read_response().status == 200

    def test_winch_is_ignored(self, serve: Serve) -> None:
        server = serve()
        worker = server.only_worker()
        os.kill(worker, signal.SIGWINCH)
        assert server.get("/pid").text == str(worker)


class TestTimeout:
    def test_a_blocked_loop_is_aborted_and_replaced(self, serve: Serve) -> None:
        server = serve(config=HOOKS, timeout=2)
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/block"))
            server.wait_trace("blocking")
            server.wait_log(rf"WORKER TIMEOUT \(pid:{worker}\)", 20)
            server.wait_gone([worker])
        happened = server.traced_by(worker)
        assert "worker_abort" in happened, "the hook has to run although the loop is blocked"
        assert happened[-2:] == ["worker_exit", "atexit"]
        assert server.get("/pid").text != str(worker)
        assert "SIGKILL" not in server.log()

    def test_a_short_block_is_forgiven(self, serve: Serve) -> None:
        server = serve(timeout=3)
        assert server.get("/block?seconds=1.6").text == "unblocked"
        assert "WORKER TIMEOUT" not in server.log()

    def test_the_heart_beats_through_drain_and_shutdown(self, serve: Serve) -> None:
        """Each takes longer than ``timeout``. TERM goes to the worker only, the master watches on."""
        server = serve(config=HOOKS, timeout=2, graceful_timeout=GRACEFUL, environment={"SHUTDOWN_SECONDS": "4"})
        worker = server.only_worker()
        with server.connect() as client:
            client.send(request_bytes("GET", "/gate"))
            server.wait_trace("at gate")
            os.kill(worker, signal.SIGTERM)
            time.sleep(4)  # the subject of the test: more than the timeout passes
            (server.directory / "gate").touch()
            assert client.read_response().text == str(worker)
        server.wait_gone([worker])
        assert server.traced_by(worker)[-3:] == ["lifespan.shutdown.complete", "worker_exit", "atexit"]
        assert "WORKER TIMEOUT" not in server.log()

    def test_the_master_is_killed(self, serve: Serve) -> None:
        server = serve(workers=2, config=HOOKS)
        workers = server.worker_pids()
        server.signal(signal.SIGKILL)
        assert server.wait_exit() == -signal.SIGKILL
        server.wait_gone(workers, QUICK)
        for worker in workers:
            assert server.traced_by(worker)[-2:] == ["worker_exit", "atexit"]


class TestBootErrors:
    @pytest.mark.parametrize(
        ("app", "source", "code", "reason"),
        [
            ("no_such_module:app", "app = None", 3, "No module named 'no_such_module'"),
            ("main:nothing", "app = None", 4, "Failed to find attribute 'nothing' in 'main'"),
            ("main:app", "app = 1", 4, "Application object must be callable"),
            ("main:app", "raise ValueError('broken on import')", 3, "broken on import"),
            ("main:app", "def app(:\n", 3, "SyntaxError"),
        ],
        ids=["no module", "no attribute", "not callable", "exception on import", "syntax error"],
    )
    def test_application_that_cannot_be_loaded(
        self, serve: Serve, app: str, source: str, code: int, reason: str
    ) -> None:
        server = serve(app, source=source, ready=False)
        assert server.wait_exit() == code
        assert reason in server.log()

    @pytest.mark.parametrize(
        "settings",
        [{"worker_connections": "many"}, {"keepalive": -1}, {"certfile": "/nonexistent.pem"}],
        ids=["no number", "negative", "no such file"],
    )
    def test_setting_that_gunicorn_refuses(self, serve: Serve, settings: dict[str, object]) -> None:
        server = serve(ready=False, **settings)
        assert server.wait_exit() not in (0, None)
        assert server.worker_pids() == []

    def test_worker_class_that_is_none(self, serve: Serve) -> None:
        server = serve(worker_class="tests.e2e.apps.bare.NoSuchWorker", ready=False)
        assert server.wait_exit() not in (0, None)


class TestOptions:
    """Pronghorn's own options; other worker classes have none."""

    @pytest.fixture(autouse=True)
    def _pronghorn_only(self, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("only Pronghorn has these options")

    def test_wrong_value_in_the_environment(self, serve: Serve) -> None:
        server = serve(environment={"PRONGHORN_HEADER_TIMEOUT": "soon"}, ready=False)
        assert server.wait_exit() not in (0, None)
        assert "PRONGHORN_HEADER_TIMEOUT='soon' is not allowed" in server.log()
        assert "Traceback" not in server.log()

    def test_options_that_are_none(self, serve: Serve) -> None:
        for text, line in (
            ("dict(header_timeout=5)", r"of type dict, write options = pronghorn\.Options\(header_timeout=5\)$"),
            ("None", r"of type NoneType, write options = pronghorn\.Options\(header_timeout=5\)$"),
            ("pronghorn.Options", r"a class, write options = pronghorn\.Options\(header_timeout=5\)$"),
        ):
            source = (
                "import pronghorn\n"
                "from tests.e2e.apps.bare import app\n"
                f"class Worker(pronghorn.AsyncWorker):\n    options = {text}\n"
            )
            server = serve(source=source, worker_class="main.Worker", ready=False)
            assert server.wait_exit() == 1
            server.wait_log(rf"Worker\.options=.* is not allowed: it is {line}")
            assert "Traceback" not in server.log()
            assert "Booting worker" not in server.log()

    def test_value_from_the_environment(self, serve: Serve) -> None:
        server = serve(environment={"PRONGHORN_SERVER_HEADER": "site"})
        assert server.get("/").header("server") == "site"

    def test_subclass_with_options(self, serve: Serve) -> None:
        source = (
            "from pronghorn import AsyncWorker, Options\n"
            "from tests.e2e.apps.bare import app\n"
            "class Worker(AsyncWorker):\n"
            "    options = Options(server_header='from a subclass')\n"
        )
        server = serve("main:app", source=source, worker_class="main.Worker")
        assert server.get("/").header("server") == "from a subclass"

    def test_start_up_line(self, serve: Serve, worker_class: str) -> None:
        """Version, build, protocols and loop, once per worker."""
        server = serve(workers=2)
        line = r"Pronghorn \d\S* \((not )?compiled\) serves HTTP/1\.1.* on (uvloop|asyncio)"
        wait_until(lambda: len(list(re.finditer(line, server.log()))) == 2, message="two start-up lines")
