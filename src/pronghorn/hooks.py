"""What Gunicorn's configuration wants to happen around each request: ``pre_request``, the access log, ``post_request``.

Nothing is installed that is not configured, so that a request without hooks pays nothing for them. Order and arguments
are those of Gunicorn's WSGI workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gunicorn.config import PostRequest, PreRequest

from pronghorn.accesslog import AccessLog, report
from pronghorn.asgi.context import Context
from pronghorn.logged import Environ, LoggedRequest, LoggedResponse, apply_edits


class RequestHooks:
    """The configured hooks of ``worker``; ``pre_request`` and ``post_request`` are None where there is none."""

    def __init__(self, worker: Any) -> None:
        cfg = worker.cfg
        self._worker = worker
        self.pre_request: Callable[[Any, Any], Any] | None = cfg.pre_request
        self.post_request: Callable[[Any, Any, Any, Any], Any] | None = cfg.post_request
        if cfg.pre_request is PreRequest.default and not _shows_debug(worker.log, cfg):
            self.pre_request = None
        if cfg.post_request is PostRequest.default:
            self.post_request = None
        self._access_log: AccessLog | None = None
        if AccessLog.is_wanted(worker.log, cfg):
            self._access_log = AccessLog(worker.log, cfg, worker.loop.call_soon)

    def install(self, context: Context) -> None:
        """Have ``context`` call what is configured."""
        access_log = self._access_log
        if self.pre_request is not None:
            context.pre_request = self.before
        if self.post_request is not None:
            context.timed = True
            context.observer = self.after
        elif access_log is not None:
            context.timed = access_log.timed
            context.observer = access_log.log

    def flush(self) -> None:
        """Write what the access log has gathered: the loop will not turn again."""
        if self._access_log is not None:
            self._access_log.flush()

    def before(self, exchange: Any) -> None:
        """Run ``pre_request`` and take over what it changed. What it raises becomes a 500."""
        assert self.pre_request is not None
        req = exchange.logged = LoggedRequest(exchange.request, exchange.endpoint)
        self.pre_request(self._worker, req)
        apply_edits(req, exchange)

    def after(self, exchange: Any) -> None:
        """Write the access log and run ``post_request``, with the same objects."""
        assert self.post_request is not None
        req = exchange.logged or LoggedRequest(exchange.request, exchange.endpoint)
        resp = LoggedResponse(exchange)
        environ = Environ(exchange)
        if self._access_log is not None:
            self._access_log.log_shaped(exchange, req, resp, environ)
        if not exchange.started:
            return  # it could not be read: like Gunicorn's own workers, no hook is told
        try:
            self.post_request(self._worker, req, environ, resp)
        except Exception:
            report(self._worker.log, "Exception in post_request hook")


def _shows_debug(log: Any, cfg: Any) -> bool:
    """Whether a debug message, all that Gunicorn's default ``pre_request`` writes, would be seen."""
    error_log = getattr(log, "error_log", None)
    if isinstance(error_log, logging.Logger):
        return error_log.isEnabledFor(logging.DEBUG)
    return str(cfg.loglevel).lower() == "debug"
