"""What applications write to uvicorn's loggers comes out as it does under UvicornWorker."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

SOURCE = """
import logging
from tests.e2e.apps.bare import app
logging.getLogger("uvicorn.error").debug("a hidden line")
logging.getLogger("uvicorn.error").info("an error line")
logging.getLogger("uvicorn.access").info("an access line")
logging.getLogger("uvicorn").info("a parent line")
logging.getLogger("uvicorn").warning("a parent warning")
logging.getLogger("uvicorn.error").error("the end")
"""
CONFIGURED = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"mine": {"format": "MINE %(name)s %(message)s"}},
    "handlers": {"mine": {"class": "logging.StreamHandler", "formatter": "mine", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": []},
    "loggers": {
        "uvicorn": {"level": "INFO", "handlers": ["mine"], "propagate": False},
        "gunicorn.error": {"level": "INFO", "handlers": ["mine"], "propagate": False},
    },
}


def lines(server: GunicornServer, text: str) -> list[str]:
    return [line for line in server.log().splitlines() if text in line]


@pytest.mark.parametrize("worker", ["", "uvicorn.workers.UvicornWorker"])
def test_they_come_out_in_gunicorns_logs(serve: Serve, worker: str, worker_class: str) -> None:
    server = serve(source=SOURCE, accesslog="-", worker_class=worker or worker_class)
    server.wait_log(r"\[ERROR\] the end$")
    (line,) = lines(server, "an error line")
    assert re.fullmatch(r"\[[^]]+\] \[\d+\] \[INFO\] an error line", line)
    assert lines(server, "an access line") == ["an access line"]
    assert lines(server, "a parent warning") == ["a parent warning"]
    assert lines(server, "a parent line") == lines(server, "a hidden line") == []


def test_who_configured_them_has_them_so(serve: Serve) -> None:
    server = serve(source=SOURCE, logconfig_dict=CONFIGURED)
    server.wait_log("MINE uvicorn.error the end$")
    assert lines(server, "an error line") == ["MINE uvicorn.error an error line"]
    assert lines(server, "an access line") == ["MINE uvicorn.access an access line"]
    assert lines(server, "a parent line") == ["MINE uvicorn a parent line"]
