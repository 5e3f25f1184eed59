"""The environment and the request's shape against Gunicorn itself, which reads the same bytes with its own parser."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser

from pronghorn.environ import cgi_environ, path_info, protocol_of
from pronghorn.logged import LoggedRequest
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules
from pronghorn.wire.request import Request
from tests.support.finished import make_endpoint, make_request

CLIENT = ("192.0.2.7", 50123)
SERVER = ("192.0.2.1", 8000)
#: What exists only while a WSGI worker reads and writes, and what depends on its settings.
STREAMS = {
    *("wsgi.errors", "wsgi.input", "wsgi.file_wrapper", "wsgi.early_hints", "gunicorn.socket", "wsgi.multiprocess"),
}

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b'GET /a%20b/caf%C3%A9/%2F?x=%20&y="1" HTTP/1.1\r\nHost: example.com:8080\r\n\r\n',
    b"GET /?only=query HTTP/1.0\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nCookie: a=b\r\n\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: "x"\r\nAuthorization: Basic YTpi\r\n\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Latin: caf\xe9\r\nX-Empty:\r\nX-Spaces:   b  \r\n\r\n",
    b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
]


def read_by_gunicorn(data: bytes, server: Any = SERVER, client: Any = CLIENT) -> tuple[Any, dict[str, Any]]:
    cfg = Config()
    req = next(RequestParser(cfg, iter([data]), client))
    _, environ = wsgi.create(req, None, client, server, cfg)
    return req, environ


def read_here(data: bytes) -> Request:
    parser = Http1Parser(Rules())
    parser.feed(data)
    parser.next()
    return parser.request


@pytest.mark.parametrize("data", REQUESTS, ids=range(len(REQUESTS)))
def test_variables_are_those_of_the_wsgi_workers(data: bytes) -> None:
    _, theirs = read_by_gunicorn(data)
    ours = cgi_environ(read_here(data), make_endpoint(CLIENT, SERVER))
    assert {key: value for key, value in ours.items() if key not in STREAMS} == {
        key: value for key, value in {"wsgi.input_terminated": True, **theirs}.items() if key not in STREAMS
    }


@pytest.mark.parametrize("host", [b"", b"Host: example.com\r\n", b"Host: example.com:81\r\n"])
def test_unix_socket(host: bytes) -> None:
    data = b"GET / HTTP/1.0\r\n" + host + b"\r\n"
    _, theirs = read_by_gunicorn(data, "/run/gunicorn.sock", "")
    ours = cgi_environ(read_here(data), make_endpoint(None, ("/run/gunicorn.sock", None)))
    names = ("SERVER_NAME", "SERVER_PORT", "REMOTE_PORT")
    assert [ours.get(name) for name in names] == [theirs.get(name) for name in names]
    assert (ours["REMOTE_ADDR"], theirs["REMOTE_ADDR"]) == ("-", "")  # an access log shows that there is none


def test_unix_socket_and_an_address_without_port() -> None:
    request = make_request("GET", b"/", [(b"host", b"[::1]")])
    environ = cgi_environ(request, make_endpoint(None, None, "https"))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("[::1]", "443")


@pytest.mark.parametrize("data", REQUESTS, ids=range(len(REQUESTS)))
def test_the_request_is_that_of_the_wsgi_workers(data: bytes) -> None:
    theirs, _ = read_by_gunicorn(data)
    ours = LoggedRequest(read_here(data), make_endpoint(CLIENT, SERVER))
    names = (
        *("method", "uri", "path", "query", "fragment", "version", "scheme", "headers", "trailers"),
        *("remote_addr", "peer_addr", "proxy_protocol_info", "must_close"),
    )
    known = [name for name in names if hasattr(theirs, name)]  # older releases have fewer
    assert {name: getattr(ours, name) for name in known} == {name: getattr(theirs, name) for name in known}
    assert {*names[:6], "headers"} <= set(known)
    assert ours.should_close() == theirs.should_close()


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        (b"/app/x", "/app", "/x"),
        (b"/app", "/app", ""),
        (b"/apple", "/app", "/apple"),
        (b"/x", "/app", "/x"),
        (b"/%61pp/x", "/app", "/x"),
        (b"/caf%C3%A9/x", "/caf\u00e9", "/x"),
        (b"/%C3%A9", "", "/\u00c3\u00a9"),
        (b"*", "", "*"),
    ],
)
def test_path_below_the_root(path: bytes, root_path: str, expected: str) -> None:
    endpoint = make_endpoint(root_path=root_path)
    assert path_info(make_request("GET", path), endpoint) == expected
    environ = cgi_environ(make_request("GET", path), endpoint)
    assert environ["SCRIPT_NAME"] == root_path.encode().decode("latin-1")


@pytest.mark.parametrize(("version", "protocol"), [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2.0")])
def test_protocol(version: str, protocol: str) -> None:
    request = make_request("GET", b"/", http_version=version)
    assert protocol_of(request) == protocol
    assert LoggedRequest(request, make_endpoint()).version == (int(version[0]), int(version[2:] or 0))
