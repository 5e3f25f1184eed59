"""nginx and haproxy in front of a server, configured by the files in ``examples/deploy`` with other addresses."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import ROOT
from tests.support.wait import wait_until

DEPLOY = ROOT / "examples" / "deploy"
_PLACES = "/usr/sbin:/usr/local/sbin:/sbin"


def program(name: str) -> str | None:
    """The path of an installed program; distributions keep servers out of a user's PATH."""
    return shutil.which(name) or shutil.which(name, path=_PLACES)


def needs(name: str) -> pytest.MarkDecorator:
    """A mark that skips the test where the program is not installed."""
    return pytest.mark.skipif(program(name) is None, reason=f"{name} is not installed")


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """``text`` with each ``(old, new)`` changed; all of them have to be there."""
    for old, new in changes:
        assert old in text, f"{old!r} is no longer in the file"
        text = text.replace(old, new)
    return text


def nginx_config(directory: Path, port: int, upstream: str) -> str:
    """The deployed configuration, listening on ``port``. ``upstream``: a socket's path."""
    places = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in _NGINX_TEMPORARIES)
    return f"daemon off;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log;\n" + replaced(
        (DEPLOY / "nginx.conf").read_text(),
        ("user www-data;\n", "user root;\n" if os.geteuid() == 0 else ""),  # who may enter the tests' directories
        ("worker_processes auto;", "worker_processes 1;"),
        ("http {\n", f"http {{\n    access_log off;\n{places}"),
        ("unix:/run/example/gunicorn.sock", f"unix:{upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("        listen [::]:80;\n", ""),
    )


_NGINX_TEMPORARIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def haproxy_config(port: int, upstream: tuple[str, int], *, options: str = "") -> str:
    """The deployed configuration, listening on ``port``. ``options``: more words for the line of the server."""
    return replaced(
        (DEPLOY / "haproxy.cfg").read_text(),
        ("bind :80\n", f"bind 127.0.0.1:{port}\n"),
        ("server gunicorn 127.0.0.1:8000 ", f"server gunicorn {upstream[0]}:{upstream[1]} {options} "),
        ("maxconn 4000", "maxconn 200"),
    )


@contextmanager
def running(name: str, directory: Path, config: Callable[[int], str]) -> Iterator[tuple[str, int]]:
    """Start "nginx" or "haproxy" with ``config(port)`` and give its address; it has ended afterwards."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = directory / f"{name}.conf"
    file.write_text(config(port))
    path = program(name)
    assert path is not None
    arguments = ["-p", str(directory), "-e", str(directory / "error.log"), "-c"] if name == "nginx" else ["-db", "-f"]
    output = directory / "output.log"
    with output.open("wb") as log:
        process = subprocess.Popen([path, *arguments, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _accepts(port), message=lambda: output.read_text())
        assert process.poll() is None, output.read_text()
        yield ("127.0.0.1", port)
    finally:
        process.terminate()
        process.wait(10)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
