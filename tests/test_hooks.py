"""The request hooks around real exchanges: what they are given, what becomes of their edits, what they cannot break."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from pronghorn.accesslog import AccessLog
from pronghorn.asgi.context import Context
from pronghorn.asgi.exchange import HttpExchange
from pronghorn.asgi.scope import endpoint_for
from pronghorn.asgi.stream import RecordingStream
from pronghorn.hooks import RequestHooks
from pronghorn.wire.errors import ProtocolError
from tests.support.finished import make_request


class Log(Logger):
    """Keeps what it is told."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.seen: list[tuple[Any, ...]] = []
        self.exceptions: list[str] = []
        self.errors: list[str] = []
        self.debugs: list[str] = []

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        self.seen.append((resp, req, environ, request_time))

    def exception(self, message: str, *args: Any, **_: Any) -> None:
        self.exceptions.append(message)

    def error(self, message: str, *args: Any, **_: Any) -> None:
        self.errors.append(message % args)

    def debug(self, message: str, *args: Any, **_: Any) -> None:
        self.debugs.append(message % args if args else message)  # as logging does


async def answer(scope: Any, receive: Any, send: Any) -> None:
    scope["state"] = {"noted": "by the application"}
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-app", b"1")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Site:
    """A worker with the given settings, and one request through it."""

    def __init__(self, app: Any = answer, log: Callable[[Any], Any] = Log, **settings: Any) -> None:
        self.cfg = Config()
        for name, value in settings.items():
            self.cfg.set(name, value)
        self.log = log(self.cfg)
        self.app = app
        self.worker: Any = None
        self.context: Context
        self.exchange: HttpExchange
        self.stream = RecordingStream()

    def request(self, fault: bool = False) -> Site:
        asyncio.run(self._request(fault))
        return self

    async def _request(self, fault: bool) -> None:
        loop = asyncio.get_running_loop()
        self.worker = SimpleNamespace(cfg=self.cfg, log=self.log, loop=loop)
        self.context = Context(self.app, loop, self.log)
        access_log = AccessLog.of(self.log, self.cfg, loop.call_soon)
        self.hooks = RequestHooks(self.worker, access_log, self.cfg.pre_request, self.cfg.post_request)
        self.hooks.install(self.context)
        request = make_request("GET", b"/a%20b?x=1", [(b"host", b"h")])
        endpoint = endpoint_for(self.context, ("192.0.2.1", 5), ("192.0.2.2", 80), "http")
        self.exchange = HttpExchange(self.context, self.stream, request, endpoint)
        if fault:
            self.exchange.on_fault(ProtocolError(400, "broken"))
        else:
            self.exchange.start()
        while self.context.tasks:
            await asyncio.sleep(0)

    @property
    def scope(self) -> dict[str, Any]:
        assert self.exchange.scope is not None
        return self.exchange.scope


def nothing(*_: Any) -> None:
    raise AssertionError("must not be called")


class TestNothingConfigured:
    def test_nothing_is_installed(self) -> None:
        site = Site(log=Logger).request()
        assert site.context.pre_request is None
        assert site.context.observer is None
        assert not site.context.timed
        site.hooks.flush()

    def test_debug_level_shows_what_gunicorns_default_hook_writes(self) -> None:
        site = Site(loglevel="debug").request()
        assert site.log.debugs == ["GET /a%20b"]

    def test_debug_level_of_a_duck(self) -> None:
        class Duck:
            debugs: list[Any] = []

            def debug(self, message: str, *args: Any) -> None:
                self.debugs.append(message % args if args else message)

            def access(self, *args: Any) -> None:
                pass

        class Debugging(Duck):
            def isEnabledFor(self, level: int) -> bool:
                return level >= logging.DEBUG

        assert Site(log=lambda cfg: Debugging()).request().context.pre_request is not None
        assert Site(log=lambda cfg: Duck()).request().context.pre_request is None
        assert Duck.debugs == ["GET /a%20b"]

    def test_debug_level_set_by_a_logconfig(self) -> None:
        def debugging(cfg: Any) -> Logger:
            log = Log(cfg)
            log.error_log.setLevel(logging.DEBUG)
            return log

        assert Site(log=debugging).request().context.pre_request is not None


class TestPreRequest:
    def test_what_it_sees(self) -> None:
        seen: list[Any] = []

        def pre_request(worker: Any, req: Any) -> None:
            seen.extend([worker, req.method, req.path, req.query, req.uri, req.headers, req.remote_addr, req.scheme])

        site = Site(pre_request=pre_request).request()
        assert seen[0] is site.worker
        assert seen[1:] == ["GET", "/a%20b", "x=1", "/a%20b?x=1", [("HOST", "h")], ("192.0.2.1", 5), "http"]
        assert site.stream.complete

    def test_edits_reach_the_scope(self) -> None:
        def pre_request(worker: Any, req: Any) -> None:
            req.headers.append(("X-BUSY", "3"))
            req.scheme = "https"

        site = Site(pre_request=pre_request).request()
        assert site.scope["headers"] == [(b"host", b"h"), (b"x-busy", b"3")]
        assert site.scope["scheme"] == "https"
        environ = site.log.seen[0][2]
        assert (environ["HTTP_X_BUSY"], environ["wsgi.url_scheme"]) == ("3", "https")

    def test_attributes_reach_logger_and_post_request(self) -> None:
        seen: list[Any] = []

        def pre_request(worker: Any, req: Any) -> None:
            req.start_time = 5
            seen.append(req)

        def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
            seen.append(req)

        site = Site(pre_request=pre_request, post_request=post_request).request()
        assert seen[0] is seen[1] is site.log.seen[0][1]
        assert seen[1].start_time == 5

    def test_failure_is_a_500_and_one_traceback(self) -> None:
        def pre_request(worker: Any, req: Any) -> None:
            raise ValueError("hook is broken")

        calls: list[Any] = []

        def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
            calls.append((resp.status, environ["PATH_INFO"]))

        site = Site(app=nothing, pre_request=pre_request, post_request=post_request).request()
        assert site.exchange.status == 500
        assert len(site.log.errors) == 1
        assert site.log.seen[0][0].status_code == 500
        assert calls == [("500 Internal Server Error", "/a b")]

    def test_an_illegal_edit_is_a_500(self) -> None:
        def pre_request(worker: Any, req: Any) -> None:
            req.headers.append(("X", "a\r\nSet-Cookie: b"))

        site = Site(app=nothing, pre_request=pre_request).request()
        assert site.exchange.status == 500


class TestPostRequest:
    def test_what_it_sees(self) -> None:
        seen: list[Any] = []

        def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
            seen.extend([worker, req.path, environ["SERVER_NAME"], environ["SERVER_PORT"], environ["noted"]])
            seen.extend([resp.status, resp.status_code, resp.headers, resp.sent, resp.response_length])

        site = Site(post_request=post_request).request()
        assert seen[0] is site.worker
        assert seen[1:5] == ["/a%20b", "192.0.2.2", "80", "by the application"]
        assert seen[5:] == ["201 Created", 201, [("x-app", "1")], 5, None]

    def test_arities(self) -> None:
        seen: list[int] = []

        def two(worker: Any, req: Any) -> None:
            seen.append(2)

        def three(worker: Any, req: Any, environ: Any) -> None:
            assert environ["REQUEST_METHOD"] == "GET"
            seen.append(3)

        for hook in (two, three):
            Site(post_request=hook).request()
        assert seen == [2, 3]

    def test_it_runs_after_the_access_log_with_the_same_objects(self) -> None:
        order: list[Any] = []

        class Noting(Log):
            def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
                environ["added"] = "by the logger"
                order.append(("access", resp, req))

        def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
            assert environ["added"] == "by the logger"
            order.append(("post_request", resp, req))

        Site(log=Noting, post_request=post_request).request()
        assert [entry[0] for entry in order] == ["access", "post_request"]
        assert order[0][1:] == order[1][1:]

    def test_without_an_access_log(self) -> None:
        seen: list[Any] = []
        site = Site(log=Logger, post_request=lambda worker, req, environ, resp: seen.append(resp.status)).request()
        assert seen == ["201 Created"]
        assert site.context.timed

    def test_failure_is_logged_and_costs_nothing(self) -> None:
        def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
            raise ValueError("hook is broken")

        site = Site(post_request=post_request).request()
        assert site.log.exceptions == ["Exception in post_request hook"]
        assert site.stream.content == b"hello"
        assert site.stream.complete

    def test_failure_of_the_logger_does_not_skip_it(self) -> None:
        class Broken(Log):
            def access(self, *args: Any) -> None:
                raise ValueError("logger is broken")

        seen: list[Any] = []
        site = Site(log=Broken, post_request=lambda worker, req, environ, resp: seen.append(resp.status)).request()
        assert seen == ["201 Created"]
        assert site.log.exceptions == ["Exception in the access log"]

    def test_a_request_that_could_not_be_read(self) -> None:
        def never(worker: Any, req: Any) -> None:
            nothing()

        site = Site(pre_request=never, post_request=never).request(fault=True)
        assert site.log.seen[0][0].status == "400 Bad Request"
        assert site.log.exceptions == []

    def test_it_runs_once(self) -> None:
        async def fails_after_its_response(scope: Any, receive: Any, send: Any) -> None:
            await answer(scope, receive, send)
            raise ValueError("late")

        seen: list[Any] = []
        Site(fails_after_its_response, post_request=lambda w, r, e, resp: seen.append(resp.status)).request()
        assert seen == ["201 Created"]


@pytest.mark.parametrize("hooked", [False, True])
def test_the_compiled_format_serves_with_and_without_hooks(hooked: bool, tmp_path: Any) -> None:
    path = tmp_path / "access.log"
    settings: dict[str, Any] = {"post_request": lambda worker, req, environ, resp: None} if hooked else {}
    site = Site(log=Logger, accesslog=str(path), access_log_format="%(r)s %(s)s", **settings).request()
    log = site.log.access_log
    log.handlers[:] = [handler for handler in log.handlers if type(handler) is logging.FileHandler]
    site.hooks.flush()
    for handler in log.handlers[:]:
        handler.close()
        log.removeHandler(handler)
    assert path.read_text() == "GET /a%20b?x=1 HTTP/1.1 201\n"
