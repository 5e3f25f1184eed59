"""The files in ``examples/deploy`` are what their programs accept, and agree with ``examples/gunicorn.conf.py``."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.fronts import DEPLOY, needs, nginx_config, program, replaced
from tests.support.server import ROOT


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "gunicorn.conf.py"))


def output(*command: str) -> str:
    """Everything that ``command``, which has to succeed, wrote."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def seconds(text: str, pattern: str) -> float:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, pattern
    return float(match.group(1))


@needs("nginx")
def test_nginx(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(nginx_config(tmp_path, 8080, "/run/example/gunicorn.sock"))
    text = output(str(program("nginx")), "-t", "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", str(file))
    assert "[warn]" not in text
    assert "[emerg]" not in text


@needs("haproxy")
def test_haproxy() -> None:
    text = output(str(program("haproxy")), "-c", "-f", str(DEPLOY / "haproxy.cfg"))
    assert "[ALERT]" not in text


@needs("systemd-analyze")
def test_systemd(tmp_path: Path) -> None:
    """As installed, but for a program that is there."""
    shutil.copy(DEPLOY / "example.socket", tmp_path)
    service = tmp_path / "example.service"
    text = (DEPLOY / "example.service").read_text()
    service.write_text(replaced(text, ("ExecStart=/srv/example/.venv/bin/gunicorn ", "ExecStart=/bin/true ")))
    text = output(str(program("systemd-analyze")), "verify", "--man=no", str(service), str(tmp_path / "example.socket"))
    assert not [line for line in text.splitlines() if "example." in line], text


def test_kubernetes(settings: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > wait + settings["graceful_timeout"]


def test_whoever_stops_it_is_more_patient(settings: dict[str, Any]) -> None:
    graceful = settings["graceful_timeout"]
    assert seconds((DEPLOY / "example.service").read_text(), r"^TimeoutStopSec=(\d+)$") > graceful
    assert seconds((DEPLOY / "Dockerfile").read_text(), r"--stop-timeout (\d+) ") > graceful


def test_proxies_close_idle_connections_first(settings: dict[str, Any]) -> None:
    keepalive = settings["keepalive"]
    assert seconds((DEPLOY / "nginx.conf").read_text(), r"^\s+keepalive_timeout (\d+)s;") < keepalive
    assert seconds((DEPLOY / "haproxy.cfg").read_text(), r"pool-purge-delay (\d+)s$") < keepalive


def test_the_image_copies_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
