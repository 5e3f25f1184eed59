"""What Gunicorn promises of the life of its workers, as any worker class could keep it: signals, timeouts, exit codes.

``python -m tests.compare_workers`` runs these tests against other worker classes and prints who keeps what. Where
a worker has to end at once, ``graceful_timeout`` is a minute and the deadline far less: who waits for it fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.apps.trace import HOOKS
from tests.support.processes import is_running
from tests.support.raw import NoResponse, RawClient, Truncated, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until
from tests.support.websocket import CLOSE, TEXT, close_code, handshake, read_frame

Serve = Callable[..., GunicornServer]

APP = "tests.e2e.apps.promises:app"
MINUTE = 60
#: For what takes well under a second on an idle machine.
AT_ONCE = 6.0
promise = pytest.mark.promise


# -- the end ----------------------------------------------------------------------------------------------------------


@promise("SIGTERM: lifespan shutdown, `worker_exit` and `atexit` run")
def test_term(serve: Serve) -> None:
    server = serve(config=HOOKS, graceful_timeout=MINUTE)
    worker = server.only_worker()
    assert server.stop(timeout=AT_ONCE) == 0
    ends = ["lifespan.shutdown.complete", "worker_exit", "atexit"]
    assert [event for event in server.traced_by(worker) if event in ends] == ends


@promise("SIGINT and SIGQUIT end the worker at once, with `worker_int`, lifespan shutdown and `worker_exit`")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quit(serve: Serve, number: int) -> None:
    server = serve(config=HOOKS, graceful_timeout=MINUTE)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/hold"))
        server.wait_trace("at hold")
        assert server.stop(number, AT_ONCE) == 0
    happened = server.traced_by(worker)
    assert happened.count("worker_int") == 1
    assert "lifespan.shutdown.complete" in happened
    assert "worker_exit" in happened


@promise("Idle and unused connections do not delay the end")
@pytest.mark.parametrize("used", [True, False], ids=["idle", "never used"])
def test_idle_connections(serve: Serve, used: bool) -> None:
    server = serve(graceful_timeout=MINUTE, keepalive=75)
    with server.connect() as client:
        if used:
            assert client.request("GET", "/").status == 200
        assert server.stop(timeout=AT_ONCE) == 0


@promise("WebSockets are closed with 1012 or 1001 when the worker ends, and do not delay it")
def test_websockets(serve: Serve) -> None:
    environment = {"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "1"}
    server = serve(APP, graceful_timeout=MINUTE, environment=environment)
    with server.connect() as client:
        assert handshake(client).status == 101
        assert read_frame(client) == (TEXT, b"hello")
        server.signal(signal.SIGTERM)
        opcode, payload = read_frame(client)
        assert opcode == CLOSE
        assert close_code(payload) in (1001, 1012)
    assert server.wait_exit(AT_ONCE) == 0


@promise("`graceful_timeout` bounds a request also after SIGHUP, when nobody sends SIGKILL")
def test_graceful_timeout(serve: Serve) -> None:
    server = serve(config=HOOKS, graceful_timeout=3, timeout=MINUTE)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/slow?seconds=40"))
        time.sleep(0.3)  # the request has begun; the path traces nothing
        server.signal(signal.SIGHUP)
        try:
            assert client.read_response().status == 503
        except (NoResponse, Truncated):
            pass  # cut off
        server.wait_gone([worker], AT_ONCE)
    assert server.traced_by(worker)[-3:] == ["lifespan.shutdown.complete", "worker_exit", "atexit"]


@promise("`max_requests` is kept to the request")
def test_max_requests(serve: Serve) -> None:
    server = serve(max_requests=3)
    pids = [server.get("/pid").text for _ in range(9)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]


@promise("The last response before the end announces `Connection: close`")
def test_max_requests_on_a_kept_connection(serve: Serve) -> None:
    server = serve(max_requests=2, keepalive=60)
    with server.connect() as client:
        assert "close" not in client.request("GET", "/").connection
        assert "close" in client.request("GET", "/").connection


# -- the heartbeat ----------------------------------------------------------------------------------------------------


@promise("The heart beats while requests are finished: longer than `timeout` is no reason to be killed")
def test_drain_longer_than_timeout(serve: Serve) -> None:
    server = serve(timeout=2, graceful_timeout=MINUTE)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/gate"))
        server.wait_trace("at gate")
        os.kill(worker, signal.SIGTERM)
        time.sleep(5)  # the subject of the test: more than the timeout passes
        (server.directory / "gate").touch()
        assert client.read_response().text == str(worker)


@promise("The heart beats during lifespan shutdown")
def test_shutdown_longer_than_timeout(serve: Serve) -> None:
    server = serve(timeout=2, graceful_timeout=MINUTE, environment={"SHUTDOWN_SECONDS": "5"})
    worker = server.only_worker()
    os.kill(worker, signal.SIGTERM)
    server.wait_gone([worker])
    assert "lifespan.shutdown.complete" in server.traced_by(worker)


@promise("`timeout`: a blocked loop is aborted, with `worker_abort` and `worker_exit`, exit code 1")
def test_blocked_loop(serve: Serve) -> None:
    server = serve(config=HOOKS, timeout=3)
    worker = server.only_worker()
    with server.connect() as client:
        client.send(request_bytes("GET", "/block"))
        server.wait_trace("blocking")
        server.wait_gone([worker], 20)
    happened = server.traced_by(worker)
    assert [event for event in happened if event.startswith("worker_")] == ["worker_abort", "worker_exit"]
    assert "WORKER TIMEOUT" in server.log()
    assert "SIGKILL" not in server.log()
    server.wait_ready()


@promise("`timeout` counts from its beginning: a loop blocked for less is let be")
def test_short_block(serve: Serve) -> None:
    server = serve(timeout=4)
    time.sleep(1.5)  # a worker that beats only every timeout/2 is just before its next beat
    assert server.get("/block?seconds=2.8").text == "unblocked"
    assert "WORKER TIMEOUT" not in server.log()


@promise("Workers end when the master is killed")
def test_orphans(serve: Serve) -> None:
    server = serve(config=HOOKS, workers=2)
    workers = server.worker_pids()
    server.signal(signal.SIGKILL)
    server.wait_exit()
    server.wait_gone(workers, AT_ONCE)
    for worker in workers:
        assert "worker_exit" in server.traced_by(worker)


# -- the beginning ----------------------------------------------------------------------------------------------------


@promise("An application that does not finish starting is never served half-started, and not waited for for ever")
def test_endless_start(serve: Serve) -> None:
    environment = {"STARTUP_SECONDS": "300", "PRONGHORN_STARTUP_TIMEOUT": "2"}
    server = serve(APP, environment=environment, ready=False, graceful_timeout=2)
    server.wait_trace("starting", 20)
    with server.connect(timeout=45) as client:
        client.send(request_bytes("GET", "/"))
        try:
            status = client.read_response().status
        except (NoResponse, ConnectionResetError):
            status = None
    assert status is None
    assert server.wait_exit(10) == 3


@promise("An application whose start fails stops the server, exit code 3")
def test_failed_start(serve: Serve) -> None:
    source = (
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    server = serve(source=source, ready=False)
    assert server.wait_exit() == 3
    assert "no database" in server.log()


@promise("`backlog` as configured")
@pytest.mark.skipif(shutil.which("ss") is None, reason="ss shows the backlog")
def test_backlog(serve: Serve) -> None:
    server = serve(backlog=777)
    server.get("/")
    shown = subprocess.run(["ss", "-Hltn", f"sport = :{server.address[1]}"], capture_output=True, text=True, check=True)
    assert int(shown.stdout.split()[2]) == min(777, int(Path("/proc/sys/net/core/somaxconn").read_text()))


# -- reload -----------------------------------------------------------------------------------------------------------

ANSWER = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": %r})
"""


@promise("`reload`: a changed file restarts the worker")
def test_reload(serve: Serve) -> None:
    server = serve(source=ANSWER % b"old", reload=True, reload_engine="poll")
    assert server.get("/").body == b"old"
    time.sleep(1.1)  # the poller remembers a file's time when it first looks, about once a second
    server.write_source(ANSWER % b"new")
    wait_until(lambda: server.get("/").body == b"new", message="the changed application")


@promise("`reload` after a SyntaxError: the browser shows it, and the worker recovers")
def test_reload_after_a_syntax_error(serve: Serve) -> None:
    server = serve(source="async def app(:\n", reload=True, reload_engine="poll")
    page = server.get("/")
    assert page.status == 500
    assert b"SyntaxError" in page.body
    time.sleep(1.1)  # as above
    server.write_source(ANSWER % b"mended")
    wait_until(lambda: server.get("/").body == b"mended", message="the mended application")


# -- the master's operations ------------------------------------------------------------------------------------------


@promise("systemd's sockets (`LISTEN_FDS`) are served")
def test_socket_activation(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        prologue = (
            f"import os\nos.dup2({listener.fileno()}, 3)\nos.set_inheritable(3, True)\n"
            "os.environ['LISTEN_PID'] = str(os.getpid())\nos.environ['LISTEN_FDS'] = '1'\n"
        )
        server = serve(prologue=prologue, pass_fds=[listener.fileno()], bind="127.0.0.1:1", ready=False)
        server.wait_log("Listening at: unix:")
        with RawClient(path) as client:
            assert client.request("GET", "/").status == 200
        assert server.stop() == 0
    assert path.exists(), "systemd's socket is not Gunicorn's to remove"


@promise("SIGUSR2: a new master takes over the sockets")
def test_upgrade(serve: Serve, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    server = serve(pidfile=str(pidfile), config=HOOKS)
    old = server.only_worker()
    server.signal(signal.SIGUSR2)
    wait_until(lambda: Path(f"{pidfile}.2").exists(), message="the pid file of the new master")
    wait_until(lambda: server.log().count("Booting worker") == 2, message="its worker")
    wait_until(lambda: server.get("/pid").text != str(old), message="an answer of the new worker")
    assert server.stop() == 0
    assert not is_running(old)
    for _ in range(10):
        assert server.get("/pid").text != str(old)


@promise("`preload_app`: the application is imported once, in the master")
@pytest.mark.parametrize("loop_in_master", [False, True])
def test_preload(serve: Serve, loop_in_master: bool) -> None:
    source = (
        "import asyncio, os\n"
        "from tests.e2e.apps.bare import app\n"
        "from tests.e2e.apps.trace import trace\n"
        "trace('imported')\n"
    )
    if loop_in_master:
        source += "asyncio.new_event_loop().run_until_complete(asyncio.sleep(0))\n"
    server = serve("main:app", source=source, preload_app=True, workers=2)
    assert server.get("/pid").text in map(str, server.worker_pids())
    assert [line for line in server.traced() if line.startswith("imported")] == [f"imported {server.pid}"]


@promise("No `Bad file descriptor` at the end")
def test_silent_end(serve: Serve, tmp_path: Path) -> None:
    server = serve(workers=2, bind=["127.0.0.1:0", f"unix:{tmp_path / 'app.sock'}"], loglevel="debug")
    server.get("/")
    before = server.worker_pids()
    server.signal(signal.SIGHUP)
    server.wait_gone(before)
    server.wait_ready()
    assert server.stop() == 0
    assert "Bad file descriptor" not in server.log()
    assert "Traceback" not in server.log()
