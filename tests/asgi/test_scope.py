"""``asgi/scope``: endpoints, templates and the scopes made from them."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.asgi.scope import SPEC_VERSION, Endpoint, Shared, endpoint_for, http_scope, under_root
from tests.asgi.doubles import in_loop, make_context
from tests.asgi.support import make_request

CLIENT = ("192.0.2.7", 50123)
SERVER = ("198.51.100.1", 8000)


@in_loop
async def test_a_scope() -> None:
    context = make_context(lambda *_: None)
    endpoint = endpoint_for(context, CLIENT, SERVER, "https")
    request = make_request("POST", b"/a%20b?c=d", [(b"host", b"x"), (b"x-a", b"1")], http_version="1.0")
    scope = http_scope(request, endpoint, context)
    extensions = scope.pop("extensions")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.0",
        "method": "POST",
        "scheme": "https",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=d",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-a", b"1")],
        "client": CLIENT,
        "server": SERVER,
    }
    assert all(value == {} for value in extensions.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda one: operator.setitem(one, "a", 1),
        lambda one: operator.delitem(one, "a"),
        lambda one: operator.ior(one, {"a": 1}),
        lambda one: one.update(a=1),
        lambda one: one.setdefault("a", 1),
        lambda one: one.pop("a", None),
        lambda one: one.popitem(),
        lambda one: one.clear(),
    ],
    ids=["setitem", "delitem", "ior", "update", "setdefault", "pop", "popitem", "clear"],
)
def test_what_scopes_share_cannot_be_written(change: Callable[[Any], Any]) -> None:
    shared = Shared(a=0)
    with pytest.raises(TypeError, match="read-only"):
        change(shared)
    assert shared == {"a": 0}


@pytest.mark.parametrize("shared", [Shared(), Shared(a=0)])
def test_what_scopes_share_is_a_dict_otherwise(shared: Shared) -> None:
    assert isinstance(shared, dict)
    assert json.loads(json.dumps(shared)) == shared
    for copied in (shared.copy(), copy.copy(shared), copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
        assert copied == dict(shared)
        assert type(copied) is dict, "a copy is the copier's own"
    assert shared | {"a": 1} == {"a": 1}


@in_loop
async def test_state_is_there_where_the_application_has_a_lifespan() -> None:
    context = make_context(lambda *_: None, state={"a": 1})
    endpoint = endpoint_for(context, CLIENT, SERVER, "http")
    first = http_scope(make_request(), endpoint, context)
    second = http_scope(make_request(), endpoint, context)
    assert first["state"] == second["state"] == {"a": 1}
    assert first["state"] is not second["state"]
    assert first["state"] is not context.state


@in_loop
async def test_an_empty_state_is_a_state() -> None:
    context = make_context(lambda *_: None, state={})
    scope = http_scope(make_request(), endpoint_for(context, CLIENT, SERVER, "http"), context)
    assert scope["state"] == {}


@in_loop
async def test_connections_share_a_template_by_server_and_scheme() -> None:
    context = make_context(lambda *_: None)
    first = endpoint_for(context, CLIENT, SERVER, "http")
    second = endpoint_for(context, ("192.0.2.8", 1), SERVER, "http")
    assert first.template is second.template
    assert endpoint_for(context, CLIENT, SERVER, "https").template is not first.template
    assert endpoint_for(context, CLIENT, ("::1", 1), "http").template is not first.template
    assert len(context.templates) == 3
    assert http_scope(make_request(), second, context)["client"] == ("192.0.2.8", 1)
    assert http_scope(make_request(), first, context)["client"] == CLIENT


@in_loop
async def test_a_scope_has_all_that_its_template_has() -> None:
    """So that copying it never grows, and no key is left at the template's value by mistake."""
    context = make_context(lambda *_: None)
    endpoint = endpoint_for(context, CLIENT, SERVER, "http")
    marked = {key: f"unset {key}" for key in endpoint.template if key not in ("type", "scheme", "root_path", "server")}
    endpoint.template.update(marked | {"asgi": {}, "extensions": {}})
    request = make_request("POST", b"/x?y=z")
    request.http_version = "1.0"
    scope = http_scope(request, endpoint, context)
    assert [key for key, value in scope.items() if value == f"unset {key}"] == []


@pytest.mark.parametrize("trusted", [True, False])
@in_loop
async def test_trust_is_judged_once_a_connection(trusted: bool) -> None:
    asked: list[Any] = []

    def is_trusted(client: Any) -> bool:
        asked.append(client)
        return trusted

    context = make_context(lambda *_: None, is_trusted=is_trusted)
    endpoint = endpoint_for(context, CLIENT, SERVER, "http")
    http_scope(make_request(), endpoint, context)
    assert endpoint.trusted is trusted
    assert asked == [CLIENT]


@in_loop
async def test_nobody_is_trusted_by_default() -> None:
    assert not endpoint_for(make_context(lambda *_: None), None, ("/socket", None), "http").trusted


def test_an_endpoint_is_what_it_was_given() -> None:
    template: dict[str, Any] = {}
    endpoint = Endpoint(CLIENT, "http", template, True)
    assert (endpoint.client, endpoint.scheme, endpoint.trusted) == (CLIENT, "http", True)
    assert endpoint.template is template


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/", "/app", "/app/"),
        ("/a", "/app", "/app/a"),
        ("/app", "/app", "/app"),
        ("/app/", "/app", "/app/"),
        ("/app/a", "/app", "/app/a"),
        ("/application", "/app", "/app/application"),
        ("/a/app", "/app", "/app/a/app"),
        ("/a", "/one/two", "/one/two/a"),
        ("/one", "/one/two", "/one/two/one"),
        ("/one/two/a", "/one/two", "/one/two/a"),
        ("*", "/app", "*"),
    ],
)
def test_under_root(path: str, root_path: str, expected: str) -> None:
    assert under_root(path, root_path) == expected
