"""A Gunicorn, or granian, to be disturbed: started on a free port, watched by process id, always ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

_HERE = Path(__file__).parent
_START_SECONDS = 30.0
_STOP_SECONDS = 40.0
_POLL = 0.05
#: What installers write as bin/gunicorn: with ``-m gunicorn`` an upgrade (USR2) would execute another file.
_LAUNCHER = "from gunicorn.app.wsgiapp import run\nrun()\n"


class Server:
    """``worker_class`` is Gunicorn's, or ``granian``. ``settings`` are Gunicorn's, by name."""

    def __init__(self, worker_class: str, workers: int = 2, **settings: object) -> None:
        self.worker_class = worker_class
        self.workers = workers
        self.killed: set[int] = set()
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="lifecycle-")
        self.port = _free_port()
        self.address = ("127.0.0.1", self.port)
        self.log = Path(self._folder.name) / "server.log"

    def __enter__(self) -> Server:
        folder = Path(self._folder.name)
        inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        path = [str(_HERE), *map(os.path.abspath, inherited)]  # absolute: the server runs elsewhere
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder,
                env=environment, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while len(self.serving()) < self.workers:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.worker_class} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(_POLL)
        return self

    def _command(self, folder: Path) -> list[str]:
        if self.worker_class == "granian":
            return [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(self.port),
                    "--workers", str(self.workers), "--backpressure", "4096", "app:app"]  # fmt: skip
        settings = {
            "bind": f"127.0.0.1:{self.port}", "workers": self.workers, "worker_class": self.worker_class,
            "keepalive": 75, "timeout": 60, "graceful_timeout": 15, "control_socket_disable": True, "backlog": 2048,
            "worker_connections": 4000, "proc_name": "lifecycle", "pidfile": str(folder / "pid"), **self._settings,
        }  # fmt: skip
        configuration = folder / "gunicorn.conf.py"
        configuration.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        launcher = folder / "gunicorn"
        launcher.write_text(_LAUNCHER)
        return [sys.executable, str(launcher), "-c", str(configuration), "app:app"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The whole group: a master that was re-executed is no child of ours any more.
        for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self._folder.cleanup()

    # -- orders -----------------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Signal the master."""
        os.kill(self.master, number)

    @property
    def master(self) -> int:
        """The master that wrote the pid file, which after an upgrade is the new one."""
        try:
            return int((Path(self._folder.name) / "pid").read_text())
        except (OSError, ValueError):
            return self.process.pid

    def kill(self, pid: int) -> None:
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def wait_exit(self) -> int:
        return self.process.wait(_STOP_SECONDS)

    # -- what can be seen -------------------------------------------------------------------------------------------

    def children(self, parent: int = 0) -> list[int]:
        """The workers of ``parent``, the master where not given."""
        return _children(parent or (self.process.pid if self.worker_class == "granian" else self.master))

    def serving(self) -> list[int]:
        """Workers that wait for connections."""
        return self.serving_of(self.master if self.worker_class != "granian" else self.process.pid)

    def serving_of(self, master: int) -> list[int]:
        return [pid for pid in _children(master) if _polls_listener(pid, self.port)] if master else []

    def successor_of(self, master: int) -> int:
        """The master that this one has executed (USR2), 0 while there is none."""
        try:
            return int((Path(self._folder.name) / "pid.2").read_text())
        except (OSError, ValueError):
            return 0

    def is_running(self, pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    def words(self, text: str) -> int:
        """How often ``text`` is in the log."""
        return self.log.read_text(errors="replace").count(text)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, of = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(of) == parent and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def _polls_listener(pid: int, port: int) -> bool:
    """Whether an event loop of the process waits on the listening socket."""
    folder = Path(f"/proc/{pid}")
    try:
        inodes = {
            f"socket:[{columns[9]}]"
            for columns in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port
        }
        targets = {}
        for name in os.listdir(folder / "fd"):
            try:
                targets[int(name)] = os.readlink(folder / "fd" / name)
            except OSError:
                continue
        for fd, target in targets.items():
            if "eventpoll" in target:
                for line in (folder / "fdinfo" / str(fd)).read_text().splitlines():
                    if line.startswith("tfd:") and targets.get(int(line.split()[1])) in inodes:
                        return True
    except OSError:
        pass
    return False
