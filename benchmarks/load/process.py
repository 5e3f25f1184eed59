"""One server's processes: started on their core, watched, ended, and none left behind.

Owns fork-time settings (affinity, descriptor limit, death with the parent) and the end of a whole process
tree. Every wait has a deadline.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import measure

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_SECONDS = 8.0
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.02
_LOG_TAIL = 8000
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b.*:")

_libc = ctypes.CDLL(None, use_errno=True)


class ServerFailed(Exception):
    """The server did not start, or ended before it was told to."""


def become_reaper() -> None:
    """Make orphans of servers children of this process, so that `stop` can wait for them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_descriptor_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class ServerProcess:
    """Started by the constructor; `stop` must be called, and may be called twice."""

    def __init__(self, command: list[str], core: int, environment: dict[str, str], folder: Path) -> None:
        self.output = folder / "output.log"

        def in_child() -> None:
            die_with_parent()
            os.sched_setaffinity(0, {core})

        with self.output.open("wb") as output:
            self._root = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
                preexec_fn=in_child,
            )

    @property
    def pid(self) -> int:
        return self._root.pid

    def wait_ready(self, answers: Callable[[], bool], seconds: float) -> None:
        """Ask `answers` until it says yes; ServerFailed when the process ends or the time does."""
        deadline = time.monotonic() + seconds
        while not answers():
            if self._root.poll() is not None:
                raise ServerFailed(f"ended with code {self._root.returncode} at start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"no answer within {seconds:.0f} s of its start: {self.last_words()}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        if self._root.poll() is not None:
            raise ServerFailed(f"ended with code {self._root.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The exception it ended with, else the last line of its output."""
        try:
            text = self.output.read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        raised = [line for line in lines if _EXCEPTION.match(line)]
        return [*lines, *raised][-1] if lines else "no output"

    def stop(self) -> None:
        """TERM, wait, KILL what is left of the tree, wait for all of it."""
        processes = measure.tree(self.pid)
        if self._root.poll() is None:
            self._root.terminate()
            try:
                self._root.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        processes |= measure.tree(self.pid)
        for pid, started in processes.items():
            if measure.alive(pid, started):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _KILL_SECONDS
        self._root.wait(_KILL_SECONDS)
        for pid, started in processes.items():
            _reap(pid)
            while measure.alive(pid, started) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                _reap(pid)


def _reap(pid: int) -> None:
    """Take the exit status if the process became our child; it is not ours to wait for if it did not."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
