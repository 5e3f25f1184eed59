"""``root_path`` from the setting, SCRIPT_NAME and a proxy's field, as FastAPI's routes, mounts and openapi see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

APP = """
from fastapi import FastAPI, Request

def seen(request):
    scope = request.scope
    return {"root_path": scope["root_path"], "path": scope["path"], "raw_path": scope["raw_path"].decode(),
            "url": str(request.url), "items": str(request.app.url_path_for("items"))}

app = FastAPI()
sub = FastAPI()

@app.get("/items", name="items")
@sub.get("/items", name="items")
async def items(request: Request):
    return seen(request)

app.mount("/sub", sub)
"""


@pytest.fixture(autouse=True)
def _pronghorn_only(worker_class: str) -> None:
    pytest.importorskip("fastapi")
    if worker_class != "pronghorn.AsyncWorker":
        pytest.skip("other worker classes read root_path from fewer places")


def given(how: str) -> dict[str, Any]:
    if how == "option":
        return {"environment": {"PRONGHORN_ROOT_PATH": "/api"}}
    if how == "SCRIPT_NAME":
        return {"raw_env": ["SCRIPT_NAME=/api"]}
    return {}


@pytest.mark.parametrize("proxy", ["strips the prefix", "passes it on"])
@pytest.mark.parametrize("how", ["option", "SCRIPT_NAME", "field of a proxy"])
def test_routes_mounts_and_openapi(serve: Serve, how: str, proxy: str) -> None:
    server = serve(source=APP, **given(how))
    fields = ["SCRIPT_NAME: /api"] if how == "field of a proxy" else []
    prefix = "/api" if proxy == "passes it on" else ""

    def get(path: str) -> Any:
        response = server.get(prefix + path, *fields)
        assert response.status == 200, (path, response.text)
        return response.json()

    assert get("/items") == {
        "root_path": "/api",
        "path": "/api/items",
        "raw_path": f"{prefix}/items",
        "url": "http://test/api/items",
        "items": "/items",
    }
    sub = get("/sub/items")
    assert (sub["root_path"], sub["path"], sub["url"]) == ("/api/sub", "/api/sub/items", "http://test/api/sub/items")
    assert get("/openapi.json")["servers"] == [{"url": "/api"}]
    assert get("/sub/openapi.json")["servers"] == [{"url": "/api/sub"}]
    assert "/items" in get("/openapi.json")["paths"]
    assert "/api/openapi.json" in server.get(prefix + "/docs", *fields).text


def test_none_by_default(serve: Serve) -> None:
    server = serve(source=APP)
    assert server.get("/items").json()["root_path"] == ""
    assert "servers" not in server.get("/openapi.json").json()
    assert server.get("/sub/openapi.json").json()["servers"] == [{"url": "/sub"}]
    assert server.get("/api/items").status == 404


def test_a_client_that_is_no_proxy_has_no_say(serve: Serve) -> None:
    server = serve(source=APP, forwarded_allow_ips="192.0.2.1")
    assert server.get("/items", "SCRIPT_NAME: /api").json()["root_path"] == ""
