"""Runs only where it is asked for: ``tox -e endurance``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if any("endurance" in str(arg) for arg in config.invocation_params.args) else True
