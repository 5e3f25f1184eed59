"""Why ``receive()`` is interpreted in either build: time of ``await receive()`` of an event that is there.

    python benchmarks/micro/receive.py [--repeat 7] [--number 100000]

Three ways to write it, each with the same work to do, one call that returns the event: Pronghorn's own coroutine; the
same file compiled by Cython; a class compiled by Cython whose ``send`` raises StopIteration, as the interpreter asks of
what is no coroutine of its own. The latter two are compiled into a temporary directory when this starts, which takes
Cython, setuptools and a C compiler. Prints nanoseconds, the best of the repeats; the three take turns.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from timing import arguments

from pronghorn.asgi import receive as interpreted

EVENT = {"type": "http.request", "body": b"", "more_body": False}

ITERATOR = """

class Iterator:
    def __init__(self, source):
        self._source = source

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration(self._source.take())

    def send(self, value):
        raise StopIteration(self._source.take())
"""
DECLARED = """
cimport cython

@cython.final
cdef class Iterator:
    cdef object _source
"""
# As setup.py has it.
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

directives = {"language_level": 3, "annotation_typing": False, "binding": False}
module = Extension("compiled_receive", ["compiled_receive.py"], extra_compile_args=["-O3"])
setup(ext_modules=cythonize([module], compiler_directives=directives, quiet=True))
"""

Receive = Callable[[Any], Any]


def compiled(directory: Path) -> ModuleType | str:
    """The file of ``asgi/receive`` and the iterator, compiled in ``directory``; else why they are not."""
    for name in ("Cython", "setuptools"):
        if not importlib.util.find_spec(name):
            return f"{name} is not installed"
    if not (os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")):
        return "there is no C compiler"
    shutil.copy(str(interpreted.__file__), directory / "compiled_receive.py")
    with (directory / "compiled_receive.py").open("a") as file:
        file.write(ITERATOR)
    (directory / "compiled_receive.pxd").write_text(DECLARED)
    (directory / "setup.py").write_text(SETUP)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", "made"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"the compilation failed\n{done.stderr}"
    (made,) = (directory / "made").iterdir()
    spec = importlib.util.spec_from_file_location("compiled_receive", made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def seconds(receive: Receive, number: int) -> float:
    source = SimpleNamespace(take=itertools.repeat(EVENT).__next__)
    if await receive(source) is not EVENT:
        raise RuntimeError(f"{receive} did not return the event")
    start = time.perf_counter()
    for _ in range(number):
        await receive(source)
    return time.perf_counter() - start


def finished(coroutine: Coroutine[Any, Any, float]) -> float:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return float(end.value)
    raise RuntimeError("An event that was there had to be waited for")


def main() -> None:
    options = arguments(__doc__, 7, 100_000)
    ways: dict[str, Receive] = {"coroutine, interpreted": interpreted.receive}
    with tempfile.TemporaryDirectory() as directory:
        module = compiled(Path(directory))
        if isinstance(module, ModuleType):
            ways["coroutine, compiled"] = module.receive
            ways["iterator, compiled"] = module.Iterator
        rounds = [[finished(seconds(way, options.number)) for way in ways.values()] for _ in range(options.repeat)]
    for name, times in zip(ways, zip(*rounds, strict=True), strict=True):
        print(f"{name:24} {min(times) / options.number * 1e9:6.0f} ns")
    if isinstance(module, str):
        print(f"not compiled: {module}")


if __name__ == "__main__":
    main()
