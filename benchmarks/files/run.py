"""CPU that a server spends to send a large file: ``http.response.pathsend`` against what others do.

    python benchmarks/files/run.py --rounds 5

Each server is started once, with one worker on one core; the client reads from the other core. Rounds are interleaved.
The figure is CPU time (user + system) of all processes of the server, per GiB sent; the median round, and the spread of
all.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GIB = 1 << 30
TICK = os.sysconf("SC_CLK_TCK")

#: Name: command, and the path asked for. ``{port}`` is filled in.
GUNICORN = f"{sys.executable} -m gunicorn -w 1 -b 127.0.0.1:{{port}} --log-level warning --no-control-socket"
SERVERS = {
    "Pronghorn, pathsend": (f"{GUNICORN} -k pronghorn.AsyncWorker app:bare", "/"),
    "Pronghorn, Starlette's FileResponse (pathsend)": (f"{GUNICORN} -k pronghorn.AsyncWorker app:starlette", "/"),
    "Pronghorn, pathsend, --no-sendfile": (f"{GUNICORN} -k pronghorn.AsyncWorker --no-sendfile app:bare", "/"),
    "granian, pathsend": (
        f"{sys.executable} -m granian --interface asgi --workers 1 --port {{port}} --no-access-log app:bare",
        "/",
    ),
    "granian, Starlette's FileResponse (pathsend)": (
        f"{sys.executable} -m granian --interface asgi --workers 1 --port {{port}} --no-access-log app:starlette",
        "/",
    ),
    "UvicornWorker, Starlette's FileResponse": (
        f"{GUNICORN} -k uvicorn_worker.UvicornWorker app:starlette",
        "/",
    ),
}


class Server:
    """A server in a session of its own, on core 0."""

    def __init__(self, command: str, file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        environment = {**os.environ, "FILE": str(file)}
        self.process = subprocess.Popen(
            command.format(port=self.port).split(),
            cwd=HERE,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {0}),
        )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                read(self.port, 1)
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"did not start: {self.process.args}")

    def cpu(self) -> float:
        """Seconds of CPU that the processes of this session have used."""
        total = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid:  # session
                    total += int(fields[11]) + int(fields[12])
        return total / TICK

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def read(port: int, times: int) -> int:
    """Fetch the file ``times`` times on one connection; bytes of content."""
    buffer = bytearray(1 << 20)
    total = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        for _ in range(times):
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                part = sock.recv(65536)
                if not part:
                    raise OSError("the connection was closed")
                head += part
            head, _, content = head.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(next(line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")))
            left = length - len(content)
            while left:
                size = sock.recv_into(buffer, min(left, len(buffer)))
                if not size:
                    raise OSError("the response was cut off")
                left -= size
            total += length
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=20, help="transfers in a round")
    parser.add_argument("--size", type=int, default=100 * 1000 * 1000, help="bytes of the file")
    options = parser.parse_args()
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(os.urandom(1000) * (options.size // 1000))
        servers = {name: Server(command, file) for name, (command, _) in SERVERS.items()}
        try:
            for server in servers.values():
                server.wait_ready()
            for _ in range(options.rounds):
                for name, server in servers.items():
                    before, started = server.cpu(), time.monotonic()
                    sent = read(server.port, options.times)
                    seconds = time.monotonic() - started
                    figures[name].append(((server.cpu() - before) * GIB / sent, sent / seconds / GIB))
        finally:
            for server in servers.values():
                server.stop()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores,")
    print(f"{options.size / 1e6:.0f} MB, {options.times} transfers a round, {options.rounds} rounds\n")
    print("| server | CPU s/GiB | all rounds | GiB/s | ratio |\n|---|---|---|---|---|")
    base = statistics.median(cpu for cpu, _ in next(iter(figures.values())))
    for name, rounds in figures.items():
        cpu = statistics.median(cpu for cpu, _ in rounds)
        speed = statistics.median(speed for _, speed in rounds)
        spread = f"{min(cpu for cpu, _ in rounds):.2f}–{max(cpu for cpu, _ in rounds):.2f}"
        print(f"| {name} | {cpu:.2f} | {spread} | {speed:.2f} | {cpu / base:.1f} |")


if __name__ == "__main__":
    main()
