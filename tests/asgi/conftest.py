"""What each rule is tested over: with and without a protocol below, applications started at once or a turn later."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from tests.asgi.doubles import WAYS_TO_START
from tests.asgi.support import CARRIERS, PROTOCOLS, Conversation


@pytest.fixture(params=WAYS_TO_START, ids=lambda eager: "eager" if eager else "deferred")
def eager(request: pytest.FixtureRequest) -> bool:
    """Whether applications start at once."""
    return bool(request.param)


@pytest.fixture(params=sorted(CARRIERS))
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def talk(carrier: str, eager: bool) -> Callable[..., Conversation]:
    """Open a ``Conversation``: ``talk(app, method, target, headers, body=...)``."""
    return functools.partial(CARRIERS[carrier], eager=eager)


@pytest.fixture(params=sorted(PROTOCOLS))
def talk_on_the_wire(request: pytest.FixtureRequest, eager: bool) -> Callable[..., Conversation]:
    """As ``talk``, for rules that are kept below the waist."""
    return functools.partial(PROTOCOLS[request.param], eager=eager)
