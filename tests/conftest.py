"""Options that hold for the whole suite, and what tests of several parts ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.loops import LONG, Run, fresh_loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--worker-class",
        default="pronghorn.AsyncWorker",
        help="the Gunicorn worker class that the black-box tests of tests/e2e run against",
    )
    parser.addoption(
        "--table", default="", help="tests/frameworks: a Markdown file that gets what was found, between its marks"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "route(framework, name): what a test of tests/frameworks tries, for its table")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine on a fresh loop of either kind, within a time limit."""
    loop = fresh_loop(request.param)
    try:
        yield lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, LONG))
    finally:
        loop.close()
