"""FastAPI and Starlette over a real socket: what they need of a server beyond plain requests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.apps import trace as trace_module
from tests.support.raw import Response, chunked, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until


def start(name: str, worker_class: str, factory: pytest.TempPathFactory) -> GunicornServer:
    return GunicornServer(f"tests.e2e.apps.{name}", factory.mktemp("server"), worker_class=worker_class)


@pytest.fixture(scope="module")
def plain(worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    pytest.importorskip("starlette")
    with start("starlette_app:plain", worker_class, tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def wrapped(worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    pytest.importorskip("starlette")
    with start("starlette_app:wrapped", worker_class, tmp_path_factory) as running:
        yield running


@pytest.fixture(params=["plain", "wrapped", "mounted"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def starlette(request: pytest.FixtureRequest, kind: str) -> GunicornServer:
    return request.getfixturevalue("plain" if kind == "plain" else "wrapped")


@pytest.fixture
def prefix(kind: str) -> str:
    return "/sub" if kind == "mounted" else ""


@pytest.fixture(scope="module")
def fastapi(worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    pytest.importorskip("fastapi")
    with start("fastapi_app:app", worker_class, tmp_path_factory) as running:
        yield running


class TestStarlette:
    """Every route by itself, below BaseHTTPMiddleware and GZip, and there in a mounted sub-application."""

    def test_middleware_and_state(self, starlette: GunicornServer, prefix: str, kind: str) -> None:
        response = starlette.get(f"{prefix}/")
        assert response.text == "127.0.0.1 shared by all requests"
        assert response.header("x-middleware") == (None if kind == "plain" else "passed")

    @pytest.mark.parametrize("size", [0, 10, 2_000_000])
    def test_body(self, starlette: GunicornServer, prefix: str, size: int) -> None:
        with starlette.connect() as client:
            response = client.request("POST", f"{prefix}/echo", "Content-Type: text/x-mine", body=b"b" * size)
            assert response.body == b"b" * size
            assert response.header("content-type").startswith("text/x-mine")

    def test_streamed_body(self, starlette: GunicornServer, prefix: str) -> None:
        with starlette.connect() as client:
            head = f"POST {prefix}/pieces HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head.encode() + chunked(*[b"x" * 1000] * 300))
            assert client.read_response().json() == 300_000
            assert client.request("GET", f"{prefix}/").status == 200

    def test_streaming_response(self, starlette: GunicornServer, prefix: str) -> None:
        with starlette.connect() as client:
            response = client.request("GET", f"{prefix}/stream?count=100")
            assert response.text == "".join(f"{number}\n" for number in range(100))
            assert client.request("HEAD", f"{prefix}/stream").body == b""
            assert client.request("GET", f"{prefix}/").status == 200

    def test_an_endless_stream_ends_with_its_client(self, starlette: GunicornServer, prefix: str) -> None:
        before = sum(line.startswith("endless ended") for line in starlette.traced())
        with starlette.connect() as client:
            client.send(request_bytes("GET", f"{prefix}/endless"))
            client.read_until(b"again\n")
        wait_until(
            lambda: sum(line.startswith("endless ended") for line in starlette.traced()) == before + 1,
            message="the end of the generator",
        )

    def test_background_task_runs_after_the_response(self, starlette: GunicornServer, prefix: str) -> None:
        before = len(starlette.traced())
        with starlette.connect() as client:
            assert client.request("GET", f"{prefix}/background").text == "accepted"
            assert client.request("GET", f"{prefix}/").status == 200
        wait_until(lambda: len(starlette.traced()) > before, message="the background task")
        assert starlette.traced()[before].startswith("background task ran")

    def test_thread_pool(self, starlette: GunicornServer, prefix: str) -> None:
        assert starlette.get(f"{prefix}/blocking").json() == sum(range(1000))

    def test_file(self, starlette: GunicornServer, prefix: str) -> None:
        content = (Path(trace_module.__file__).parent / "starlette_app.py").read_bytes()
        response = starlette.get(f"{prefix}/file")
        assert response.header("content-length") == str(len(content))
        assert response.body == content
        part = starlette.get(f"{prefix}/file", "Range: bytes=10-19")
        assert (part.status, part.body) == (206, content[10:20])

    def test_static_files(self, starlette: GunicornServer, prefix: str) -> None:
        response = starlette.get(f"{prefix}/static/trace.py")
        assert response.body == Path(trace_module.__file__).read_bytes()
        unchanged = starlette.get(f"{prefix}/static/trace.py", f"If-None-Match: {response.header('etag')}")
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert starlette.get(f"{prefix}/static/none").status == 404
        with starlette.connect() as client:
            assert client.request("HEAD", f"{prefix}/static/trace.py").status == 200
            assert client.request("GET", f"{prefix}/").status == 200

    def test_gzip(self, wrapped: GunicornServer) -> None:
        response = wrapped.get("/stream?count=1000", "Accept-Encoding: gzip")
        assert response.header("content-encoding") == "gzip"
        assert gzip.decompress(response.body).count(b"\n") == 1000

    def test_exception(self, starlette: GunicornServer, prefix: str) -> None:
        before = starlette.log().count("RuntimeError: broken endpoint")
        response = starlette.get(f"{prefix}/broken")
        assert (response.status, response.text) == (500, "Internal Server Error")
        wait_until(lambda: starlette.log().count("RuntimeError: broken endpoint") > before, message="the traceback")

    def test_is_disconnected(self, plain: GunicornServer) -> None:
        """It asks ``receive`` inside a cancelled scope, so the disconnect has to be there without a wait.

        Not below BaseHTTPMiddleware, whose own wait in between is always cancelled first.
        """
        with plain.connect() as client:
            client.send(request_bytes("GET", "/disconnected"))
            plain.wait_trace("polling")
        plain.wait_trace("saw the disconnect")

    def test_upload_broken_off(self, starlette: GunicornServer, prefix: str) -> None:
        before = len(starlette.traced())
        with starlette.connect() as client:
            client.send(request_bytes("POST", f"{prefix}/pieces", body=b"x" * 1000)[:-1])
        wait_until(lambda: len(starlette.traced()) > before, message="ClientDisconnect in the endpoint")
        assert starlette.traced()[before].startswith("client disconnected")
        assert starlette.get(f"{prefix}/").status == 200
        assert "ClientDisconnect" not in starlette.log()

    def test_redirect_and_cookies(self, starlette: GunicornServer, prefix: str) -> None:
        assert starlette.get(f"{prefix}/redirect").header("location") == "/elsewhere"
        response = starlette.get(f"{prefix}/cookies", "Cookie: a=1; b=2")
        assert response.json() == {"a": "1", "b": "2"}
        assert [value.partition("=")[0] for value in response.all("set-cookie")] == ["first", "second"]

    def test_class_endpoint(self, starlette: GunicornServer, prefix: str) -> None:
        assert starlette.get(f"{prefix}/endpoint").text == f"{prefix}/endpoint"
        with starlette.connect() as client:
            assert client.request("DELETE", f"{prefix}/endpoint").status == 405

    def test_lifespan(self, worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        pytest.importorskip("starlette")
        with start("starlette_app:plain", worker_class, tmp_path_factory) as running:
            assert running.stop() == 0
            assert [line.split()[0] for line in running.traced()] == ["started", "stopped"]


class TestFastAPI:
    @staticmethod
    def post(fastapi: GunicornServer, target: str, document: object) -> Response:
        with fastapi.connect() as client:
            body = json.dumps(document).encode()
            return client.request("POST", target, "Content-Type: application/json", body=body)

    def test_root(self, fastapi: GunicornServer) -> None:
        assert fastapi.get("/").json()["pid"] in fastapi.worker_pids()

    def test_validation(self, fastapi: GunicornServer) -> None:
        assert self.post(fastapi, "/items", {"name": "a", "price": 1}).status == 201
        refused = self.post(fastapi, "/items", {"name": "a"})
        assert refused.status == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "price"]

    def test_handler_in_a_thread(self, fastapi: GunicornServer) -> None:
        assert fastapi.get("/threaded/12").json() == {"square": 144}
        assert fastapi.get("/threaded/twelve").status == 422

    @pytest.mark.parametrize(
        ("target", "body"),
        [("/session", '"session"'), ("/session-stream", "session 0\nsession 1\nsession 2\n")],
    )
    def test_dependency_is_closed(self, fastapi: GunicornServer, target: str, body: str) -> None:
        closed = sum(line.startswith("session closed") for line in fastapi.traced())
        assert fastapi.get(target).text == body
        wait_until(
            lambda: sum(line.startswith("session closed") for line in fastapi.traced()) == closed + 1,
            message="the end of the dependency",
        )

    def test_http_exception(self, fastapi: GunicornServer) -> None:
        response = fastapi.get("/teapot")
        assert (response.status, response.json()) == (418, {"detail": "short and stout"})

    def test_background_task(self, fastapi: GunicornServer) -> None:
        assert fastapi.get("/later").json() == "soon"
        fastapi.wait_trace("task ran")

    def test_context_variables_belong_to_one_request(self, fastapi: GunicornServer) -> None:
        with fastapi.connect() as client:
            client.send(b"".join(request_bytes("GET", f"/context/{name}") for name in "abcdefgh"))
            seen = [client.read_response().json() for _ in "abcdefgh"]
        assert seen == [["nobody", name] for name in "abcdefgh"]

    def test_url(self, fastapi: GunicornServer) -> None:
        with fastapi.connect() as client:
            assert client.request("GET", "/url?a=%20b", host="example.org:8443").json() == (
                "http://example.org:8443/url?a=%20b"
            )

    def test_openapi(self, fastapi: GunicornServer) -> None:
        assert "/items" in fastapi.get("/openapi.json").json()["paths"]
        assert fastapi.get("/docs").header("content-type") == "text/html; charset=utf-8"
