"""A finished exchange, in the shapes that Gunicorn's loggers read: ``logger.access(resp, req, environ, request_time)``.

The shapes are those of Gunicorn's WSGI workers, so that any ``logger_class`` written for them works.
"""

from __future__ import annotations

import time
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from gunicorn.glogging import Logger

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}


class LoggedRequest:
    """The request as a logger reads it: ``headers`` is a list of (UPPER-CASE NAME, value)."""

    def __init__(self, exchange: Any) -> None:
        request = exchange.request
        target = request.target.decode("latin-1")
        self.method = request.method
        self.uri = target
        self.path = request.raw_path.decode("latin-1")
        self.query = request.query_string.decode("latin-1")
        self.fragment = ""
        self.version = tuple(int(part) for part in (request.http_version + ".0").split(".")[:2])
        self.scheme = exchange.endpoint.scheme
        self.remote_addr = exchange.endpoint.client or ("", -1)
        self.peer_addr = self.remote_addr
        self.headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in request.headers]
        self.trailers: list[tuple[str, str]] = []


class LoggedResponse:
    """The response as a logger reads it: ``status`` is text like "200 OK", ``headers`` the application's."""

    def __init__(self, exchange: Any) -> None:
        self.status_code = exchange.status
        self.status = f"{exchange.status} {_PHRASES.get(exchange.status, '')}".rstrip()
        response = exchange.response
        headers = [] if response is None else response.headers
        self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        self.response_length = None if response is None or response.content_length < 0 else response.content_length
        self.sent = exchange.stream.sent
        self.chunked = False
        self.upgrade = False


def environ_of(exchange: Any, req: LoggedRequest) -> dict[str, Any]:
    """A CGI-style environment (PEP 3333) with what a WSGI worker's has, but for the streams."""
    request = exchange.request
    server = exchange.endpoint.template["server"] or ("", "")
    environ = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": req.uri,
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "PATH_INFO": request.path,
        "QUERY_STRING": req.query,
        "SCRIPT_NAME": exchange.endpoint.template["root_path"],
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": "" if server[1] is None else str(server[1]),
        "wsgi.url_scheme": exchange.endpoint.scheme,
    }
    client = exchange.endpoint.client
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    for name, value in req.headers:
        key = name.replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            environ[key] = value
            continue
        key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


class AccessLog:
    """Hands finished exchanges to ``logger``."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    @classmethod
    def wanted(cls, logger: Any, cfg: Any) -> bool:
        """Whether ``logger.access`` could do anything: a plain Logger without an access log cannot."""
        if type(logger).access is not Logger.access:
            return True
        return bool(
            cfg.accesslog
            or cfg.logconfig
            or cfg.logconfig_dict
            or getattr(cfg, "logconfig_json", None)
            or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
        )

    def log(self, exchange: Any) -> None:
        """Write the line of ``exchange``, now that its last byte was handed over."""
        elapsed = timedelta(seconds=time.monotonic() - exchange.started) if exchange.started else timedelta()
        req = LoggedRequest(exchange)
        try:
            self._logger.access(LoggedResponse(exchange), req, environ_of(exchange, req), elapsed)
        except Exception:
            # A logger of the site's own must not cost a client its response.
            self._logger.exception("Exception in the access log")
