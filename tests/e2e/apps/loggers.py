"""Loggers as sites have them, written for Gunicorn's WSGI workers."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

from tests.e2e.apps.trace import trace


class TimingLogger(Logger):
    """A subclass that reads what loggers in the wild read of the four arguments."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        took = request_time.total_seconds()
        assert 0 <= took < 60
        trace(
            "access",
            resp.status.split()[0],
            resp.status_code,
            resp.sent == resp.response_length,
            dict(resp.headers)["content-type"],
            req.method,
            req.path,
            environ["SERVER_NAME"],
            environ["wsgi.url_scheme"],
            environ["REMOTE_ADDR"],
        )


class DuckLogger:
    """No subclass of anything: what Gunicorn's documentation asks for ("quacks like"), as structlog users write it."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg

    def _write(self, level: str, message: Any, *args: Any, **kwargs: Any) -> None:
        print(f"duck.{level}: {message % args if args else message}", file=sys.stderr, flush=True)

    def critical(self, *args: Any, **kwargs: Any) -> None:
        self._write("critical", *args)

    def error(self, *args: Any, **kwargs: Any) -> None:
        self._write("error", *args)

    def warning(self, *args: Any, **kwargs: Any) -> None:
        self._write("warning", *args)

    def info(self, *args: Any, **kwargs: Any) -> None:
        self._write("info", *args)

    def debug(self, *args: Any, **kwargs: Any) -> None:
        pass

    def exception(self, *args: Any, **kwargs: Any) -> None:
        self._write("exception", *args)

    def log(self, level: int, *args: Any, **kwargs: Any) -> None:
        self._write(str(level), *args)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        trace("access", str(resp.status).split()[0], req.method, environ["RAW_URI"], request_time.total_seconds() >= 0)

    def reopen_files(self) -> None:
        pass

    def close_on_exec(self) -> None:
        pass


class AtomsLogger(Logger):
    """Adds an atom of its own."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["site"] = f"example-{atoms['m'].lower()}"
        return atoms
