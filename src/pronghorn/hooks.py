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
    """The hooks of ``worker``, as configured; Gunicorn's defaults count as none."""

    def __init__(
        self,
        worker: Any,
        access_log: AccessLog | None,
        pre_request: Callable[[Any, Any], Any],
        post_request: Callable[[Any, Any, Any, Any], Any],
    ) -> None:
        self._worker = worker
        self._access_log = access_log
        self._pre_request: Callable[[Any, Any], Any] | None = pre_request
        self._post_request: Callable[[Any, Any, Any, Any], Any] | None = post_request
        if pre_request is PreRequest.default and not _shows_debug(worker.log):
            self._pre_request = None
        if post_request is PostRequest.default:
            self._post_request = None

    def install(self, context: Context) -> None:
        """Have ``context`` call what is configured."""
        access_log = self._access_log
        if self._pre_request is not None:
            context.pre_request = self.before
        if self._post_request is not None:
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
        assert self._pre_request is not None
        req = exchange.logged = LoggedRequest(exchange.request, exchange.endpoint)
        self._pre_request(self._worker, req)
        apply_edits(req, exchange)

    def after(self, exchange: Any) -> None:
        """Write the access log and run ``post_request``, with the same objects."""
        assert self._post_request is not None
        req = exchange.logged or LoggedRequest(exchange.request, exchange.endpoint)
        resp = LoggedResponse(exchange)
        environ = Environ(exchange)
        if self._access_log is not None:
            self._access_log.log_shaped(exchange, req, resp, environ)
        if not exchange.started:
            return  # it could not be read: like Gunicorn's own workers, no hook is told
        try:
            self._post_request(self._worker, req, environ, resp)
        except BaseException:  # also SystemExit: a hook is called where the application sends, or the client leaves
            report(self._worker.log, "Exception in post_request hook")


def _shows_debug(log: Any) -> bool:
    """Whether a debug message, all that Gunicorn's default ``pre_request`` writes, would be seen."""
    is_enabled_for = getattr(getattr(log, "error_log", log), "isEnabledFor", None)
    return is_enabled_for is not None and bool(is_enabled_for(logging.DEBUG))
