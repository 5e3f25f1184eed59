"""A worker that cannot boot: which of several says so, and what to wait for where the code is being worked on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

#: Seconds that a worker waits for the master to end it, because another one has said why none can boot. A TERM that
#: comes right after the fork is lost, for Gunicorn's handlers are not in place yet.
_MOST_WAIT = 2.0
_LOOK = 0.05


class BootFailure(Exception):
    """A worker cannot boot, and there is no use in another try: the master is to end with ``code``.

    ``line``: for the log. ``cause``: an exception whose traceback goes with it, None where the line says it all.
    """

    def __init__(self, code: int, line: str, cause: BaseException | None = None) -> None:
        super().__init__(code, line)
        self.code = code
        self.line = line
        self.cause = cause


class FirstFailure:
    """Held by the workers of one master. Of those that cannot boot, one is the first.

    It ends with a code that makes the master end. Gunicorn raises again, out of its own clean-up, when a second worker
    ends in that way, and then exits with 1; and the same fault would stand in the log once for each worker.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.write(self._write_end, b"1")

    def is_mine(self) -> bool:
        """Whether no worker asked before; to be asked once in a process."""
        try:
            return bool(os.read(self._read_end, 1))
        except BlockingIOError:
            return False

    def was_in_vain(self) -> None:
        """The first one did not end the master, or not soon: the next that fails is to be the first."""
        self.is_mine()
        os.write(self._write_end, b"1")


def wait_for_end(worker: Any, first: FirstFailure) -> None:
    """Wait until the master ends ``worker``, whose handlers are Gunicorn's."""
    end = time.monotonic() + _MOST_WAIT
    while worker.alive and time.monotonic() < end:
        worker.notify()
        time.sleep(_LOOK)
    if worker.alive:
        first.was_in_vain()


async def wait_for_end_in_loop(worker: Any, first: FirstFailure) -> None:
    """As ``wait_for_end``, where the handlers are those of the loop."""
    end = time.monotonic() + _MOST_WAIT
    while worker.alive and time.monotonic() < end:
        worker.notify()
        await asyncio.sleep(_LOOK)
    if worker.alive:
        first.was_in_vain()


def files_behind(error: BaseException) -> set[str]:
    """The files that ``error`` came through while they were imported: a change to any may be what mends it."""
    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    if isinstance(error, SyntaxError):
        files.add(error.filename or "")
    return {name for name in files if os.path.isfile(name)}


def files_missing(error: BaseException) -> list[str]:
    """The files of which any would be the module that was not found, had it been there."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return []
    return [path for path in _candidates(error.name) if not os.path.exists(path)]


def _candidates(module: str) -> Iterator[str]:
    package, _, name = module.rpartition(".")
    folders = list(getattr(sys.modules.get(package), "__path__", ())) if package else sys.path
    for folder in folders:
        base = os.path.join(folder or os.getcwd(), name)
        yield f"{base}.py"
        yield os.path.join(base, "__init__.py")
