"""Does the server answer this workload rightly? Asked once before any load.

A benchmark of wrong answers is worthless, and a server without a feature must be told from one that fails at
it: `Refused` is a clean no (reported as "–"), `ProbeFailed` is everything else that is not the right answer.
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import struct

from servers import Address
from workloads import Workload

_SECONDS = 5.0
_H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_H2_EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_H2_SETTINGS = 4


class Refused(Exception):
    """The server said, in a way its protocol allows, that it does not do this."""


class ProbeFailed(Exception):
    """The answer is wrong, or there is none."""


def connect(address: Address, seconds: float = _SECONDS) -> socket.socket:
    """A connected socket, TLS included. Raises OSError."""
    if address.path:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plain.settimeout(seconds)
        try:
            plain.connect(address.path)
        except OSError:
            plain.close()
            raise
    else:
        plain = socket.create_connection(("127.0.0.1", address.port), seconds)
    if not address.tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)  # closes `plain` itself when the handshake fails


def answers(address: Address, path: str) -> bool:
    """Whether anything that looks like HTTP comes back; the body and the status are the probe's business."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        with connect(address, 0.5) as connection:
            connection.sendall(request.encode())
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def probe(workload: Workload, address: Address) -> None:
    try:
        with connect(address) as connection:
            if workload.message:
                _websocket(connection, workload)
            elif "http2" in workload.needs:
                _http2(connection)
            else:
                _http1(connection, workload)
    except (OSError, http.client.HTTPException) as error:
        raise ProbeFailed(f"{type(error).__name__}: {error}") from error


def request_bytes(workload: Workload) -> bytes:
    """One HTTP/1.1 request of the workload, body included."""
    lines = [f"{workload.method} {workload.path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in workload.headers]
    if workload.body:
        lines.append(f"Content-Length: {workload.body}")
    return "\r\n".join([*lines, "", ""]).encode() + b"x" * workload.body


def upgrade_bytes(path: str) -> bytes:
    """A WebSocket opening handshake that offers no extensions (RFC 6455 section 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    fields = (
        f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "",
    )  # fmt: skip
    return "\r\n".join(fields).encode()


def _http1(connection: socket.socket, workload: Workload) -> None:
    connection.sendall(request_bytes(workload))
    response = http.client.HTTPResponse(connection, method=workload.method)
    response.begin()
    body = response.read()
    if response.status != 200:
        raise ProbeFailed(f"answered {response.status} {response.reason}")
    if workload.response is not None and len(body) != workload.response:
        raise ProbeFailed(f"answered {len(body)} bytes instead of {workload.response}")
    if workload.body and body != str(workload.body).encode():
        raise ProbeFailed(f"the application counted {body[:20]!r} of {workload.body} bytes")


def _http2(connection: socket.socket) -> None:
    """Prior knowledge (RFC 9113 section 3.3): the server's first frame is SETTINGS."""
    connection.sendall(_H2_PREFACE + _H2_EMPTY_SETTINGS)
    try:
        first = connection.recv(512)
    except ConnectionError:
        first = b""
    if not first:
        raise Refused("closed the connection at the HTTP/2 preface")
    if first.startswith(b"HTTP/1."):
        raise Refused(f"answered the HTTP/2 preface with {first.splitlines()[0].decode(errors='replace')}")
    if len(first) < 9 or first[3] != _H2_SETTINGS:
        raise ProbeFailed("the first HTTP/2 frame is not SETTINGS")


def _websocket(connection: socket.socket, workload: Workload) -> None:
    connection.sendall(upgrade_bytes(workload.path))
    stream = connection.makefile("rb")
    status = stream.readline().decode(errors="replace").split(" ", 2)
    if len(status) < 2 or status[1] != "101":
        raise Refused(f"answered the WebSocket upgrade with {' '.join(status).strip() or 'nothing'}")
    while stream.readline() not in (b"\r\n", b""):
        pass
    payload = os.urandom(workload.message)
    extended = b"" if len(payload) < 126 else struct.pack("!H", len(payload))
    length = len(payload) if len(payload) < 126 else 126
    # An all-zero masking key is legal and leaves the payload as it is.
    connection.sendall(bytes((0x82, 0x80 | length)) + extended + bytes(4) + payload)
    expected = bytes((0x82, length)) + extended + payload
    if stream.read(len(expected)) != expected:
        raise ProbeFailed("the WebSocket echo is not the message sent")
