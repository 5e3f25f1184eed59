"""Which Gunicorn is installed, so that a test of a newer setting is skipped on an older release."""

from __future__ import annotations

import gunicorn
import pytest

GUNICORN: tuple[int, ...] = tuple(int(part) for part in gunicorn.__version__.split(".")[:3] if part.isdigit())


def gunicorn_at_least(version: tuple[int, ...]) -> bool:
    """Whether the installed Gunicorn is ``version`` or newer, for example ``gunicorn_at_least((24,))``."""
    return version <= GUNICORN


def needs_gunicorn(*version: int) -> pytest.MarkDecorator:
    """A mark that skips the test on a Gunicorn older than ``version``."""
    wanted = ".".join(map(str, version))
    return pytest.mark.skipif(
        not gunicorn_at_least(version), reason=f"the setting came with Gunicorn {wanted}"
    )
