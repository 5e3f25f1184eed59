"""Runs only where it is asked for (``tox -e frameworks``), and writes what it found as a table.

``pytest tests/frameworks --table docs/frameworks.md`` puts the table between that file's marks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import GunicornServer

#: Name of the application's module, distributions that it stands for.
FRAMEWORKS = {
    "starlette": ["starlette"],
    "fastapi": ["fastapi", "flask", "a2wsgi"],
    "django": ["django"],
    "quart": ["quart"],
    "litestar": ["litestar"],
    "falcon": ["falcon"],
    "blacksheep": ["blacksheep"],
    "sse": ["sse-starlette"],
    "graphql": ["strawberry-graphql", "ariadne"],
}
_MARKS = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of table -->)", re.DOTALL)

_routes: dict[str, dict[str, bool]] = defaultdict(dict)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if any("frameworks" in str(arg) for arg in config.invocation_params.args) else True


class Servers(dict[str, GunicornServer]):
    """Servers by framework. Each is started when it is first asked for, and again after it was taken out."""

    def __init__(self, worker_class: str, paths: pytest.TempPathFactory) -> None:
        super().__init__()
        self.started: list[GunicornServer] = []
        self._worker_class = worker_class
        self._paths = paths

    def __missing__(self, name: str) -> GunicornServer:
        for distribution in FRAMEWORKS[name]:
            try:
                metadata.version(distribution)
            except metadata.PackageNotFoundError:
                pytest.skip(f"{distribution} is not installed: tests/frameworks/requirements.txt")
        app = f"tests.frameworks.apps.{name}_app:app"
        server = GunicornServer(app, self._paths.mktemp(name), worker_class=self._worker_class)
        self.started.append(server)
        server.start()
        self[name] = server
        return server


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(pytestconfig.getoption("--worker-class"), tmp_path_factory)
    yield servers
    for server in servers.started:
        server.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    framework, route = next((mark.args for mark in item.iter_markers("route")), ("", ""))
    if hasattr(item, "callspec"):
        framework = item.callspec.params.get("framework", framework)
    if framework and (report.failed or (report.when == "call" and report.passed)):
        for one in route.split(", "):
            _routes[framework][one] = _routes[framework].get(one, True) and bool(report.passed)
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not _routes:
        return
    lines = ["| framework | version | tried | result |", "|---|---|---|---|"]
    for name, routes in _routes.items():
        names = FRAMEWORKS[name]
        versions = ", ".join(metadata.version(one) for one in names)
        failed = [route for route, passed in routes.items() if not passed]
        result = f"{len(routes) - len(failed)} of {len(routes)}" + (f"; failed: {', '.join(failed)}" if failed else "")
        lines.append(f"| {', '.join(names)} | {versions} | {', '.join(routes)} | {result} |")
    terminalreporter.write_line("\n".join(["", *lines]))
    target = config.getoption("--table")
    if target:
        file = Path(target)
        file.write_text(_MARKS.sub(lambda _: "\n" + "\n".join(lines) + "\n\n", file.read_text()))
