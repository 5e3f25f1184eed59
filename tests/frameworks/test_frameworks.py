"""Real frameworks under ``gunicorn -k pronghorn.AsyncWorker``: what is common, then what each leans on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import Response, chunked, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

APPS = Path(__file__).parent / "apps"
#: Those with the common routes.
COMMON = ["starlette", "fastapi", "django", "quart", "litestar", "falcon", "blacksheep"]
ALL = [*COMMON, "sse", "graphql"]

Servers = dict[str, GunicornServer]


def post(server: GunicornServer, target: str, body: bytes, *fields: str) -> Response:
    with server.connect() as client:
        return client.request("POST", target, *fields, body=body)


def post_json(server: GunicornServer, target: str, document: object) -> Any:
    return post(server, target, json.dumps(document).encode(), "Content-Type: application/json").json()


def traced(server: GunicornServer, line: str) -> int:
    return sum(entry.startswith(line) for entry in server.traced())


# -- what is common -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.route("", "GET /")
def test_json(servers: Servers, framework: str) -> None:
    response = servers[framework].get("/")
    assert response.status == 200
    assert framework in response.json()["framework"]


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "query")
def test_query(servers: Servers, framework: str) -> None:
    assert servers[framework].get("/query?name=na%C3%AFve+%26").body.decode() == "naïve &"


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "content of 1 MB")
def test_echo(servers: Servers, framework: str) -> None:
    body = bytes(range(256)) * 4096
    response = post(servers[framework], "/echo", body, "Content-Type: application/x-mine")
    assert response.body == body
    assert (response.header("content-type") or "").startswith("application/x-mine")


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "chunked upload")
def test_streamed_upload(servers: Servers, framework: str) -> None:
    with servers[framework].connect() as client:
        head = "POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
        client.send(head.encode() + chunked(*[b"x" * 1000] * 300))
        assert client.read_response().text == "300000"
        assert client.request("GET", "/").status == 200


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "streaming response")
def test_streaming_response(servers: Servers, framework: str) -> None:
    with servers[framework].connect() as client:
        assert client.request("GET", "/stream").text == "0\n1\n2\n"
        assert client.request("GET", "/").status == 200


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "pipelining")
def test_pipelined(servers: Servers, framework: str) -> None:
    with servers[framework].connect() as client:
        client.send(b"".join(request_bytes("GET", f"/query?name={name}") for name in "abcdef"))
        assert [client.read_response().text for _ in "abcdef"] == [*"abcdef"]


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.route("", "404")
def test_not_found(servers: Servers, framework: str) -> None:
    assert servers[framework].get("/nowhere").status == 404


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "exception")
def test_exception(servers: Servers, framework: str) -> None:
    server = servers[framework]
    assert server.get("/broken").status == 500
    wait_until(lambda: "RuntimeError: broken on purpose" in server.log(), message="the traceback")
    assert server.get("/").status == 200


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "upload broken off")
def test_upload_broken_off(servers: Servers, framework: str) -> None:
    """A client that leaves is no error: nothing is logged by the server, and the next client is served."""
    server = servers[framework]
    before = server.log().count("Exception in ASGI application")
    for _ in range(3):
        with server.connect() as client:
            client.send(request_bytes("POST", "/upload", "Content-Type: a/b", body=b"x" * 100_000)[:-1])
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert server.log().count("Exception in ASGI application") == before
    servers.pop(framework, None)


@pytest.mark.parametrize("framework", COMMON)
@pytest.mark.route("", "lifespan")
def test_start_and_stop(servers: Servers, framework: str) -> None:
    server = servers[framework]
    if framework == "django":
        assert server.get("/").status == 200
        return  # has no lifespan: it is served all the same
    assert (traced(server, "started"), traced(server, "stopped")) == (1, 0)
    assert server.stop() == 0
    assert (traced(server, "started"), traced(server, "stopped")) == (1, 1)
    servers.pop(framework)


# -- Starlette ------------------------------------------------------------------------------------------------------


@pytest.mark.route("starlette", "SessionMiddleware")
def test_starlette_session(servers: Servers) -> None:
    first = servers["starlette"].get("/session")
    cookie = (first.header("set-cookie") or "").partition(";")[0]
    again = servers["starlette"].get("/session", f"Cookie: {cookie}")
    assert (first.json(), again.json()) == (1, 2)


@pytest.mark.route("starlette", "BackgroundTasks")
def test_starlette_background_tasks(servers: Servers) -> None:
    assert servers["starlette"].get("/background").text == "accepted"
    servers["starlette"].wait_trace("second task")
    assert traced(servers["starlette"], "first task") == 1


@pytest.mark.route("starlette", "GZipMiddleware, BaseHTTPMiddleware")
def test_starlette_middleware(servers: Servers) -> None:
    response = servers["starlette"].get("/text", "Accept-Encoding: gzip")
    assert response.header("content-encoding") == "gzip"
    assert gzip.decompress(response.body) == b"compressible " * 1000
    assert response.header("x-middleware") == "passed"


@pytest.mark.route("starlette", "FileResponse, StaticFiles")
def test_starlette_files(servers: Servers) -> None:
    content = (APPS / "starlette_app.py").read_bytes()
    whole = servers["starlette"].get("/file")
    assert (whole.body, whole.header("content-length")) == (content, str(len(content)))
    part = servers["starlette"].get("/file", "Range: bytes=10-19")
    assert (part.status, part.body) == (206, content[10:20])
    static = servers["starlette"].get("/static/starlette_app.py")
    assert static.body == content
    unchanged = servers["starlette"].get("/static/starlette_app.py", f"If-None-Match: {static.header('etag')}")
    assert (unchanged.status, unchanged.body) == (304, b"")
    with servers["starlette"].connect() as client:
        assert client.request("HEAD", "/static/starlette_app.py").header("content-length") == str(len(content))
        assert client.request("GET", "/").status == 200


# -- FastAPI --------------------------------------------------------------------------------------------------------


@pytest.mark.route("fastapi", "validation, dependency")
def test_fastapi_validation_and_dependency(servers: Servers) -> None:
    server = servers["fastapi"]
    before = traced(server, "connection closed")
    assert post_json(server, "/items", {"name": "a", "price": 1}) == {"name": "a", "price": 1.0}
    assert post_json(server, "/items", {"name": "a"})["detail"][0]["loc"] == ["body", "price"]
    wait_until(lambda: traced(server, "connection closed") > before, message="the end of the dependency")
    assert "/items" in server.get("/openapi.json").json()["paths"]


@pytest.mark.route("fastapi", "multipart form")
def test_fastapi_form(servers: Servers) -> None:
    parts = ['--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nfawn\r\n']
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    parts += ["x" * 200_000, "\r\n--b--\r\n"]
    kind = "Content-Type: multipart/form-data; boundary=b"
    response = post(servers["fastapi"], "/form", "".join(parts).encode(), kind)
    assert response.json() == {"name": "fawn", "size": 200_000}


@pytest.mark.route("fastapi", "mounted sub-application, Flask mounted through a2wsgi")
def test_fastapi_mounts(servers: Servers) -> None:
    assert servers["fastapi"].get("/sub/where").json() == {"root_path": "/sub", "url": "http://test/sub/where"}
    assert post(servers["fastapi"], "/flask/where", b"12345").json() == {"root_path": "/flask", "size": 5}


# -- Django ---------------------------------------------------------------------------------------------------------


@pytest.mark.route("django", "ORM on SQLite, transaction")
def test_django_database(servers: Servers) -> None:
    server = servers["django"]
    assert server.get("/notes").json() == []
    assert post(server, "/notes", b"first").json() == ["first"]
    assert post(server, "/notes", "второй".encode()).json() == ["first", "второй"]
    assert server.get("/rolled-back").json() == 0
    assert server.get("/notes").json() == ["first", "второй"]


@pytest.mark.route("django", "session")
def test_django_session(servers: Servers) -> None:
    first = servers["django"].get("/session")
    cookie = (first.header("set-cookie") or "").partition(";")[0]
    assert (first.json(), servers["django"].get("/session", f"Cookie: {cookie}").json()) == (1, 2)


@pytest.mark.parametrize("framework", ["django", "quart", "litestar"])
@pytest.mark.route("", "file")
def test_file(servers: Servers, framework: str) -> None:
    assert servers[framework].get("/file").body == (APPS / f"{framework}_app.py").read_bytes()


@pytest.mark.route("quart", "session")
def test_quart_session(servers: Servers) -> None:
    first = servers["quart"].get("/session")
    cookie = (first.header("set-cookie") or "").partition(";")[0]
    assert (first.json(), servers["quart"].get("/session", f"Cookie: {cookie}").json()) == (1, 2)


# -- server-sent events ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["litestar", "falcon", "sse"])
@pytest.mark.route("", "server-sent events")
def test_events(servers: Servers, framework: str) -> None:
    response = servers[framework].get("/events")
    assert (response.header("content-type") or "").startswith("text/event-stream")
    assert [line for line in response.text.splitlines() if line.startswith("data")] == ["data: 0", "data: 1", "data: 2"]


@pytest.mark.route("sse", "events that end with their client, pings")
def test_endless_events(servers: Servers) -> None:
    with servers["sse"].connect() as client:
        client.send(request_bytes("GET", "/endless"))
        client.read_until(b"data: tick")
        client.read_until(b": ping")
    servers["sse"].wait_trace("ticks ended")
    assert "Exception in ASGI application" not in servers["sse"].log()


@pytest.mark.route("sse", "events that end with the worker")
def test_endless_events_end_with_the_worker(servers: Servers) -> None:
    server = servers["sse"]
    with server.connect() as client:
        client.send(request_bytes("GET", "/endless"))
        client.read_until(b"data: tick")
        assert server.stop() == 0
    assert "Exception in ASGI application" not in server.log()
    servers.pop("sse")


# -- GraphQL --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/strawberry/", "/ariadne/"])
@pytest.mark.route("graphql", "queries with variables, errors")
def test_graphql(servers: Servers, path: str) -> None:
    query = {"query": "query ($name: String!) { greeting(name: $name) }", "variables": {"name": "fawn"}}
    assert post_json(servers["graphql"], path, query) == {"data": {"greeting": "Hello fawn"}}
    assert post_json(servers["graphql"], path, {"query": "{ nothing }"})["errors"]


@pytest.mark.route("graphql", "mutation")
def test_graphql_mutation(servers: Servers) -> None:
    added = post_json(servers["graphql"], "/strawberry/", {"query": 'mutation { add(name: "a") }'})
    assert added == {"data": {"add": ["a"]}}
    assert post_json(servers["graphql"], "/strawberry/", {"query": "{ names }"}) == {"data": {"names": ["a"]}}
