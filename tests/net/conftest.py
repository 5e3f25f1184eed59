"""The ways to start applications, as in tests/asgi."""

from __future__ import annotations

import pytest

from tests.asgi.doubles import WAYS_TO_START


@pytest.fixture(params=WAYS_TO_START, ids=lambda eager: "eager" if eager else "deferred")
def eager(request: pytest.FixtureRequest) -> bool:
    """Whether applications start at once."""
    return bool(request.param)
