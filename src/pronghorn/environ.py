"""The variables of a CGI environment (RFC 3875, PEP 3333) for one request, as Gunicorn's WSGI workers set them.

Owns the mapping from request and connection to variables; knows nothing of who reads them.
"""

from __future__ import annotations

from typing import Any

from gunicorn import SERVER_SOFTWARE

from pronghorn.asgi.scope import Endpoint
from pronghorn.wire.percent import unquoted
from pronghorn.wire.request import Request

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SERVER_SOFTWARE = SERVER_SOFTWARE


def cgi_environ(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """Return the variables of RFC 3875 and PEP 3333, as Gunicorn's WSGI workers set them."""
    scheme = endpoint.scheme
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": scheme,
        "SERVER_SOFTWARE": _SERVER_SOFTWARE,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string.decode("latin-1"),
        "RAW_URI": request.target.decode("latin-1"),
        "SERVER_PROTOCOL": protocol_of(request),
    }
    host = ""
    repeated: dict[str, list[str]] = {}
    for name, raw_value in request.headers:
        value = raw_value.decode("latin-1")
        key = name.upper().replace(b"-", b"_").decode("latin-1")
        if name == b"content-type" or name == b"content-length":
            environ[key] = value
            continue
        if name == b"host":
            host = value
        key = f"HTTP_{key}"
        if key not in environ:
            environ[key] = value
        elif key in repeated:
            repeated[key].append(value)
        else:
            repeated[key] = [environ[key], value]
    for key, values in repeated.items():  # joined once: one by one would cost the square of their size
        environ[key] = ",".join(values)
    peer = peer_of(endpoint)
    # "-" as Gunicorn's ASGI worker has it: an access log with an empty %(h)s has lines of one field less.
    environ["REMOTE_ADDR"] = "-" if peer is None else peer[0]
    if peer is not None:
        environ["REMOTE_PORT"] = str(peer[1])
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _server(endpoint.template["server"], host, scheme)
    environ["PATH_INFO"] = path_info(request, endpoint)
    environ["SCRIPT_NAME"] = _native(endpoint.template["root_path"])
    return environ


def peer_of(endpoint: Endpoint) -> tuple[str, int] | None:
    """Who opened the connection, whatever a proxy said of others; None on a unix socket, and where it is not known."""
    return endpoint.peer


def protocol_of(request: Request) -> str:
    """SERVER_PROTOCOL, which always has a minor version."""
    version = request.http_version
    if version == "1.1":
        return "HTTP/1.1"
    return f"HTTP/{version}" if "." in version else f"HTTP/{version}.0"


def path_info(request: Request, endpoint: Endpoint) -> str:
    """PATH_INFO: the decoded path below the root path, its bytes as latin-1 (PEP 3333)."""
    path = unquoted(request.raw_path).decode("latin-1")
    root_path = endpoint.template["root_path"]
    if root_path:
        root_path = _native(root_path)
        if path == root_path or path.startswith(root_path + "/"):
            return path[len(root_path) :]
    return path


def _native(text: str) -> str:
    """Text as PEP 3333 carries it."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _server(server: tuple[str, int | None] | None, host: str, scheme: str) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT. A unix socket has neither: there the Host field says what the client thinks."""
    if server is not None and server[1] is not None:
        return server[0], str(server[1])
    if host:
        name, colon, port = host.rpartition(":")
        if colon and not port.endswith("]"):
            return name, port
        return host, _DEFAULT_PORTS.get(scheme, "")
    return "" if server is None else str(server[0]), ""
