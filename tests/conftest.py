"""Options that hold for the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--worker-class",
        default="pronghorn.AsyncWorker",
        help="the Gunicorn worker class that the black-box tests of tests/e2e run against",
    )
