"""Options that hold for the whole suite."""

from __future__ import annotations

import pytest


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
