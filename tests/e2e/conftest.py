"""Fixtures of the black-box tests: real Gunicorn processes with the worker class of ``--worker-class``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import GunicornServer

BARE = "tests.e2e.apps.bare:app"
_SHOWN = 20_000  # characters of a log in the report of a failed test

Serve = Callable[..., GunicornServer]


@pytest.fixture(scope="session")
def worker_class(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--worker-class"))


@pytest.fixture
def serve(worker_class: str, tmp_path: Path) -> Iterator[Serve]:
    """``serve(app, **settings)`` starts a server that ends with the test."""
    with ExitStack() as stack:
        started: list[GunicornServer] = []

        def start(app: str = "", **options: Any) -> GunicornServer:
            if not app and not options.get("source"):
                app = BARE
            directory = tmp_path / f"server{len(started)}"
            server = GunicornServer(app, directory, **{"worker_class": worker_class, **options})
            started.append(server)
            return stack.enter_context(server)

        yield start


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, worker_class: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GunicornServer]:
    """One server for a whole module. The module's ``APP`` and ``SETTINGS`` say which."""
    app = getattr(request.module, "APP", BARE)
    settings = getattr(request.module, "SETTINGS", {})
    with GunicornServer(app, tmp_path_factory.mktemp("server"), worker_class=worker_class, **settings) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the JUnit report name the promise that a test is about; ``tests/compare_workers.py`` reads it."""
    for item in items:
        for mark in item.iter_markers("promise"):
            item.user_properties.append(("promise", mark.args[0]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Show the log of every live server with a failure."""
    report = yield
    if report.failed:
        for running in GunicornServer.live:
            report.sections.append((f"log of {running.directory}", running.log()[-_SHOWN:]))
    return report
