"""ASGI lifespan under Gunicorn: modes, start-up before traffic, failures that stop the server, state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.raw import request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

#: An application whose lifespan does what LIFESPAN says: one branch per behaviour.
APP = """
import asyncio
import json
import os

from tests.e2e.apps.trace import trace

MODE = os.environ["LIFESPAN"]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        trace("called")
        await lifespan(scope, receive, send)
        return
    state = scope.get("state")
    if state is not None:
        state["requests"] = state.get("requests", 0) + 1
        state.setdefault("shared", []).append(1)
    same_loop = state and state.pop("loop", None) == id(asyncio.get_running_loop())
    body = json.dumps({"state": state, "same_loop": same_loop}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope, receive, send):
    if MODE == "unsupported":
        raise NotImplementedError("no lifespan here")
    if MODE == "returns":
        return
    message = await receive()
    assert message == {"type": "lifespan.startup"}, message
    if MODE == "raises":
        raise ValueError("broken while starting")
    if MODE == "failed":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    if MODE == "slow":
        trace("starting")
        while not os.path.exists("go"):
            await asyncio.sleep(0.02)
    assert scope["asgi"]["version"] == "3.0"
    scope["state"]["shared"] = []
    scope["state"]["loop"] = id(asyncio.get_running_loop())
    await send({"type": "lifespan.startup.complete"})
    trace("started")
    message = await receive()
    assert message == {"type": "lifespan.shutdown"}, message
    trace("shutdown")
    if MODE == "raises at shutdown":
        raise ValueError("broken while stopping")
    if MODE == "failed at shutdown":
        await send({"type": "lifespan.shutdown.failed", "message": "could not flush"})
    else:
        await send({"type": "lifespan.shutdown.complete"})
"""


def named(server: GunicornServer) -> list[str]:
    """What was traced, without process ids."""
    return [line.rpartition(" ")[0] for line in server.traced()]


@pytest.fixture
def start(serve: Serve) -> Serve:
    def start(behaviour: str, **options: object) -> GunicornServer:
        return serve(source=APP, environment={"LIFESPAN": behaviour}, **options)

    return start


class TestAuto:
    def test_supported(self, start: Serve) -> None:
        server = start("ok", workers=2)
        assert named(server).count("started") == 2, "one lifespan per worker"
        assert server.get("/").status == 200
        assert server.stop() == 0
        assert named(server).count("shutdown") == 2

    @pytest.mark.parametrize("behaviour", ["unsupported", "returns"])
    def test_an_application_without_lifespan_is_served(self, start: Serve, behaviour: str) -> None:
        server = start(behaviour)
        assert server.get("/").json()["state"] is None
        assert server.stop() == 0
        assert "ERROR" not in server.log()

    def test_an_exception_on_the_start_event_does_not_stop_the_server(self, start: Serve) -> None:
        """The specification: an exception means no lifespan, continue. But it must be seen in the log."""
        server = start("raises")
        assert server.get("/").status == 200
        assert "broken while starting" in server.log()
        assert server.stop() == 0

    def test_failed_start_up_stops_the_server(self, start: Serve) -> None:
        server = start("failed", ready=False)
        assert server.wait_exit() == 3
        assert "no database" in server.log()

    def test_requests_wait_for_the_end_of_start_up(self, start: Serve) -> None:
        server = start("slow", ready=False)
        server.wait_trace("starting", 20)
        with server.connect() as client:
            client.send(request_bytes("GET", "/"))
            client.assert_silent()
            (server.directory / "go").touch()
            assert client.read_response().status == 200

    def test_term_during_start_up(self, start: Serve) -> None:
        """Nothing is in flight, so there is nothing to wait for, however long the start would take."""
        server = start("slow", ready=False, graceful_timeout=60)
        server.wait_trace("starting", 20)
        assert server.stop(timeout=15) == 0
        assert "SIGKILL" not in server.log()

    @pytest.mark.parametrize(
        ("behaviour", "reason"),
        [("raises at shutdown", "broken while stopping"), ("failed at shutdown", "could not flush")],
    )
    def test_failed_shutdown_is_logged(self, start: Serve, behaviour: str, reason: str) -> None:
        server = start(behaviour)
        assert server.stop() == 0
        assert reason in server.log()


class TestState:
    def test_each_request_has_a_shallow_copy(self, start: Serve) -> None:
        server = start("ok")
        first, second = (server.get("/").json() for _ in range(2))
        assert (first["state"]["requests"], second["state"]["requests"]) == (1, 1), "no key leaks to the next request"
        assert (len(first["state"]["shared"]), len(second["state"]["shared"])) == (1, 2), "the values are shared"

    def test_requests_run_on_the_loop_of_the_lifespan(self, start: Serve) -> None:
        assert start("ok").get("/").json()["same_loop"] is True


def check_on(server: GunicornServer, reason: str) -> None:
    assert server.wait_exit() == 3
    assert reason in server.log()


def check_off(server: GunicornServer) -> None:
    assert server.get("/").json()["state"] is None
    assert server.stop() == 0
    assert named(server) == []


def test_a_start_up_that_fails_in_starlette_is_one_traceback(serve: Serve) -> None:
    source = (
        "import contextlib\n"
        "from starlette.applications import Starlette\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    raise RuntimeError('no database')\n"
        "    yield\n"
        "app = Starlette(lifespan=lifespan)\n"
    )
    server = serve(source=source, ready=False)
    assert server.wait_exit() == 3
    assert server.log().count("Traceback (most recent call last)") == 1, server.log()
    assert server.log().count("RuntimeError: no database") == 1, server.log()


@needs_gunicorn(24)
class TestSettingOfGunicorn:
    @pytest.mark.parametrize(
        ("behaviour", "reason"),
        [("unsupported", "no lifespan here"), ("raises", "broken while starting"), ("failed", "no database")],
    )
    def test_on(self, start: Serve, behaviour: str, reason: str) -> None:
        check_on(start(behaviour, asgi_lifespan="on", ready=False), reason)

    def test_on_with_support(self, start: Serve) -> None:
        assert start("ok", asgi_lifespan="on").get("/").json()["state"]["requests"] == 1

    def test_off(self, start: Serve) -> None:
        check_off(start("ok", asgi_lifespan="off"))


class TestOptionOfPronghorn:
    """The same choice on a Gunicorn that has no such setting, and over it on one that has."""

    @pytest.fixture(autouse=True)
    def _pronghorn_only(self, worker_class: str) -> None:
        if not worker_class.startswith("pronghorn."):
            pytest.skip("only Pronghorn has these options")

    def test_on(self, serve: Serve) -> None:
        environment = {"LIFESPAN": "unsupported", "PRONGHORN_LIFESPAN": "on"}
        check_on(serve(source=APP, environment=environment, asgi_lifespan="off", ready=False), "no lifespan here")

    def test_off(self, serve: Serve) -> None:
        check_off(serve(source=APP, environment={"LIFESPAN": "ok", "PRONGHORN_LIFESPAN": "off"}))

    def test_neither(self, serve: Serve) -> None:
        server = serve(source=APP, environment={"LIFESPAN": "ok", "PRONGHORN_LIFESPAN": "maybe"}, ready=False)
        assert server.wait_exit() not in (0, None)
        wait_until(lambda: "maybe" in server.log(), message="the wrong value in the log")
        assert "Traceback" not in server.log()
