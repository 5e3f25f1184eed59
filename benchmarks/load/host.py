"""Where the figures come from: the machine, the interpreters, the versions of everything.

Names no paths: an interpreter is called by its version, so a report can be published as it is.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 30.0
_DISTRIBUTIONS = (
    "pronghorn", "gunicorn", "gunicorn_h1c", "uvicorn", "uvicorn-worker", "httptools", "websockets",
    "granian", "hypercorn", "h2", "wsproto", "uvloop", "fastapi", "starlette", "pydantic",
)  # fmt: skip
_MODULES = (
    "pronghorn", "gunicorn", "gunicorn.asgi", "uvicorn_worker", "httptools", "websockets", "granian",
    "hypercorn", "uvloop", "fastapi", "starlette",
)  # fmt: skip
_QUESTION = """
import importlib.metadata as metadata, importlib.util as util, json, sys, sysconfig
versions, found, compiled = {}, [], None
for name in %(distributions)r:
    try: versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError: pass
for name in %(modules)r:
    try:
        if util.find_spec(name): found.append(name)
    except ImportError: pass
try:
    import pronghorn
    compiled = bool(pronghorn.compiled)
    versions.setdefault("pronghorn", pronghorn.__version__)
except Exception as error:
    compiled = None
print(json.dumps({"version": sys.version.split()[0], "implementation": sys.implementation.name,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "versions": versions, "found": found, "compiled": compiled}))
"""


@dataclass(frozen=True)
class Interpreter:
    """`compiled` is Pronghorn's build under it, None where it cannot be imported."""

    path: str
    name: str
    versions: dict[str, str]
    found: tuple[str, ...]
    compiled: bool | None

    def missing(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(module for module in modules if module not in self.found)

    @property
    def description(self) -> str:
        build = " (compiled)" if self.compiled else " (not compiled)"
        parts = [
            f"{name} {version}{build * (name == 'pronghorn')}" for name, version in self.versions.items()
        ]
        return ", ".join(parts)


def interpreters(paths: list[str]) -> list[Interpreter]:
    """Ask each interpreter who it is; SystemExit where one cannot answer."""
    known: list[Interpreter] = []
    for path in paths:
        question = _QUESTION % {"distributions": _DISTRIBUTIONS, "modules": _MODULES}
        try:
            answer = subprocess.run(
                [path, "-c", question], capture_output=True, text=True, timeout=_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SystemExit(f"--python {path}: {error}") from error
        facts = json.loads(answer.stdout)
        name = facts["version"] + "t" * facts["free_threaded"]
        if facts["implementation"] != "cpython":
            name = f"{facts['implementation']} {name}"
        twins = sum(1 for each in known if each.name.split(" #")[0] == name)
        if twins:
            name += f" #{twins + 1}"
        resolved = os.path.abspath(shutil.which(path) or path)  # not resolved: a venv is its symlink
        known.append(Interpreter(resolved, name, facts["versions"], tuple(facts["found"]), facts["compiled"]))
    return known


def describe(server_core: int, client_core: int, own_client: str) -> dict[str, str]:
    """The host header, in the order it is printed."""
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": f"{os.cpu_count()}; server on {server_core}, load generator on {client_core}",
        "kernel": f"{platform.system()} {platform.release()}",
    }
    if "hypervisor" in _cpu_flags():
        facts["cpu"] += " (virtual machine)"
    if server_core == client_core:
        facts["cores"] += " (one core for both: figures are not comparable with any other host's)"
    tools = _tool("wrk", "-v"), _tool("h2load", "--version"), own_client
    facts["load generators"] = ", ".join(filter(None, tools))
    return facts


def _tool(name: str, argument: str) -> str:
    if not shutil.which(name):
        return f"no {name}"
    line = _first_line([name, argument])
    version = re.search(r"\b[0-9]+\.[0-9A-Za-z.+:~-]*", line)
    return f"{name} {version[0]}" if version else name


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cpu_flags() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return line
    return ""
