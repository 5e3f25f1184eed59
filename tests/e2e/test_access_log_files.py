"""No line of the access log is lost or torn: at shutdown, when the file is rotated, with several workers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.raw import ResponseError, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

FORMAT = "%(q)s|%(s)s|end"
PIPELINED = 25


class Load:
    """Clients that ask for ``/?<client>.<number>``, several at once, until told to stop; ``answered`` is what came."""

    def __init__(self, server: GunicornServer, clients: int = 4) -> None:
        self.server = server
        self.answered: list[str] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def wait(self, count: int) -> None:
        """Until so many more are answered."""
        target = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= target, 30, lambda: f"{target} answers, not {len(self.answered)}")

    def _run(self, client: int) -> None:
        number = 0
        try:
            with self.server.connect() as connection:
                while not self._stopping.is_set():
                    names = [f"{client}.{number + offset}" for offset in range(PIPELINED)]
                    connection.send(b"".join(request_bytes("GET", f"/?{name}") for name in names))
                    for name in names:
                        assert connection.read_response().status == 200
                        self.answered.append(name)
                    number += PIPELINED
        except (OSError, ResponseError):
            pass  # the server went; what was answered until then counts


def names(text: str) -> Counter[str]:
    """The queries of the lines, each of which has to be whole."""
    lines = text.split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert line.endswith("|200|end"), line
        assert line.count("|") == 2, line
    return Counter(line.split("|")[0] for line in lines)


def assert_logged(text: str, answered: list[str]) -> None:
    logged = names(text)
    assert max(logged.values()) == 1, "no line is written twice"
    assert not set(answered) - set(logged), "each answer has its line"


def test_shutdown_under_load(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    server = serve(accesslog=str(path), access_log_format=FORMAT)
    with Load(server) as load:
        load.wait(300)
        assert server.stop() == 0
    assert_logged(path.read_text(), load.answered)


def test_rotation_under_load(serve: Serve, tmp_path: Path) -> None:
    """What logrotate does: move the file away, send USR1, later read both."""
    path = tmp_path / "access.log"
    server = serve(accesslog=str(path), access_log_format=FORMAT, workers=2)
    with Load(server) as load:
        for turn in range(3):
            load.wait(200)
            path.rename(tmp_path / f"access.log.{turn}")
            server.signal(signal.SIGUSR1)
            wait_until(path.exists, message="the file opened anew")
        load.wait(200)
        load.stop()
        assert server.stop() == 0
    files = sorted(tmp_path.glob("access.log*"))
    assert len(files) == 4
    assert all(file.stat().st_size for file in files)
    assert_logged("".join(file.read_text() for file in files), load.answered)


def test_workers_that_share_a_pipe(serve: Serve, tmp_path: Path) -> None:
    """A container's standard output: a pipe takes 4096 bytes at once, of whichever worker comes first."""
    collected = tmp_path / "collected"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    copy = f"import shutil; shutil.copyfileobj(open({str(fifo)!r}, 'rb'), open({str(collected)!r}, 'wb'))"
    reader = subprocess.Popen([sys.executable, "-c", copy])
    # Gunicorn tries whether the file can be written before it opens it: without a writer in between, the reader could
    # take that for the end.
    writer = os.open(fifo, os.O_RDWR)
    try:
        server = serve(accesslog=str(fifo), access_log_format=FORMAT, workers=3)
        with Load(server, clients=6) as load:
            load.wait(1500)
            load.stop()
            assert server.stop() == 0
        os.close(writer)
        assert reader.wait(30) == 0
    finally:
        reader.kill()
        reader.wait()
    assert_logged(collected.read_text(), load.answered)
