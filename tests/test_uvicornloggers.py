"""``uvicornloggers``: what applications write to uvicorn's loggers goes where UvicornWorker sends it."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from uvicorn.workers import UvicornWorker

from pronghorn.uvicornloggers import lead_to

NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {name: vars(logging.getLogger(name)).copy() for name in NAMES}
    for name in NAMES:
        vars(logging.getLogger(name)).update(handlers=[], level=logging.NOTSET, propagate=True, filters=[])
    yield
    for name, state in before.items():
        vars(logging.getLogger(name)).update(state)
        logging.getLogger(name).manager._clear_cache()  # type: ignore[attr-defined]


def gunicorns(**settings: Any) -> Logger:
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return Logger(cfg)


def shape(name: str) -> tuple[Any, ...]:
    logger = logging.getLogger(name)
    return logger.handlers, logger.level, logger.propagate


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "settings", [{}, {"accesslog": "-"}, {"loglevel": "debug", "accesslog": "-"}, {"loglevel": "error"}], ids=repr
)
def test_as_uvicorns_own_worker_has_them(settings: dict[str, Any]) -> None:
    log = gunicorns(**settings)
    lead_to(log)
    ours = {name: shape(name) for name in NAMES}
    for name in NAMES[:3]:
        vars(logging.getLogger(name)).update(handlers=[], level=logging.NOTSET, propagate=True)
    UvicornWorker(0, 0, [], None, 30, log.cfg, log).tmp.close()
    assert ours == {name: shape(name) for name in NAMES}


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error"])
@pytest.mark.parametrize(
    "how", [{"level": "ERROR"}, {"handlers": ["there"]}, {"propagate": False}], ids=lambda how: "".join(how)
)
def test_who_configured_one_is_not_overruled(name: str, how: dict[str, Any]) -> None:
    there = {"there": {"class": "logging.StreamHandler", "stream": io.StringIO()}}
    configured = {"version": 1, "disable_existing_loggers": False, "handlers": there, "loggers": {name: how}}
    logging.config.dictConfig(configured)
    before = shape("uvicorn.error")
    lead_to(gunicorns())
    assert shape("uvicorn.error") == before


def test_an_application_that_configures_them_later_leaves_gunicorns_alone() -> None:
    log = gunicorns()
    lead_to(log)
    before = list(log.error_log.handlers)
    assert before
    loggers = {"uvicorn.error": {"level": "INFO"}}
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": loggers})
    assert log.error_log.handlers == before


def test_a_logger_of_another_shape() -> None:
    lead_to(object())
    assert shape("uvicorn.error") == ([], logging.NOTSET, True)
