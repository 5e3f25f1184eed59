"""What loggers and hooks hold in their hands: lazily made, settable, and a real dict."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from pronghorn.environ import cgi_environ
from pronghorn.logged import Environ, LoggedRequest, LoggedResponse, apply_edits, status_text
from pronghorn.wire.response import Response
from tests.support.finished import FinishedExchange, make_endpoint, make_request


def exchange(**fields: Any) -> FinishedExchange:
    request = make_request("GET", b"/a%20b?x=1", [(b"host", b"h"), (b"x-test", b"1")])
    return FinishedExchange(request, make_endpoint(), **fields)


class TestRequest:
    def test_attributes_can_be_set(self) -> None:
        req = LoggedRequest(exchange().request, make_endpoint())
        req.start_time = 12.5  # type: ignore[attr-defined]
        req.method = "OTHER"
        assert (req.start_time, req.method, req.body.read()) == (12.5, "OTHER", b"")  # type: ignore[attr-defined]

    def test_headers_are_one_list(self) -> None:
        req = LoggedRequest(exchange().request, make_endpoint())
        req.headers.append(("X-BUSY", "3"))
        assert req.headers == [("HOST", "h"), ("X-TEST", "1"), ("X-BUSY", "3")]

    def test_unix_peer(self) -> None:
        assert LoggedRequest(exchange().request, make_endpoint(client=None)).remote_addr == ("", -1)

    def test_force_close(self) -> None:
        request = exchange().request
        req = LoggedRequest(request, make_endpoint())
        assert not req.should_close()
        req.force_close()
        assert req.should_close()
        assert req.must_close
        assert not request.keep_alive

    def test_repr(self) -> None:
        assert repr(LoggedRequest(exchange().request, make_endpoint())) == "<LoggedRequest GET '/a%20b?x=1'>"


class TestEdits:
    def edited(self, edit: Any) -> FinishedExchange:
        one = exchange()
        req = LoggedRequest(one.request, one.endpoint)
        edit(req)
        apply_edits(req, one)
        return one

    def test_nothing_touched(self) -> None:
        one = exchange()
        headers, endpoint = one.request.headers, one.endpoint
        apply_edits(LoggedRequest(one.request, one.endpoint), one)
        assert one.request.headers is headers
        assert one.endpoint is endpoint

    def test_only_read(self) -> None:
        one = exchange()
        headers, endpoint = one.request.headers, one.endpoint
        req = LoggedRequest(one.request, one.endpoint)
        assert all((req.headers, req.scheme, req.path, req.query, req.uri, req.method))
        apply_edits(req, one)
        assert one.request.headers is headers
        assert one.endpoint is endpoint
        assert (one.request.path, one.request.target) == ("/a b", b"/a%20b?x=1")

    def test_headers_appended(self) -> None:
        one = self.edited(lambda req: req.headers.append(("X-Busy", "3")))
        assert one.request.headers == [(b"host", b"h"), (b"x-test", b"1"), (b"x-busy", b"3")]

    def test_headers_replaced(self) -> None:
        one = self.edited(lambda req: setattr(req, "headers", [("A", "caf\u00e9"), ("B", 7)]))
        assert one.request.headers == [(b"a", b"caf\xe9"), (b"b", b"7")]

    def test_a_header_changed_in_place(self) -> None:
        one = self.edited(lambda req: req.headers.__setitem__(0, ("HOST", "other")))
        assert one.request.headers[0] == (b"host", b"other")

    @pytest.mark.parametrize(
        "field", [("X Y", "1"), ("", "1"), ("X", "a\r\nY: b"), ("X", "\0"), ("X:", "1"), ("X", "\u20ac"), ("X",), 5]
    )
    def test_headers_that_are_none(self, field: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            self.edited(lambda req: req.headers.append(field))

    def test_scheme(self) -> None:
        one = self.edited(lambda req: setattr(req, "scheme", "https"))
        assert (one.endpoint.scheme, one.endpoint.template["scheme"]) == ("https", "https")
        assert one.endpoint.client == ("127.0.0.1", 50000)
        assert cgi_environ(one.request, one.endpoint)["wsgi.url_scheme"] == "https"

    def test_scheme_of_one_request_only(self) -> None:
        one = exchange()
        endpoint = one.endpoint
        req = LoggedRequest(one.request, endpoint)
        req.scheme = "https"
        apply_edits(req, one)
        assert (endpoint.scheme, endpoint.template["scheme"]) == ("http", "http")

    def test_target(self) -> None:
        def edit(req: Any) -> None:
            req.method = "PUT"
            req.path = "/new%20path"
            req.query = "b=2"
            req.uri = "/elsewhere"

        request = self.edited(edit).request
        assert (request.method, request.raw_path, request.path) == ("PUT", b"/new%20path", "/new path")
        assert (request.query_string, request.target) == (b"b=2", b"/elsewhere")

    def test_a_method_that_is_none(self) -> None:
        with pytest.raises(ValueError):
            self.edited(lambda req: setattr(req, "method", "A B"))


class TestResponse:
    def test_of_an_application(self) -> None:
        response = Response(
            404, [(b"Content-Type", b"text/plain"), (b"content-length", b"5"), (b"connection", b"close")]
        )
        resp = LoggedResponse(exchange(response=response, status=404, sent=5))
        assert (resp.status, resp.status_code, resp.sent, resp.response_length) == ("404 Not Found", 404, 5, 5)
        assert resp.headers == [("Content-Type", "text/plain"), ("content-length", "5")]
        assert (resp.chunked, resp.upgrade, resp.headers_sent, resp.should_close()) == (False, False, True, True)

    def test_without_length(self) -> None:
        resp = LoggedResponse(exchange(response=Response(200, [])))
        assert (resp.response_length, resp.chunked, resp.should_close()) == (None, True, False)

    def test_without_content(self) -> None:
        assert not LoggedResponse(exchange(response=Response(204, []), status=204)).chunked

    def test_none(self) -> None:
        resp = LoggedResponse(exchange(status=499))
        assert (resp.status, resp.headers, resp.response_length, resp.chunked) == (
            "499 Client Closed Request",
            [],
            None,
            False,
        )

    def test_attributes_can_be_set(self) -> None:
        resp = LoggedResponse(exchange())
        resp.status = "200 Fine"
        resp.note = 1  # type: ignore[attr-defined]
        resp.force_close()
        assert (resp.status, resp.should_close(), repr(resp)) == ("200 Fine", True, "<LoggedResponse 200 Fine>")

    @pytest.mark.parametrize(
        ("status", "text"), [(200, "200 OK"), (101, "101 Switching Protocols"), (599, "599"), (999, "999")]
    )
    def test_status(self, status: int, text: str) -> None:
        assert status_text(status) == text
        assert LoggedResponse(exchange(status=status)).upgrade == (status == 101)


OPERATIONS = {
    "item": lambda d: d["PATH_INFO"],
    "get": lambda d: (d.get("PATH_INFO"), d.get("NOPE", 1)),
    "in": lambda d: ("PATH_INFO" in d, "NOPE" in d),
    "iter": lambda d: list(d),
    "reversed": lambda d: list(reversed(d)),
    "len": len,
    "bool": bool,
    "keys": lambda d: list(d.keys()),
    "values": lambda d: list(d.values()),
    "items": lambda d: list(d.items()),
    "dict": dict,
    "unpacked": lambda d: {**d},
    "copy": lambda d: d.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "repr": repr,
    "equal": lambda d: (d == {}, d != {}, dict(d) == d),
    "or": lambda d: d | {"A": 1},
    "ror": lambda d: {"A": 1} | d,
    "update another": lambda d: _after(dict.update, {}, d),
    "setdefault": lambda d: (d.setdefault("PATH_INFO", 1), d.setdefault("A", 1), d["A"]),
    "pop": lambda d: (d.pop("PATH_INFO"), d.pop("PATH_INFO", None), len(d)),
    "popitem": lambda d: (d.popitem(), len(d)),
    "update": lambda d: (d.update(A=1), dict(d)),
    "ior": lambda d: (d.__ior__({"A": 1}), len(d))[1],
    "clear": lambda d: (d.clear(), len(d)),
    "format": lambda d: "%(PATH_INFO)s" % d,  # noqa: UP031 - what loggers do
    "format_map": lambda d: "{PATH_INFO}".format_map(d),
    "json": lambda d: json.loads(json.dumps(d)),
    "sorted": sorted,
}


def _after(method: Any, target: Any, *args: Any) -> Any:
    method(target, *args)
    return target


class TestEnviron:
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_it_is_a_dict_from_the_first_touch(self, name: str) -> None:
        one = exchange()
        plain = {**cgi_environ(one.request, one.endpoint), "asgi.client": "127.0.0.1"}
        assert OPERATIONS[name](Environ(one)) == OPERATIONS[name](plain)

    def test_set_and_delete(self) -> None:
        environ = Environ(exchange())
        environ["A"] = 1
        assert environ["REQUEST_METHOD"] == "GET"
        del environ["A"]
        assert "A" not in environ
        with pytest.raises(KeyError):
            environ["A"]

    def test_not_made_before_it_is_touched(self) -> None:
        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise LookupError(name)

        environ = Environ(Broken())
        assert isinstance(environ, dict)
        with pytest.raises(LookupError):
            len(environ)

    def test_made_once(self) -> None:
        one = exchange()
        environ = Environ(one)
        environ["PATH_INFO"] = "changed"
        one.request.method = "LATER"
        assert (environ["PATH_INFO"], environ["REQUEST_METHOD"]) == ("changed", "GET")

    def test_what_the_application_noted(self) -> None:
        state = {"user_id": "ada", "REMOTE_ADDR": "forged", "path_info": "forged", 5: "no name"}
        environ = Environ(exchange(scope={"type": "http", "state": state}))
        assert environ["user_id"] == "ada"
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert "path_info" not in environ
        assert 5 not in environ

    @pytest.mark.parametrize("scope", [None, {}, {"state": None}, {"state": "odd"}])
    def test_no_state(self, scope: Any) -> None:
        assert Environ(exchange(scope=scope))["REQUEST_METHOD"] == "GET"
