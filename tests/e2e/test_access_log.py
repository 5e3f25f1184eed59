"""The access log: Gunicorn's own atoms, format and logger classes, for every kind of request."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.raw import RawClient, Truncated, chunked, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

ATOMS = [  # each is written as %(name)s
    *"hlutrsmUqHbBfaTDMLp",
    *("{x-test}i", "{missing}i", "{x-app}o", "{set-cookie}o", "{missing}o"),
    *("{server_protocol}e", "{request_method}e", "{script_name}e", "{server_name}e", "{server_port}e"),
    *("{remote_port}e", "{wsgi.url_scheme}e", "{content_type}e", "{content_length}e", "{http_x_test}e"),
    *("{raw_uri}e", "{path_info}e", "{query_string}e"),
]
SEPARATOR = "\t"
FORMAT = SEPARATOR.join(f"%({name})s" for name in ATOMS)


class LogFile:
    """The access log of one server from now on, read as one dict of atoms per line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = len(self._lines())

    def next(self) -> dict[str, str]:
        """The next line that was not returned yet; waits for it."""
        line = wait_until(lambda: self._line(self._seen), message=lambda: f"line {self._seen} of {self._lines()}")
        self._seen += 1
        values = line.split(SEPARATOR)
        assert len(values) == len(ATOMS), line
        return dict(zip(ATOMS, values, strict=True))

    def _line(self, number: int) -> str | None:
        lines = self._lines()
        return lines[number] if number < len(lines) else None

    def _lines(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return text.split("\n")[:-1]  # a line counts once it is whole


SETTINGS = {"accesslog": "access.log", "access_log_format": FORMAT}
Logged = tuple[GunicornServer, LogFile]


@pytest.fixture
def logged(server: GunicornServer) -> Logged:
    """The module's server. Each test reads the lines of all its requests, so that none is left to the next one."""
    return server, LogFile(server.directory / "access.log")


class TestAtoms:
    def test_all(self, logged: Logged) -> None:
        server, log = logged
        credentials = base64.b64encode(b"ada:secret").decode()
        fields = (
            "X-Test: first",
            "X-Test: last",
            "Referer: http://from/",
            "User-Agent: probe/1",
            f"Authorization: Basic {credentials}",
            "Content-Type: text/x-test",
        )
        with server.connect() as client:
            response = client.request("GET", "/fields/a%20b?x=1&y=%20", *fields, body=b"12345")
            port = client.port
        line = log.next()
        expected = {
            "h": "127.0.0.1",
            "l": "-",
            "u": "ada",
            "r": "GET /fields/a%20b?x=1&y=%20 HTTP/1.1",
            "s": "200",
            "m": "GET",
            "U": "/fields/a b",
            "q": "x=1&y=%20",
            "H": "HTTP/1.1",
            "b": "2",
            "B": "2",
            "f": "http://from/",
            "a": "probe/1",
            "p": f"<{server.worker_pids()[0]}>",
            "{x-test}i": "last",
            "{x-app}o": "from the app",
            "{set-cookie}o": "b=2",
            "{missing}i": "-",
            "{missing}o": "-",
            "{server_protocol}e": "HTTP/1.1",
            "{request_method}e": "GET",
            "{script_name}e": "",
            "{server_name}e": "127.0.0.1",
            "{server_port}e": str(server.address[1]),
            "{remote_port}e": str(port),
            "{wsgi.url_scheme}e": "http",
            "{content_type}e": "text/x-test",
            "{content_length}e": "5",
            "{http_x_test}e": "first,last",
            "{raw_uri}e": "/fields/a%20b?x=1&y=%20",
            "{path_info}e": "/fields/a b",
            "{query_string}e": "x=1&y=%20",
        }
        assert response.body == b"ok"
        assert {name: line[name] for name in expected} == expected
        assert set(line) - set(expected) == {"t", "T", "D", "M", "L"}

    def test_times(self, logged: Logged) -> None:
        server, log = logged
        server.get("/slow?seconds=1.2")
        line = log.next()
        written = datetime.strptime(line["t"], "[%d/%b/%Y:%H:%M:%S %z]")
        assert 0 <= (datetime.now().astimezone() - written).total_seconds() < 60
        assert int(line["T"]) >= 1
        assert int(line["D"]) >= 1_100_000
        assert re.fullmatch(r"\d+\.\d{6}", line["L"])
        assert float(line["L"]) >= 1.1
        assert int(line["M"]) >= 1100

    def test_absent_values_are_dashes(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(request_bytes("GET", "/"))
            client.read_response()
        line = log.next()
        assert [line[name] for name in ("u", "f", "a", "{x-test}i", "{x-app}o", "{content_type}e")] == ["-"] * 6
        assert line["q"] == ""

    def test_quotes_cannot_break_out(self, logged: Logged) -> None:
        server, log = logged
        server.get("/", 'User-Agent: a"b', 'Referer: "')
        line = log.next()
        assert (line["a"], line["f"]) == (r"a\"b", r"\"")


class TestKindsOfRequests:
    @pytest.mark.parametrize(
        ("method", "target", "status", "sent"),
        [
            ("GET", "/", "200", "13"),
            ("HEAD", "/", "200", "0"),
            ("GET", "/stream?count=3", "200", str(len(b"line 0\nline 1\nline 2\n"))),
            ("GET", "/big?size=300000", "200", "300000"),
            ("POST", "/echo", "200", "0"),
            ("GET", "/status?code=204", "204", "0"),
            ("GET", "/status?code=304", "304", "0"),
            ("GET", "/nothing", "404", "12"),
            ("GET", "/fail", "500", None),
        ],
    )
    def test_status_and_bytes_sent(
        self, logged: Logged, method: str, target: str, status: str, sent: str | None
    ) -> None:
        server, log = logged
        with server.connect() as client:
            client.request(method, target)
        line = log.next()
        assert (line["m"], line["s"], line["{raw_uri}e"]) == (method, status, target)
        if sent is not None:
            assert line["B"] == sent, "bytes of content: no head, no chunk framing"

    def test_chunked_request(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"12", b"3"))
            assert client.read_response().body == b"123"
        assert log.next()["B"] == "3"

    def test_one_line_for_each_request_of_a_connection(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(b"".join(request_bytes("GET", f"/?{number}") for number in range(20)))
            for _ in range(20):
                client.read_response()
        assert [log.next()["q"] for _ in range(20)] == [str(number) for number in range(20)]

    def test_http_1_0(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            client.read_response()
        line = log.next()
        assert (line["r"], line["H"]) == ("GET / HTTP/1.0", "HTTP/1.0")

    def test_a_stream_is_logged_at_its_end(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(request_bytes("GET", "/two-parts"))
            client.read_until(b"first ")
            server.get("/")
            assert log.next()["U"] == "/", "the later request has ended, the stream has not"
            (server.directory / "gate").touch()
            client.read_until(b"second")
        line = log.next()
        assert (line["U"], line["B"]) == ("/two-parts", str(len("first second")))

    def test_a_response_that_broke_off(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client, pytest.raises(Truncated):
            client.request("GET", "/fail-after-part")
        line = log.next()
        assert (line["U"], line["s"], line["B"]) == ("/fail-after-part", "200", "6")

    def test_a_client_that_left(self, logged: Logged) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(request_bytes("GET", "/wait-disconnect"))
            server.wait_trace("waiting for disconnect")
        assert log.next()["U"] == "/wait-disconnect"

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"complete garbage\r\n\r\n", "400"),
            (b"GET / HTTP/1.1\r\n\r\n", "400"),
            (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: test\r\n\r\n", "414"),
            (b"GET / HTTP/1.1\r\nHost: test\r\nX: " + b"v" * 9000 + b"\r\n\r\n", "431"),
        ],
        ids=["garbage", "no host", "long line", "long field"],
    )
    def test_malformed_requests(self, logged: Logged, data: bytes, status: str) -> None:
        server, log = logged
        with server.connect() as client:
            client.send(data)
            assert client.read_response().status == int(status)
        line = log.next()
        assert (line["s"], line["h"]) == (status, "127.0.0.1")
        assert server.get("/").status == 200
        assert log.next()["s"] == "200", "exactly one line for the malformed one"

    def test_unix_peer(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "access.log"
        server = serve(bind=f"unix:{tmp_path}/s", accesslog=str(path), access_log_format="[%(h)s] %(r)s")
        server.get("/")
        wait_until(lambda: path.read_text(), message="a line")
        assert path.read_text() in ("[] GET / HTTP/1.1\n", "[-] GET / HTTP/1.1\n")


class TestFormatsAndLoggers:
    def test_default_format(self, serve: Serve) -> None:
        server = serve(accesslog="-")
        server.get("/?q", "User-Agent: probe/1")
        server.wait_log(
            r"^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
            r'"GET /\?q HTTP/1\.1" 200 13 "-" "probe/1"$'
        )

    def test_nothing_by_default(self, serve: Serve) -> None:
        server = serve()
        server.get("/?not-logged")
        assert server.stop() == 0
        assert "not-logged" not in server.log()

    def test_logger_class_of_the_site(self, serve: Serve) -> None:
        """What public loggers read of the four arguments: real types, Gunicorn's WSGI names."""
        source = (
            "from datetime import timedelta\n"
            "from gunicorn.glogging import Logger\n"
            "from tests.e2e.apps.bare import app\n"
            "class SiteLogger(Logger):\n"
            "    def access(self, resp, req, environ, request_time):\n"
            "        assert isinstance(request_time, timedelta) and isinstance(resp.status, str)\n"
            "        assert request_time.total_seconds() >= 0\n"
            "        self.info('SITE %s|%s|%s|%s|%s|%s|%s', resp.status, resp.status_code, resp.sent,\n"
            "                  dict(resp.headers).get('content-type'), req.method, req.uri,\n"
            "                  environ['REMOTE_ADDR'])\n"
            "        self.info('FIELDS %s', [pair for pair in req.headers if pair[0] == 'X-ONE'])\n"
        )
        server = serve("main:app", source=source, logger_class="main.SiteLogger")
        server.get("/?a=b", "X-One: 1")
        server.wait_log(r"SITE 200 OK\|200\|13\|text/plain\|GET\|/\?a=b\|127\.0\.0\.1")
        server.wait_log(r"FIELDS \[\('X-ONE', '1'\)\]")

    def test_atoms_of_the_site(self, serve: Serve) -> None:
        source = (
            "from gunicorn.glogging import Logger\n"
            "from tests.e2e.apps.bare import app\n"
            "class SiteLogger(Logger):\n"
            "    def atoms(self, *args):\n"
            "        return {**super().atoms(*args), 'site': 'example'}\n"
        )
        server = serve(
            "main:app",
            source=source,
            logger_class="main.SiteLogger",
            accesslog="-",
            access_log_format="%(site)s says %(s)s",
        )
        server.get("/")
        server.wait_log("^example says 200$")

    def test_a_logger_that_fails_costs_no_response(self, serve: Serve) -> None:
        source = (
            "from gunicorn.glogging import Logger\n"
            "from tests.e2e.apps.bare import app\n"
            "class SiteLogger(Logger):\n"
            "    def access(self, resp, req, environ, request_time):\n"
            "        raise ValueError('logger is broken')\n"
        )
        server = serve("main:app", source=source, logger_class="main.SiteLogger")
        with RawClient(server.address) as client:
            assert client.request("GET", "/").status == 200
            assert client.request("GET", "/").status == 200
        server.wait_log("logger is broken")

    def test_logconfig_dict(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "configured.log"
        server = serve(
            logconfig_dict={
                "version": 1,
                "disable_existing_loggers": False,
                "root": {"level": "INFO", "handlers": []},
                "formatters": {"plain": {"format": "configured: %(message)s"}},
                "handlers": {
                    "file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "plain"},
                    "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
                },
                "loggers": {
                    "gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False},
                    "gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False},
                },
            }
        )
        server.get("/?configured")
        wait_until(lambda: path.read_text().startswith("configured: 127.0.0.1"), message="a line in the file")
        assert '"GET /?configured HTTP/1.1" 200 13' in path.read_text()


def test_what_a_peer_sent_begins_no_line_and_reaches_no_terminal(serve: Serve) -> None:
    """Gunicorn's own logger, a subclass, and one that writes the environ itself."""
    text = "LINE %(U)s|%(q)s|%(u)s|%(a)s|%(f)s|%({x-a}i)s|%({http_x_a}e)s|%({path_info}e)s|%({x-b}o)s END"
    source = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if b"fail" in scope["query_string"]:
        raise ValueError("on purpose")
    headers = [(b"x-b", dict(scope["headers"]).get(b"x-a", b""))]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
"""
    own = """
from gunicorn.glogging import Logger

class logger_class(Logger):
    def access(self, resp, req, environ, request_time):
        %s
"""
    by_gunicorn = own % "super().access(resp, req, environ, request_time)"
    by_itself = own % "self.access_log.info('LINE %s END', environ['PATH_INFO'])"
    for config in ("", by_gunicorn, by_itself):
        server = serve(source=source, accesslog="-", access_log_format=text, config=config)
        with server.connect() as client:
            hostile = b"a\x9b31m\x85\tb"
            client.send(
                b"GET /%0AFORGED%0D%1B[2J%00%7F?%0AFORGED HTTP/1.1\r\nHost: a\r\n"
                + b"Authorization: Basic YQpGT1JHRUQbWzFtOng=\r\n"
                + b"".join(b"%b: %b\r\n" % (name, hostile) for name in (b"User-Agent", b"Referer", b"X-A"))
                + b"\r\n"
            )
            assert client.read_response().status == 204
            assert client.request("GET", "/%0AFORGED%1B?fail%0AFORGED").status == 500
            client.send(b"GET /\x1b\x9b HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read_response().status == 400
        server.wait_log(r"LINE .*\\x0aFORGED\\x0d\\x1b.* END")
        server.wait_log(r"Invalid request from")
        log = server.log_file.read_bytes()
        assert b"\nFORGED" not in log
        assert not [byte for byte in log if (byte < 32 and byte != 10) or byte == 127]
        assert b"\xc2\x9b" not in log
        server.stop()
