"""A request, its response and its environment in the shapes of Gunicorn's WSGI workers.

Any ``logger_class`` and any ``pre_request`` or ``post_request`` hook written for those finds here what it reads:
``req`` and ``resp`` are ordinary objects that take further attributes, ``environ`` is a dict (PEP 3333, RFC 3875).
Each value is made when it is first looked at, for most are never looked at. Knows nothing of loggers and of Gunicorn's
configuration.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from gunicorn import SERVER_SOFTWARE

from pronghorn.asgi.app_task import CLIENT_CLOSED_REQUEST
from pronghorn.asgi.scope import Endpoint
from pronghorn.environ import cgi_environ, peer_of
from pronghorn.wire.escaping import in_one_line
from pronghorn.wire.http1_target import decoded
from pronghorn.wire.http1_writer import status_line
from pronghorn.wire.request import Request
from pronghorn.wire.response import check_field

_SWITCHING_PROTOCOLS = 101


class _Lazy:
    """An attribute that is computed when first read, and from then on an ordinary one."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class LoggedRequest:
    """``req``. All attributes can be set; what ``pre_request`` changes is taken over by ``apply_edits``."""

    #: The content is the application's to read; a hook that reads finds none.
    body = _Lazy(lambda self: io.BytesIO())
    trailers = _Lazy(lambda self: [])
    fragment = ""
    proxy_protocol_info: dict[str, Any] | None = None
    must_close = False

    def __init__(self, request: Request, endpoint: Endpoint) -> None:
        self._request = request
        self._endpoint = endpoint
        self._original_headers: list[tuple[str, str]] | None = None

    @_Lazy
    def method(self) -> str:
        return self._request.method

    @_Lazy
    def uri(self) -> str:
        """The target as received."""
        return self._request.target.decode("latin-1")

    @_Lazy
    def path(self) -> str:
        """The path, percent-encoded as received."""
        return self._request.raw_path.decode("latin-1")

    @_Lazy
    def query(self) -> str:
        return self._request.query_string.decode("latin-1")

    @_Lazy
    def version(self) -> tuple[int, int]:
        major, _, minor = self._request.http_version.partition(".")
        return int(major), int(minor or 0)

    @_Lazy
    def scheme(self) -> str:
        return self._endpoint.scheme

    @_Lazy
    def headers(self) -> list[tuple[str, str]]:
        """The fields as (UPPER-CASE NAME, value), in the order received."""
        headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in self._request.headers]
        self._original_headers = headers.copy()
        return headers

    @_Lazy
    def peer_addr(self) -> tuple[str, int]:
        """(host, port) of who opened the connection; ("", -1) on a unix socket."""
        return peer_of(self._endpoint) or ("", -1)

    @_Lazy
    def remote_addr(self) -> tuple[str, int]:
        return peer_of(self._endpoint) or ("", -1)

    def should_close(self) -> bool:
        """Whether the connection ends with this request."""
        return self.must_close or not self._request.keep_alive

    def force_close(self) -> None:
        """End the connection with this request."""
        self.must_close = True
        self._request.keep_alive = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.uri!r:.200}>"


def apply_edits(req: LoggedRequest, exchange: Any) -> None:
    """Take over into ``exchange`` what a hook changed of ``req``, as a WSGI worker's environ would show it.

    Raises TypeError and ValueError for what no request can hold.
    """
    request = req._request
    endpoint = req._endpoint
    seen = vars(req)
    if "headers" in seen and seen["headers"] != req._original_headers:
        request.headers = [_field(name, value) for name, value in seen["headers"]]
    if "scheme" in seen and seen["scheme"] != endpoint.scheme:
        scheme = str(seen["scheme"])
        exchange.endpoint = endpoint.changed(endpoint.client, scheme, {**endpoint.template, "scheme": scheme})
        req._endpoint = exchange.endpoint
    if "method" in seen and seen["method"] != request.method:
        check_field(seen["method"].encode("latin-1"), b"")
        request.method = seen["method"]
    if "uri" in seen:
        request.target = seen["uri"].encode("latin-1")
    if "query" in seen:
        request.query_string = seen["query"].encode("latin-1")
    if "path" in seen:
        raw_path = seen["path"].encode("latin-1")
        if raw_path != request.raw_path:
            request.raw_path = raw_path
            request.path = decoded(raw_path)


def _field(name: str, value: Any) -> tuple[bytes, bytes]:
    field = name.lower().encode("latin-1"), str(value).encode("latin-1")
    check_field(*field)
    return field


class LoggedResponse:
    """``resp``: what became of the response, once it has ended."""

    must_close = False
    headers_sent = True
    version = SERVER_SOFTWARE

    def __init__(self, exchange: Any) -> None:
        self.status_code: int = exchange.status
        #: Bytes of content that were handed over, framing not counted.
        self.sent: int = exchange.stream.sent
        self._request = exchange.request
        self._response = exchange.response

    @_Lazy
    def status(self) -> str:
        """Code and reason phrase, like "200 OK"."""
        return status_text(self.status_code)

    @_Lazy
    def headers(self) -> list[tuple[str, str]]:
        """The fields that the application gave, (name, value)."""
        response = self._response
        if response is None:
            return []
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        if response.content_length >= 0:
            headers.append(("content-length", str(response.content_length)))
        return headers

    @_Lazy
    def response_length(self) -> int | None:
        """What the application declared as Content-Length."""
        return None if self._response is None or self._response.content_length < 0 else self._response.content_length

    @_Lazy
    def chunked(self) -> bool:
        if self._response is None or self.response_length is not None or self._request.http_version != "1.1":
            return False
        return not self._response.has_no_content and self._request.method != "HEAD"

    @_Lazy
    def upgrade(self) -> bool:
        return self.status_code == _SWITCHING_PROTOCOLS

    def should_close(self) -> bool:
        """Whether the connection was to end with this response."""
        return self.must_close or not self._request.keep_alive or (self._response is not None and self._response.close)

    def force_close(self) -> None:
        """Too late to have an effect; loggers see it."""
        self.must_close = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


def status_text(status: int) -> str:
    """Return the status as the client reads it, without the protocol's version: "404 Not Found"."""
    if status == CLIENT_CLOSED_REQUEST:
        return f"{status} Client Closed Request"  # no client has read this one
    return status_line(status)[9:].decode("latin-1").rstrip()


#: Of ``environ``: who the client is, as the application is told (``scope["client"]``).
CLIENT_VARIABLE = "asgi.client"


def client_of(endpoint: Endpoint) -> str:
    """The address of the client, be it that a trusted proxy told it; "-" where there is none."""
    client = endpoint.client
    return "-" if client is None else client[0]


class Environ(dict[str, Any]):
    """``environ``: a dict that fills itself when it is first touched.

    It holds what a WSGI worker's has but for the streams; control characters of the path are escaped, for loggers write
    it. Under their own names it holds the entries of the scope's ``state``: what an application notes there
    (``request.state.user = ...`` in Starlette) can stand in a log line, ``%({user}e)s``.
    It also holds ``asgi.client``, the address of the client as the application is told, which a trusted proxy may have
    told us. Of a WebSocket it holds ``websocket.close_code``, an int (RFC 6455 section 7.4).
    """

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Any = None) -> None:
        # C code that measures a dict without asking it (json does) must not find an empty one: this one is true of all.
        super().__setitem__("wsgi.version", (1, 0))
        self._exchange: Any = exchange

    def _fill(self) -> None:
        exchange, self._exchange = self._exchange, None
        environ = cgi_environ(exchange.request, exchange.endpoint)
        environ["PATH_INFO"] = in_one_line(environ["PATH_INFO"])
        super().update(environ)
        super().__setitem__(CLIENT_VARIABLE, client_of(exchange.endpoint))
        close_code = getattr(exchange, "close_code", 0)
        if close_code and exchange.status == _SWITCHING_PROTOCOLS:
            super().__setitem__("websocket.close_code", close_code)
        scope = exchange.scope
        state = scope.get("state") if type(scope) is dict else None
        if isinstance(state, dict):
            for key, value in state.items():
                if isinstance(key, str) and key.upper() not in _keys(self):
                    super().__setitem__(key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)


_keys = dict.keys


def _filled(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def call(self: Environ, *args: Any, **kwargs: Any) -> Any:
        if self._exchange is not None:
            self._fill()
        return method(self, *args, **kwargs)

    call.__name__ = name
    call.__qualname__ = f"Environ.{name}"
    call.__doc__ = method.__doc__
    return call


# Overriding __iter__ also makes dict(environ) and {**environ} ask keys() instead of looking inside.
for _name in (
    "__contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ __ror__ "
    "__setitem__ clear copy get items keys pop popitem setdefault update values"
).split():
    setattr(Environ, _name, _filled(_name))
