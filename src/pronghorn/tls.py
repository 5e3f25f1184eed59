"""The server's side of TLS: the context that Gunicorn's settings describe, and a new one when its files have changed.

What is wrong at boot raises, always: a port that was to be encrypted is never served in plain text.
"""

from __future__ import annotations

import os
import re
import ssl
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pronghorn.asgi.tls_extension import cipher_suites, tls_extension

#: What is spoken over TLS, in order of preference (RFC 7301).
ALPN = ["http/1.1"]
#: Seconds between two looks at the files.
INTERVAL = 5.0

#: Methods of capital letters, as all registered ones are; then one of the four forms of a target, or not yet all of it.
_REQUEST_LINE = re.compile(rb"[A-Z]+(-[A-Z]*)*( (([/*]|http).*|h|ht|htt)?)?|CONNECT .*", re.DOTALL)
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class TlsError(ValueError):
    """TLS is configured so that it cannot work; the message is one line for the person who set it."""


def is_plain_http(first: bytes) -> bool:
    """Whether ``first``, the first bytes of a connection, perhaps few, are those of an HTTP request line (RFC 9112
    section 3). A TLS record begins with its content type, 20 to 24 (RFC 8446 section 5.1)."""
    return _REQUEST_LINE.fullmatch(first) is not None


def make_context(cfg: Any) -> ssl.SSLContext:
    """Return the context for ``cfg``, which has TLS.

    Uses Gunicorn's own construction and ``ssl_context`` hook where it has them (21.0). Raises TlsError, OSError (of
    which ssl.SSLError is one) or whatever the hook raises: the worker must not start then.
    """
    if not cfg.certfile:
        raise TlsError("Setting keyfile is set without certfile")
    from gunicorn import sock

    make = getattr(sock, "ssl_context", None)
    context = make(cfg) if make is not None else _default_context(cfg)
    if not isinstance(context, ssl.SSLContext):
        raise TlsError(f"The ssl_context hook returned {context!r:.60} in place of an ssl.SSLContext")
    if context.verify_mode == ssl.CERT_REQUIRED and not cfg.ca_certs and not context.cert_store_stats()["x509"]:
        raise TlsError("Setting cert_reqs=2 needs ca_certs: no client's certificate could be verified")
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


class ServerTls:
    """The context for new connections, replaced by a fresh one when a file it was made from changes.

    ``make``: makes a context; runs now, and again after each change. ``files``: settings' names and paths of what to
    watch; "certfile" is also what the TLS extension shows. ``context``: the one in use. Connections keep the one they
    began with. Raises whatever ``make`` raises, when constructed; never later.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Mapping[str, str], log: Any) -> None:
        self._make = make
        self._files = dict(files)
        self._log = log
        self._next = 0.0
        #: What the TLS extension needs to know of a context: its certificate and its cipher suites' numbers.
        self._facts: weakref.WeakKeyDictionary[ssl.SSLContext, tuple[str | None, dict[str, int]]]
        self._facts = weakref.WeakKeyDictionary()
        self._loaded = self._seen = self._stamps()
        self.context = self._load()

    @classmethod
    def from_gunicorn(cls, cfg: Any, log: Any) -> ServerTls | None:
        """Return the TLS of ``cfg``, None where it has none. Raises what ``make_context`` raises."""
        if not cfg.is_ssl:
            return None
        named = {name: getattr(cfg, name) for name in ("certfile", "keyfile", "ca_certs")}
        if cfg.cert_reqs == ssl.CERT_OPTIONAL and not cfg.ca_certs:
            log.warning("Setting cert_reqs=1 without ca_certs: clients with a certificate will be refused")
        return cls(partial(make_context, cfg), {name: path for name, path in named.items() if path}, log)

    def check(self, now: float) -> bool:
        """Look whether files have changed, if it is time to; whether ``context`` is a new one. Call it now and then.

        ``now``: seconds of any monotonic clock. A change is acted upon when a second look finds nothing newer, for
        certificate and key are seldom written at once. When the new files do not work, the log says why and the old
        context stays in use until they change again.
        """
        if now < self._next:
            return False
        self._next = now + INTERVAL
        stamps = self._stamps()
        settled = stamps == self._seen
        self._seen = stamps
        if not settled or stamps == self._loaded:
            return False
        try:
            context = self._load()
        except Exception as error:
            self._loaded = stamps
            self._log.error("Changed TLS files are not usable, the old ones stay in use (%s): %s", self._names(), error)
            return False
        if self._stamps() != stamps:  # changed while being read: the next looks will see
            return False
        self._loaded = stamps
        self.context = context
        self._log.info("TLS files have changed and are in use from now on (%s)", self._names())
        return True

    def _load(self) -> ssl.SSLContext:
        context = self._make()
        certificate = _first_certificate(self._files.get("certfile"))
        self._facts[context] = (certificate, cipher_suites(context))
        return context

    def _stamps(self) -> dict[str, tuple[int, ...] | None]:
        """What distinguishes the present files from others; the targets of symbolic links, which rotation swaps."""
        return {path: _stamp(path) for path in self._files.values()}

    def _names(self) -> str:
        return ", ".join(f"{name}={path!r}" for name, path in self._files.items())

    def extension(self, ssl_object: ssl.SSLObject) -> dict[str, Any]:
        """Return the ASGI TLS extension of a connection.

        ``server_cert`` is the one in ``certfile`` when the connection began; None where a server name callback, which
        a hook can set, chose a context of its own.
        """
        context = ssl_object.context
        facts = self._facts.get(context)
        if facts is None:
            facts = self._facts[context] = (None, cipher_suites(context))
        return tls_extension(ssl_object, *facts)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _first_certificate(path: str | None) -> str | None:
    """The certificate in the PEM file ``path`` that the server sends as its own, written as ``ssl`` writes PEM."""
    found = _CERTIFICATE.search(Path(path).read_text("latin-1")) if path else None
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(found.group())) if found else None
