"""The public interface is four names, and importing it starts nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

import pronghorn

API = {"AsyncWorker", "Options", "__version__", "compiled"}

#: Run in an interpreter of its own, where nothing was imported before.
IMPORT_ONLY = """
import sys, threading, asyncio, signal, socket

def forbidden(*args, **kwargs):
    raise AssertionError("done by an import")

before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
asyncio.new_event_loop = asyncio.set_event_loop = asyncio.get_event_loop = forbidden
asyncio.set_event_loop_policy = signal.signal = forbidden
threading.Thread.start = socket.socket.bind = forbidden

import pronghorn

assert "uvloop" not in sys.modules, "uvloop is for the process that serves"
assert threading.active_count() == 1
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
others = {"h11", "httptools", "h2", "uvicorn", "Cython"}
print(*sorted(others & {name.partition(".")[0] for name in sys.modules}))
"""


def test_all() -> None:
    assert set(pronghorn.__all__) == API
    assert len(pronghorn.__all__) == len(API)


def test_nothing_else_is_public() -> None:
    """Submodules are attributes once they are imported, which is Python's doing."""
    others = {
        name
        for name, value in vars(pronghorn).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert others | {"__version__"} == API


def test_what_they_are() -> None:
    from gunicorn.workers.base import Worker

    assert inspect.isclass(pronghorn.AsyncWorker)
    assert issubclass(pronghorn.AsyncWorker, Worker)
    assert isinstance(pronghorn.AsyncWorker.options, pronghorn.Options)
    assert isinstance(pronghorn.compiled, bool)
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?(\.dev\d+)?", pronghorn.__version__)


def test_compiled_tells_which_build_runs() -> None:
    from pronghorn.asgi import exchange
    from pronghorn.net import http1
    from pronghorn.wire import http1_parser

    for module in (exchange, http1, http1_parser):
        assert str(module.__file__).endswith(".py") is not pronghorn.compiled, module


def test_every_module_with_a_pxd_is_compiled_or_none() -> None:
    """Half a build would be slow and would not say so."""
    package = Path(str(pronghorn.__file__)).parent
    for pxd in package.rglob("*.pxd"):
        name = ".".join(["pronghorn", *pxd.relative_to(package).with_suffix("").parts])
        __import__(name)
        assert str(sys.modules[name].__file__).endswith(".py") is not pronghorn.compiled, name


def test_the_types_are_shipped() -> None:
    assert (Path(str(pronghorn.__file__)).parent / "py.typed").is_file()


def test_the_version_of_the_distribution() -> None:
    try:
        distribution = metadata.version("pronghorn")
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: run from the source tree")
    assert distribution == pronghorn.__version__


def test_importing_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", IMPORT_ONLY], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.strip() == "", "no other server's parser is needed"
