"""The HTTP connection scope (ASGI HTTP 2.5), built by copying a template and filling in what each request brings.

Owns the keys and their types; knows nothing of sockets. A scope shares nothing with another one that can be written,
for middleware writes to scopes.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pronghorn.asgi.context import Context
from pronghorn.wire.errors import printable
from pronghorn.wire.forwarded import with_host
from pronghorn.wire.proxy_protocol import Address, ProxyHeader
from pronghorn.wire.request import GET, Request

#: The version of the HTTP and WebSocket message formats that is spoken in full.
SPEC_VERSION = "2.5"

Scope = dict[str, Any]

#: The very object that a request has by default.
_HTTP_1_1 = Request().http_version


class Endpoint:
    """What the requests of one connection have in common: who speaks to which of our addresses, and how.

    ``client``: (host, port) or None · ``peer``: the client, whatever a proxy's fields say of another · ``server``:
    (host, port), or (path, None) for a unix socket, or None · ``scheme``: "http" or "https" · ``trusted``: whether the
    client may speak for others (a proxy) · ``template``: the scope but for the request's own keys; connections that
    differ only in ``client`` share one · ``tls``: the ASGI TLS extension, None without TLS.
    """

    __slots__ = ("client", "peer", "scheme", "template", "tls", "trusted")

    def __init__(self, client: tuple[str, int] | None, scheme: str, template: Scope, trusted: bool) -> None:
        self.client = client
        self.peer = client
        self.scheme = scheme
        self.template = template
        self.trusted = trusted
        self.tls: dict[str, Any] | None = None

    def changed(self, client: tuple[str, int] | None, scheme: str, template: Scope) -> Endpoint:
        """Return this endpoint as it is for one request."""
        endpoint = Endpoint(client, scheme, template, self.trusted)
        endpoint.peer = self.peer
        endpoint.tls = self.tls
        return endpoint


def address_of(endpoint: Endpoint) -> str:
    """The client as it stands in a log line."""
    return named(endpoint.client, endpoint)


def named(client: tuple[str, int] | None, endpoint: Endpoint) -> str:
    """``client`` of a connection as it stands in a log line: its address, or the unix socket that it came through."""
    if client is not None:
        return client[0]
    server = endpoint.template["server"]
    if server is None or server[1] is not None:
        return "unknown"
    return f"unix:{printable(server[0], _MOST_SHOWN)}"


#: Characters of a socket's path in a log line.
_MOST_SHOWN = 108


#: Templates that are kept. A PROXY header can tell any address as ours.
_MOST_TEMPLATES = 64


def endpoint_for(
    context: Context,
    client: tuple[str, int] | None,
    server: tuple[str, int | None] | None,
    scheme: str,
    header: ProxyHeader | None = None,
    peer: Address = None,
) -> Endpoint:
    """Return the ``Endpoint`` of a new connection.

    ``client``: None for a peer without an address (unix sockets), or whose address is not known · ``server``: the
    address it connected to · ``header``: what a PROXY header told of both. Trust is then in the source it tells, for
    that one speaks HTTP; one that it cannot tell, and one that reached the proxy through a unix socket, is not
    trusted · ``peer``: text where the client came through a unix socket of ours.
    """
    trusted = context.is_trusted(peer if client is None else client)
    if header is not None and header.family != "LOCAL":
        source, destination = header.source, header.destination
        if isinstance(source, tuple) and isinstance(destination, tuple):
            client, server, trusted = source, destination, context.is_trusted(source)
        else:
            trusted = False
            if isinstance(destination, str):
                client, server = None, (destination, None)
        if header.tls:
            scheme = "https"
    return Endpoint(client, scheme, _template_for(context, server, scheme), trusted)


def endpoint_of(request: Request, endpoint: Endpoint, context: Context) -> Endpoint:
    """Return what ``endpoint``, a trusted one, says of itself in ``request``, and put a forwarded Host in its place.

    Raises ProtocolError.
    """
    forwarder = context.forwarded
    said = None if forwarder is None else forwarder.read(request.headers, endpoint.scheme)
    if said is None:
        return endpoint
    if said.host is not None:
        request.headers = with_host(request.headers, said.host)
    template = endpoint.template
    scheme = said.scheme or endpoint.scheme
    if scheme != endpoint.scheme:
        template = _template_for(context, template["server"], scheme)
    if said.root_path is not None and said.root_path != template["root_path"]:
        template = {**template, "root_path": said.root_path}
    return endpoint.changed(said.client or endpoint.client, scheme, template)


def _template_for(context: Context, server: tuple[str, int | None] | None, scheme: str) -> Scope:
    key = (server, scheme)
    template = context.templates.get(key)
    if template is None:
        template = _template(context, server, scheme)
        if len(context.templates) < _MOST_TEMPLATES:
            context.templates[key] = template
    return template


class Shared(dict[str, Any]):
    """A dict in a scope that cannot be written, for all scopes share it; nobody has been seen to write to these."""

    __slots__ = ()

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("this dict is read-only, for all scopes share it: put one of your own in its place")

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # a copy is the copier's own, pickled and deep ones too

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


#: Extensions that ``HttpExchange`` serves on every connection.
_EXTENSIONS: dict[str, Any] = dict.fromkeys(
    (
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.zerocopysend",
    ),
    Shared(),
)


def _template(context: Context, server: tuple[str, int | None] | None, scheme: str) -> Scope:
    """A scope with all keys in place, so that copying it never has to grow."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": _HTTP_1_1,
        "method": GET,
        "scheme": scheme,
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": context.root_path,
        "headers": [],
        "client": None,
        "server": server,
        "extensions": _EXTENSIONS,
    }


def http_scope(request: Request, endpoint: Endpoint, context: Context) -> Scope:
    """Return the scope of ``request``.

    Setting a key costs as much as a quarter of copying the template: what most requests have is in there already.
    """
    template = endpoint.template
    scope = template.copy()
    asgi = template["asgi"]
    scope["asgi"] = asgi.copy()
    if request.http_version is not _HTTP_1_1:
        scope["http_version"] = request.http_version
    if request.method is not GET:
        scope["method"] = request.method
    path = request.path
    root_path = template["root_path"]
    if root_path:
        path = under_root(path, root_path)
    scope["path"] = path
    scope["raw_path"] = request.raw_path
    if request.query_string:
        scope["query_string"] = request.query_string
    scope["headers"] = request.headers
    scope["client"] = endpoint.client
    extensions = _EXTENSIONS.copy()
    scope["extensions"] = extensions
    if endpoint.tls is not None:
        extensions["tls"] = endpoint.tls.copy()
    state = context.state
    if state is not None:
        scope["state"] = state.copy()
    return scope


def websocket_scope(request: Request, endpoint: Endpoint, context: Context, subprotocols: tuple[str, ...]) -> Scope:
    """Return the scope of the WebSocket that ``request`` asks for (ASGI WebSocket 2.5)."""
    scope = http_scope(request, endpoint, context)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] in ("https", "wss") else "ws"
    scope["subprotocols"] = list(subprotocols)
    scope["extensions"] = {"websocket.http.response": {}}
    if endpoint.tls is not None:
        scope["extensions"]["tls"] = endpoint.tls.copy()
    return scope


def under_root(path: str, root_path: str) -> str:
    """Return ``path`` with ``root_path`` before it, once.

    ASGI's ``path`` includes ``root_path``. A proxy may have stripped the prefix or passed it on: both arrive at the
    same path.
    """
    if path == "*" or path == root_path or path.startswith(root_path + "/"):
        return path
    return root_path + path
