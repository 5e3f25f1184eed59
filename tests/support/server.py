"""A real Gunicorn master with its workers, started by the test that talks to it.

Owns the processes, their configuration file, log and trace file. Knows no worker class and no application:
both are given by name, so the same black-box test runs against any of them.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from types import TracebackType
from typing import Any, ClassVar

from tests.support.processes import children, is_accepting, is_running
from tests.support.raw import Address, RawClient, Response, request_bytes
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]

_LISTENING = re.compile(r"Listening at: (\S+)")
_DEFAULTS: dict[str, Any] = {
    "bind": "127.0.0.1:0",
    "workers": 1,
    "timeout": 30,
    "graceful_timeout": 15,
    "loglevel": "info",
    "control_socket_disable": True,  # Gunicorn >= 25.1 makes a socket in $HOME; older ones ignore the name
}
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
_START_SECONDS = 30.0
_MOST_RESTARTS = 3
_LOG_SHOWN = 8000
#: What installers write as bin/gunicorn. Not ``-m gunicorn``: USR2 would execute the package's __main__.py as
#: a script, which puts Gunicorn's own directory, with an ``http`` in it, first on sys.path.
_LAUNCHER = "from gunicorn.app.wsgiapp import run\nrun()\n"


class ServerFailed(Exception):
    """The server did not start, or did not do in time what it was asked."""


class GunicornServer:
    """``gunicorn -k worker_class app`` in a process group of its own; a context manager that always ends it.

    app            what the command line names, ``"tests.e2e.apps.bare:app"``
    directory      working directory: gets ``gunicorn.conf.py``, the log and the trace file
    source         text of a module ``main`` written there first; then ``app`` defaults to ``"main:app"``
    config         Python text appended to the configuration file, for hooks
    config_file    a configuration file to use instead of the written one; ``settings`` must then be empty
    args           further command line arguments, before the application
    environment    further environment variables; None removes one
    prologue       Python text that runs in the master before Gunicorn
    ready          wait on entering until every worker's event loop accepts
    settings       Gunicorn settings by name, over the defaults of this module

    Configuration and application can import ``trace`` from ``tests.e2e.apps.trace``: it appends a line to the
    file whose lines ``traced()`` returns.
    """

    live: ClassVar[list[GunicornServer]] = []  # for the failure report: started and not yet ended

    def __init__(
        self,
        app: str = "",
        directory: Path | None = None,
        *,
        worker_class: str,
        source: str = "",
        config: str = "",
        config_file: Path | None = None,
        args: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
        pass_fds: Sequence[int] = (),
        prologue: str = "",
        ready: bool = True,
        **settings: Any,
    ) -> None:
        assert directory is not None
        self.app = app or "main:app"
        self.directory = directory
        self.worker_class = worker_class
        self.args = list(args)
        self.pass_fds = tuple(pass_fds)
        self.prologue = prologue
        self.ready = ready
        self.log_file = directory / "server.log"
        self.trace_file = directory / "trace"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = self._merged(environment or {})
        self._addresses: list[Address] = []
        directory.mkdir(parents=True, exist_ok=True)
        self.trace_file.touch()
        if source:
            self.write_source(source)
        self.settings = dict(settings) if config_file else {**_DEFAULTS, **settings}
        self.config_file = config_file or directory / "gunicorn.conf.py"
        if config_file is None:
            self.write_config(config)
        else:
            assert not settings, "a given configuration file and settings exclude each other"

    # -- files -------------------------------------------------------------------------------------

    def write_source(self, text: str) -> None:
        """(Re)write the module ``main``."""
        (self.directory / "main.py").write_text(text)

    def write_config(self, text: str = "", **settings: Any) -> None:
        """(Re)write the configuration file: the settings of the start, those given now, then ``text``."""
        self.settings.update(settings)
        lines = [f"{name} = {value!r}" for name, value in self.settings.items()]
        self.config_file.write_text("\n".join([*lines, "", text, ""]))

    def log(self) -> str:
        """Everything that the processes wrote to stdout and stderr, and to an ``errorlog`` of their own."""
        files = [self.log_file, Path(str(self.settings.get("errorlog", "-")))]
        return "".join(file.read_text(errors="replace") for file in files if file.is_file())

    def traced(self) -> list[str]:
        """Lines written by ``trace(...)``."""
        return self.trace_file.read_text().splitlines()

    def traced_by(self, pid: int) -> list[str]:
        """What this process traced, in order."""
        return [line.rpartition(" ")[0] for line in self.traced() if line.endswith(f" {pid}")]

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> GunicornServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- log of {self.directory} ---\n{self.log()}")
        self.kill()

    def start(self) -> None:
        """Start the master; with ``ready`` wait until it serves."""
        launcher = self.directory / "gunicorn"
        launcher.write_text(self.prologue + _LAUNCHER)
        options = ["-c", str(self.config_file), "-k", self.worker_class, *self.args]
        command = [sys.executable, str(launcher), *options, self.app]
        with self.log_file.open("ab") as log:
            # A session of its own: the whole group can be ended, and a Ctrl-C at the tests does not reach it.
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_the_tests,
                pass_fds=self.pass_fds,
            )
        self.live.append(self)
        if self.ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise

    def wait_ready(self, timeout: float = _START_SECONDS) -> list[int]:
        """Wait until all configured workers accept connections; their process ids."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.exit_code() is not None:
                raise ServerFailed(f"gunicorn ended with {self.exit_code()} at start:\n{self.log()}")
            if self.log().count("Booting worker with pid") > self.worker_count + _MOST_RESTARTS:
                raise ServerFailed(f"the workers end again and again:\n{self.log()[:_LOG_SHOWN]}")
            pids = self.accepting_pids()
            if len(pids) == self.worker_count:
                return pids
            time.sleep(0.02)
        raise ServerFailed(
            f"no {self.worker_count} accepting workers within {timeout:g} s, "
            f"only {self.accepting_pids()} of {self.worker_pids()}:\n{self.log()}"
        )

    def signal(self, number: int) -> None:
        """Send a signal to the master."""
        os.kill(self.pid, number)

    def exit_code(self) -> int | None:
        """Exit code of the master, negative for a signal, None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def wait_exit(self, timeout: float = 30.0) -> int:
        """Exit code of the master once it has ended."""
        assert self.process is not None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"gunicorn still runs after {timeout:g} s:\n{self.log()}") from None

    def stop(self, number: int = SIGTERM, timeout: float = 30.0) -> int:
        """Signal the master and return its exit code."""
        self.signal(number)
        return self.wait_exit(timeout)

    def kill(self) -> None:
        """End every process of the group, now. Safe to call again."""
        if self in self.live:
            self.live.remove(self)
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, SIGKILL)
        except ProcessLookupError:  # all of them ended by themselves
            pass
        self.process.wait()

    # -- what can be seen --------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Process id of the master."""
        assert self.process is not None
        return self.process.pid

    @property
    def worker_count(self) -> int:
        """How many workers were configured."""
        return int(self._environment.get("WORKERS", 0)) or int(self.settings.get("workers", 1))

    def worker_pids(self) -> list[int]:
        """Living children of the master."""
        return children(self.pid)

    def only_worker(self) -> int:
        """The process id of the one worker there is."""
        (pid,) = self.worker_pids()
        return pid

    def accepting_pids(self) -> list[int]:
        """Workers whose event loop waits for connections."""
        return [pid for pid in self.worker_pids() if is_accepting(pid)]

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """The first match of ``pattern`` in the log, as soon as there is one."""
        return wait_until(
            lambda: re.search(pattern, self.log(), re.MULTILINE),
            timeout,
            lambda: f"{pattern!r} in the log:\n{self.log()}",
        )

    def wait_trace(self, line: str, timeout: float = 10.0) -> None:
        """Wait for a traced line that starts with ``line``."""
        wait_until(
            lambda: any(entry.startswith(line) for entry in self.traced()),
            timeout,
            lambda: f"{line!r} in the trace {self.traced()}; log:\n{self.log()}",
        )

    def wait_gone(self, pids: Sequence[int], timeout: float = 15.0) -> None:
        """Wait until none of these processes runs."""
        wait_until(
            lambda: not any(is_running(pid) for pid in pids),
            timeout,
            lambda: f"the end of {[pid for pid in pids if is_running(pid)]}; log:\n{self.log()}",
        )

    # -- talking to it -----------------------------------------------------------------------------

    @property
    def addresses(self) -> list[Address]:
        """Every address the master said it listens on, in the order of ``bind``."""
        if not self._addresses:
            self._addresses = [_address(text) for text in self.wait_log(_LISTENING.pattern).group(1).split(",")]
        return self._addresses

    @property
    def address(self) -> Address:
        """The first address."""
        return self.addresses[0]

    @property
    def url(self) -> str:
        """``http://host:port`` of the first address, which has to be TCP."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"

    def connect(self, **options: Any) -> RawClient:
        """A new connection to the first address."""
        return RawClient(self.address, **options)

    def get(self, target: str = "/", *fields: str, address: Address | None = None) -> Response:
        """One GET on a connection of its own that the client announces to close."""
        with RawClient(address or self.address) as client:
            client.send(request_bytes("GET", target, "Connection: close", *fields))
            return client.read_response()

    def _merged(self, extra: Mapping[str, str | None]) -> dict[str, str]:
        inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        # Absolute: the server runs in a directory of its own.
        path = os.pathsep.join([str(ROOT), *map(os.path.abspath, inherited)])
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            # A file that is rewritten within a second, to the same size, would be taken from its old bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
            "TRACE_FILE": str(self.trace_file),
        }
        for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PORT", "WORKERS", "FORWARDED_ALLOW_IPS"):
            environment.pop(name, None)  # they would change settings under the tests
        for name, value in extra.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        return environment


def _end_with_the_tests() -> None:
    """Have the kernel send TERM to the master when the test process dies without a teardown.

    Runs between fork and exec, where only what needs no lock is allowed: one system call.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, SIGTERM)


def _address(text: str) -> Address:
    """An address as Gunicorn logs it: ``http://127.0.0.1:8000``, ``https://[::1]:8000``, ``unix:/path``."""
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    host, _, port = text.partition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)
