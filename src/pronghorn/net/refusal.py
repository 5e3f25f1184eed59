"""Refusals, and what the log says of them: who was refused, why, by which setting, and what it had asked for."""

from __future__ import annotations

from typing import Any

from pronghorn.asgi.context import Context
from pronghorn.asgi.scope import Endpoint, address_of, endpoint_of, named
from pronghorn.wire.errors import ProtocolError, printable
from pronghorn.wire.request import Request

#: Characters of a request line that are shown.
_MOST_SHOWN = 100


def too_large(context: Context, what: str) -> ProtocolError:
    return ProtocolError(413, f"{what} is over the limit", setting=f"max_body_size={context.max_body_size}")


def head_too_slow(context: Context) -> ProtocolError:
    setting = f"header_timeout={context.header_timeout:g}"
    return ProtocolError(408, "Request head is not complete in time", setting=setting)


def content_too_slow(context: Context) -> ProtocolError:
    return ProtocolError(
        408, "Request content is not complete in time", setting=f"body_timeout={context.body_timeout:g}"
    )


def log_refusal(context: Context, exchange: Any, error: ProtocolError, whole: bool) -> None:
    """Say why ``exchange`` is answered ``error``. ``whole``: the head of its request was read to its end.

    Who its client is, is found out as far as that was not done before, and noted in ``exchange.endpoint``.
    """
    request = exchange.request
    endpoint = exchange.endpoint
    ip = address_of(endpoint)
    if endpoint.trusted and endpoint.client == endpoint.peer and request.headers:
        said = _resolved(context, request, endpoint)
        address = address_of(said)
        if whole:
            exchange.endpoint = said
        elif said is not endpoint:
            # A line that the proxy added may be among those that were not read: this is only what it seems to be.
            _tell(context, address, f"{ip} (for ip={address}, as far as the head was read)", error, request)
            return
        ip = address
    via = _proxy_of(exchange.endpoint)
    _tell(context, ip, f"{ip} (through ip={via})" if via else ip, error, request)


def _tell(context: Context, ip: str, peer: str, error: ProtocolError, request: Request) -> None:
    reason = error.told()
    if request.method != "-":
        reason = f"{reason}, in '{printable(_line_of(request), _MOST_SHOWN)}'"
    context.peer_log.warning(ip, "Invalid request from ip=%s: %s", peer, reason)


def _line_of(request: Request) -> str:
    """The request line as far as it was read; before the first field that may not have been to its end."""
    line = request.method
    if request.target != b"-":
        line = f"{line} {request.target.decode('latin-1')}"
    return f"{line} HTTP/{request.http_version}" if request.headers or request.http_version != "1.1" else line


def _resolved(context: Context, request: Request, endpoint: Endpoint) -> Endpoint:
    """``endpoint`` as the proxy has it, or at least with the client that it tells."""
    try:
        return endpoint_of(request, endpoint, context)
    except ProtocolError:
        forwarder = context.forwarded
        client = None if forwarder is None else forwarder.client(request.headers)
        return endpoint if client is None else endpoint.changed(client, endpoint.scheme, endpoint.template)


def _proxy_of(endpoint: Endpoint) -> str:
    """The proxy that told who the client is; empty where the client speaks to us itself."""
    return "" if endpoint.client == endpoint.peer else named(endpoint.peer, endpoint)
