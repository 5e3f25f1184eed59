"""The server's TLS context, as Gunicorn's settings describe it."""

from __future__ import annotations

import ssl
from typing import Any

#: What is spoken over TLS, in order of preference (RFC 7301).
ALPN = ["http/1.1"]


def server_context(cfg: Any) -> ssl.SSLContext | None:
    """Return the context for ``cfg``, or None where it sets neither ``certfile`` nor ``keyfile``.

    Uses Gunicorn's own construction and ``ssl_context`` hook where it has them (21.0). Raises OSError (of which
    ssl.SSLError is one) or whatever the hook raises: the worker must not start then.
    """
    if not cfg.is_ssl:
        return None
    from gunicorn import sock

    make = getattr(sock, "ssl_context", None)
    context: ssl.SSLContext = make(cfg) if make is not None else _default_context(cfg)
    context.set_alpn_protocols(ALPN)
    return context


def _default_context(cfg: Any) -> ssl.SSLContext:
    """What Gunicorn 21 and later build, for Gunicorn 20.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cfg.ca_certs)
    context.load_cert_chain(certfile=cfg.certfile, keyfile=cfg.keyfile)
    context.verify_mode = ssl.VerifyMode(cfg.cert_reqs)
    if cfg.ciphers:
        context.set_ciphers(cfg.ciphers)
    return context
