"""Proxies in front of the server, as people run them: nginx and haproxy with kept connections to the workers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_SECONDS = 10.0

_NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  client_body_buffer_size 256k; client_max_body_size 10m; proxy_buffering on;
  upstream app {{ server {host}:{port} max_fails=0; keepalive 32; }}
  server {{
    listen 127.0.0.1:{listen};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_next_upstream off; proxy_set_header Host $host;
    }}
  }}
}}
"""
_HAPROXY = """\
global
  maxconn 2048
  stats socket {folder}/stats
defaults
  mode http
  timeout connect 20s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive 30s
  option http-keep-alive
  retries 0
frontend in
  bind 127.0.0.1:{listen}
  default_backend app
backend app
  http-reuse always
  server app {host}:{port} maxconn 512
"""


class Front:
    """A proxy process. No retries: a request that the server loses must show as a 502."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="front-")

    @property
    def is_installed(self) -> bool:
        return _program(self.name) is not None

    def start(self, upstream: tuple[str, int]) -> tuple[str, int]:
        """Start it before ``upstream``; its own address."""
        folder = Path(self._folder.name)
        folder.chmod(0o777)
        (folder / "error.log").unlink(missing_ok=True)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            listen = int(sock.getsockname()[1])
        text = (_NGINX if self.name == "nginx" else _HAPROXY).format(
            folder=folder, host=upstream[0], port=upstream[1], listen=listen
        )
        configuration = folder / "proxy.conf"
        configuration.write_text(text)
        program = _program(self.name) or self.name
        command = [program, "-c" if self.name == "nginx" else "-f", str(configuration)]
        if self.name == "nginx":
            command += ["-p", str(folder), "-e", str(folder / "error.log")]
        else:
            command.append("-db")
        with (folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", listen), 1.0).close()
                return ("127.0.0.1", listen)
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise SystemExit(f"{self.name} did not start: {(folder / 'output.log').read_text()}") from None
                time.sleep(0.05)

    def failures(self) -> int | None:
        """How often a worker failed it, by its own log; None where it keeps none.

        nginx tries again on a connection of its own accord where a kept one fails, whatever is configured.
        """
        log = Path(self._folder.name) / "error.log"
        return log.read_text(errors="replace").count(" upstream") if log.exists() else None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_SECONDS)
            self._process = None


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
