"""Workers that cannot boot: the master ends with the code of the table, and the log says once why."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Serve

LIFESPAN = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
#: The source, the application's name, the code, and the words that have to stand in the log once.
FAILURES = {
    "an exception at import": ("raise RuntimeError('no database')", "main:app", 3, "RuntimeError: no database"),
    "a syntax error": ("async def app(:", "main:app", 3, "SyntaxError: "),
    "a module that is missing": ("import no_such_module", "main:app", 3, "No module named 'no_such_module'"),
    "an application that is missing": ("pass", "main:app", 4, "Failed to find attribute 'app'"),
    "no application": ("app = 5", "main:app", 4, "Application object must be callable"),
    "no ASGI application": ("def app(environ, start_response): pass", "main:app", 4, "WSGI"),
    "an exit at import": ("raise SystemExit(7)", "main:app", 3, "ended the worker while it was imported"),
    "a lifespan that fails": (LIFESPAN, "main:app", 3, "Application startup failed: no database"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_one_cause_is_one_line_and_one_code(serve: Serve, name: str) -> None:
    """Gunicorn raises again for the second worker that ends so, with a traceback, and exits with 1."""
    source, app, code, words = FAILURES[name]
    server = serve(app, source=source, ready=False, workers=4, loglevel="info")
    assert server.wait_exit() == code
    log = server.log()
    assert log.count(words) == 1, log
    assert log.count("Traceback") <= 1, log
    assert "HaltServer" not in log
