"""The servers under test: how each is started, what it lacks, what must be installed for it.

Owns command lines and configuration files, one builder per server. One worker process each, uvloop where the
server can use it, limits high enough not to be what is measured, everything else as the server ships it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

APPS = Path(__file__).parent / "apps"

_BACKLOG = 4096
_CONNECTIONS = 20000
_KEEPALIVE = 75

GUNICORN_CONF = f"""\
workers = 1
worker_connections = {_CONNECTIONS}
backlog = {_BACKLOG}
keepalive = {_KEEPALIVE}
timeout = 120
graceful_timeout = 2
loglevel = "warning"
control_socket_disable = True
"""
HYPERCORN_CONF = f"""\
workers = 1
backlog = {_BACKLOG}
keep_alive_timeout = {_KEEPALIVE}
keep_alive_max_requests = 10 ** 9
graceful_timeout = 2
loglevel = "WARNING"
"""


@dataclass(frozen=True)
class Address:
    """A loopback port or, where `path` is set, a unix socket."""

    port: int = 0
    path: str | None = None
    tls: bool = False


@dataclass(frozen=True)
class Launch:
    """Everything a server must be told. `folder` is its own, empty, and removed after the run."""

    python: str
    app: str
    address: Address
    folder: Path
    certificate: Path | None = None
    key: Path | None = None
    access_log: Path | None = None
    http2: bool = False
    floor: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    name: str
    label: str
    modules: tuple[str, ...]
    command: Callable[[Launch], list[str]]
    lacks: frozenset[str] = frozenset()
    logs_to_output: bool = False


def _gunicorn(worker_class: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        lines = [GUNICORN_CONF]
        if launch.address.tls:
            lines.append(f"certfile = {str(launch.certificate)!r}\nkeyfile = {str(launch.key)!r}\n")
        if launch.access_log:
            lines.append(f"accesslog = {str(launch.access_log)!r}\n")
        if launch.http2:
            lines.append("http_protocols = 'h2,h1'\nhttp2_cleartext = 'both'\n")
        configuration = launch.folder / "gunicorn.conf.py"
        configuration.write_text("".join(lines))
        bind = f"unix:{launch.address.path}" if launch.address.path else f"127.0.0.1:{launch.address.port}"
        prefix = [launch.python, "-m", "gunicorn", "-k", worker_class, "-b", bind]
        return [*prefix, "-c", str(configuration), launch.app]

    return command


def _granian(launch: Launch) -> list[str]:
    command = [launch.python, "-m", "granian", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"]
    command += ["--backlog", str(_BACKLOG), "--backpressure", str(_CONNECTIONS), "--log-level", "warning"]
    command += ["--http1-header-read-timeout", "60000"]  # also its bound for an idle connection
    if launch.address.path:
        command += ["--uds", launch.address.path]
    else:
        command += ["--host", "127.0.0.1", "--port", str(launch.address.port)]
    if launch.address.tls:
        command += ["--ssl-certificate", str(launch.certificate), "--ssl-keyfile", str(launch.key)]
    if launch.access_log:
        command.append("--access-log")
    return [*command, launch.app]


def _hypercorn(launch: Launch) -> list[str]:
    lines = [HYPERCORN_CONF]
    if launch.address.tls:
        lines.append(f"certfile = {str(launch.certificate)!r}\nkeyfile = {str(launch.key)!r}\n")
    if launch.access_log:
        lines.append(f"accesslog = {str(launch.access_log)!r}\n")
    configuration = launch.folder / "hypercorn_conf.py"
    configuration.write_text("".join(lines))
    bind = f"unix:{launch.address.path}" if launch.address.path else f"127.0.0.1:{launch.address.port}"
    prefix = [launch.python, "-m", "hypercorn", "-k", "uvloop", "-c", f"file:{configuration}"]
    return [*prefix, "-b", bind, launch.app]


def _floor(launch: Launch) -> list[str]:
    command = [launch.python, str(APPS / "floor.py"), *launch.floor]
    if launch.address.path:
        command += ["--unix", launch.address.path]
    else:
        command += ["--port", str(launch.address.port)]
    if launch.address.tls:
        command += ["--certfile", str(launch.certificate), "--keyfile", str(launch.key)]
    return command


def _floor_asgi(launch: Launch) -> list[str]:
    return [*_floor(launch), "--asgi", launch.app]


_SERVERS = (
    Server("pronghorn", "Pronghorn", ("gunicorn", "pronghorn"), _gunicorn("pronghorn.AsyncWorker")),
    Server(
        "uvicorn",
        "UvicornWorker",
        ("gunicorn", "uvicorn_worker", "uvloop", "httptools", "websockets"),
        _gunicorn("uvicorn_worker.UvicornWorker"),
        lacks=frozenset({"http2"}),
    ),
    Server("asgi", "gunicorn -k asgi", ("gunicorn.asgi", "uvloop"), _gunicorn("asgi")),
    Server("granian", "granian", ("granian", "uvloop"), _granian, logs_to_output=True),
    Server("hypercorn", "hypercorn", ("hypercorn", "uvloop"), _hypercorn),
    Server("floor", "floor", ("uvloop",), _floor, lacks=frozenset({"access-log", "http2", "websocket"})),
    Server(
        "floor-asgi",
        "floor with ASGI",
        ("uvloop",),
        _floor_asgi,
        lacks=frozenset({"access-log", "http2", "websocket"}),
    ),
)
SERVERS = {server.name: server for server in _SERVERS}
