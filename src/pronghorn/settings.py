"""Configuration, read once: Gunicorn's settings and Pronghorn's own options become immutable values here.

The only place, beside ``worker.py``, ``tls.py`` and ``accesslog.py``, that reads Gunicorn's ``cfg``. What is wrong is
refused with one line that names the setting and what is allowed; nothing that got past here is checked again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pronghorn.asgi.context import WebSocketSettings
from pronghorn.defaultheaders import Fields, parse_fields
from pronghorn.errorpage import AUDIENCES
from pronghorn.proxies import FAMILIES, SECURE_SCHEME_HEADERS, ForwardedPolicy, TrustList
from pronghorn.wire.http1_rules import Rules

#: Gunicorn's default of asgi_disconnect_grace_period, seconds. Any other was set on purpose.
_USUAL_GRACE = 3.0


class SettingError(ValueError):
    """A setting has a value that is not allowed; the message is one line for the person who set it."""


def option(default: Any, doc: str, *, least: float = 0, choices: tuple[str, ...] = ()) -> Any:
    """Declare an ``Options`` field: its default, what it does, and what is allowed."""
    return field(default=default, metadata={"doc": doc, "least": least, "choices": choices})


@dataclass(frozen=True)
class Options:
    """What Gunicorn has no setting for.

    Set an option in the environment (``PRONGHORN_HEADER_TIMEOUT=5``) or on a subclass that is your
    ``worker_class`` (``options = Options(header_timeout=5)``); the environment wins. Times are seconds, sizes bytes,
    and 0 switches a limit off. Raises SettingError for a value that is not allowed.
    """

    header_timeout: float = option(10.0, "for a new connection to send a whole request head")
    body_timeout: float = option(30.0, "between two pieces of a request's content")
    write_timeout: float = option(60.0, "for a peer that reads nothing of its response")
    request_timeout: float = option(0.0, "for a whole request: the application is cancelled, the client gets 504")
    max_body_size: int = option(0, "content of one request; 413 beyond, before it is read")
    max_head_size: int = option(1024 * 1024, "a whole request head, also where Gunicorn's limits are 0", least=1024)
    server_header: str = option("pronghorn", "value of the Server field; empty sends none")
    date_header: bool = option(True, "whether responses carry a Date field")
    response_headers: str = option("", "fields for responses that have none of that name, as lines of 'Name: value'")
    eager_tasks: bool = option(True, "run the application at once, without a turn of the loop (Python 3.12+)")
    gc_freeze: bool = option(False, "leave what the application's start made out of garbage collection for good")
    loop: str = option("", "event loop; Gunicorn's asgi_loop unless set", choices=("", "auto", "uvloop", "asyncio"))
    lifespan: str = option("", "ASGI lifespan; Gunicorn's asgi_lifespan unless set", choices=("", "auto", "on", "off"))
    root_path: str = option("", "ASGI root_path; Gunicorn's root_path unless set")
    forwarded: str = option("x-forwarded", "which fields of trusted proxies tell the client", choices=FAMILIES)
    forwarded_parts: str = option("for,proto", "what they may tell: some of for, proto, host, port, prefix")
    disconnect_grace_period: float = option(
        -1.0, "from http.disconnect to cancellation, of any method; Gunicorn's asgi_disconnect_grace_period", least=-1
    )
    startup_timeout: float = option(600.0, "for the application's lifespan startup; the server does not start beyond")
    blocked_loop_warning: float = option(1.0, "that the event loop may be blocked before the log says by what")
    shutdown_delay: float = option(0.0, "to go on serving after SIGTERM, for load balancers that learn late")
    health_path: str = option("", "path that is answered with 503 when the server is about to end; empty for none")
    max_concurrent_requests: int = option(0, "requests that the application gets at once in one worker; more wait")
    max_queued_requests: int = option(100, "requests that wait for that; 503 beyond")
    reload_error_page: str = option("loopback", "who sees why reloaded code cannot be read", choices=AUDIENCES)
    websockets: bool = option(True, "whether WebSockets are served; else their handshakes are requests like others")
    websocket_ping_interval: float = option(20.0, "between two pings on a WebSocket; 0 sends none")
    websocket_ping_timeout: float = option(20.0, "for the answer to a ping, or any other sign of life; 1011 without")
    websocket_close_timeout: float = option(10.0, "for the peer's half of the closing handshake")
    websocket_message_timeout: float = option(60.0, "for a message that has begun to be complete; 1008 beyond")
    websocket_backlog_timeout: float = option(
        30.0, "for the application to take messages of a client that has left; they are dropped then"
    )
    websocket_max_message_size: int = option(
        -1, "of a message, inflated; 1009 beyond; Gunicorn's websocket_max_message_size unless set", least=-1
    )
    websocket_max_queue: int = option(32, "messages that wait for the application; reading pauses beyond", least=1)
    websocket_compression: bool = option(True, "whether permessage-deflate is agreed to")
    websocket_compression_ratio: int = option(
        100, "times its compressed size that a message over 1 MiB may inflate to; 1009 beyond"
    )
    websocket_restart_spread: float = option(5.0, "over which WebSockets are closed with 1012 when a worker drains")

    #: How options were given, "name=value", where it was not as an option.
    _given: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            reason = _objection(one, value)
            if reason:
                raise SettingError(f"{self.given(one.name, value)} is not allowed: {reason}")

    @classmethod
    def checked(cls, options: Any, owner: str) -> Options:
        """Return ``options``, the attribute of the worker class ``owner``, if that is what they are."""
        if isinstance(options, cls):
            return options
        kind = "a class" if isinstance(options, type) else f"of type {type(options).__name__}"
        known = {one.name for one in dataclasses.fields(cls)}
        given = options if isinstance(options, Mapping) and known.issuperset(options) else {"header_timeout": 5}
        text = ", ".join(f"{name}={value!r:.40}" for name, value in given.items())
        raise SettingError(
            f"{owner}.options={options!r:.60} is not allowed: it is {kind}, write options = pronghorn.Options({text})"
        )

    def given(self, name: str, value: Any) -> str:
        """Return the option ``name`` as the person who set it would know it, with its ``value``."""
        return self._given.get(name) or f"Option {name}={value!r}"

    def changed(self, changes: Mapping[str, Any], given: Mapping[str, str]) -> Options:
        """Return these options with ``changes``; ``given``: for each of them, how it was given. Raises SettingError."""
        for one in dataclasses.fields(self):
            reason = _objection(one, changes[one.name]) if one.name in changes else ""
            if reason:
                raise SettingError(f"{given[one.name]} is not allowed: {reason}")
        options = dataclasses.replace(self, **changes)
        object.__setattr__(options, "_given", {**self._given, **given})
        return options

    def with_environment(self, environ: Mapping[str, str]) -> Options:
        """Return these options with what ``PRONGHORN_<NAME>`` variables say instead."""
        changes = {}
        given = {}
        known = self.variables()
        for name, text in environ.items():
            one = known.get(name)
            if one is not None:
                changes[one.name] = _parse(one, name, text)
                given[one.name] = f"{name}={text!r}"
        return self.changed(changes, given)

    @classmethod
    def variables(cls) -> dict[str, dataclasses.Field[Any]]:
        """The environment variables, and which option each of them is."""
        return {f"PRONGHORN_{one.name.upper()}": one for one in dataclasses.fields(cls)}


def _parse(one: dataclasses.Field[Any], name: str, text: str) -> Any:
    kind: Any = type(one.default)
    if kind is bool:
        word = text.strip().lower()
        if word not in _TRUE and word not in _FALSE:
            raise SettingError(f"{name}={text!r} is not allowed: use 1 or 0")
        return word in _TRUE
    try:
        return kind(text.strip())
    except ValueError:
        raise SettingError(f"{name}={text!r} is not allowed: it takes {_KINDS[kind]}") from None


_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")
_KINDS = {int: "a whole number", float: "a number of seconds", str: "text", bool: "True or False"}


def _objection(one: dataclasses.Field[Any], value: Any) -> str:
    """What is wrong with ``value``; empty where it is allowed."""
    kind: Any = type(one.default)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        return f"it takes {_KINDS[kind]}"
    choices = one.metadata["choices"]
    if choices and value not in choices:
        return f"use one of {', '.join(filter(None, choices))}"
    if kind in (int, float) and not one.metadata["least"] <= value < 2**62:
        return f"use {one.metadata['least']:g} or more, and a finite number"
    if one.name == "health_path" and value and not value.startswith("/"):
        return "a path begins with a slash"
    if one.name == "server_header" and not all(" " <= char <= "~" for char in value):
        return "use printable ASCII"
    return ""


@dataclass(frozen=True)
class Timeouts:
    """Seconds; 0 is no limit, but for ``keepalive``, where 0 closes each connection after its response."""

    keepalive: float
    header: float
    body: float
    write: float
    request: float
    startup: float
    graceful: float
    disconnect_grace_period: float
    cancels_unsafe: bool


@dataclass(frozen=True)
class Limits:
    """What one worker takes on."""

    worker_connections: int
    max_body_size: int
    concurrent_requests: int
    queued_requests: int


@dataclass(frozen=True)
class Settings:
    """Everything that the server needs to know, as values. ``backlog`` is for listening sockets."""

    timeouts: Timeouts
    limits: Limits
    rules: Rules
    trusting_rules: Rules
    loop: str
    lifespan: str
    root_path: str
    backlog: int
    is_tls: bool
    trusted_peers: TrustList
    forwarded: ForwardedPolicy
    proxy_protocol: str
    proxy_peers: TrustList
    server_header: str
    date_header: bool
    response_headers: Fields
    eager_tasks: bool
    gc_freeze: bool
    blocked_loop_warning: float
    sendfile: bool
    shutdown_delay: float
    health_path: str
    reload_error_page: str
    websockets: WebSocketSettings

    @classmethod
    def from_gunicorn(cls, cfg: Any, options: Options) -> Settings:
        """Read ``cfg``, of whatever Gunicorn version from 20.1 on, and ``options``. Raises SettingError."""
        if getattr(cfg, "protocol", "http") != "http":
            raise SettingError(f"Setting protocol={cfg.protocol!r} is not allowed: Pronghorn speaks 'http' only")
        grace = float(getattr(cfg, "asgi_disconnect_grace_period", _USUAL_GRACE))
        is_set = options.disconnect_grace_period >= 0
        return cls(
            timeouts=Timeouts(
                keepalive=float(cfg.keepalive),
                header=options.header_timeout,
                body=options.body_timeout,
                write=options.write_timeout,
                request=options.request_timeout,
                startup=options.startup_timeout,
                graceful=float(cfg.graceful_timeout),
                disconnect_grace_period=options.disconnect_grace_period if is_set else grace,
                cancels_unsafe=is_set or grace != _USUAL_GRACE,
            ),
            limits=Limits(
                worker_connections=cfg.worker_connections,
                max_body_size=options.max_body_size,
                concurrent_requests=options.max_concurrent_requests,
                queued_requests=options.max_queued_requests,
            ),
            rules=_rules(cfg, options, trusting=False),
            trusting_rules=_rules(cfg, options, trusting=True),
            loop=options.loop or getattr(cfg, "asgi_loop", "auto"),
            lifespan=options.lifespan or getattr(cfg, "asgi_lifespan", "auto"),
            root_path=_root_path(cfg, options),
            backlog=cfg.backlog,
            is_tls=bool(cfg.is_ssl),
            trusted_peers=_trusted(cfg.forwarded_allow_ips),
            forwarded=_forwarded(cfg, options),
            proxy_protocol=_proxy_protocol(cfg.proxy_protocol),
            proxy_peers=_trusted(cfg.proxy_allow_ips),
            server_header=options.server_header,
            date_header=options.date_header,
            response_headers=_response_headers(options),
            eager_tasks=options.eager_tasks,
            gc_freeze=options.gc_freeze,
            blocked_loop_warning=options.blocked_loop_warning,
            sendfile=_sendfile(cfg),
            shutdown_delay=_shutdown_delay(options, cfg.graceful_timeout),
            health_path=options.health_path,
            reload_error_page=options.reload_error_page,
            websockets=_websockets(cfg, options),
        )


def _rules(cfg: Any, options: Options, *, trusting: bool) -> Rules:
    """The parser's rules; ``trusting``: for peers in ``forwarded_allow_ips``, whose ``forwarder_headers`` are kept."""
    names = getattr(cfg, "forwarder_headers", ("SCRIPT_NAME", "PATH_INFO"))
    return Rules(
        limit_request_line=max(cfg.limit_request_line, 0),
        limit_request_fields=max(cfg.limit_request_fields, 0),
        limit_request_field_size=max(cfg.limit_request_field_size, 0),
        limit_request_head=options.max_head_size,
        permit_unconventional_http_method=bool(getattr(cfg, "permit_unconventional_http_method", False)),
        permit_unconventional_http_version=bool(getattr(cfg, "permit_unconventional_http_version", False)),
        casefold_http_method=bool(getattr(cfg, "casefold_http_method", False)),
        permit_obsolete_folding=bool(getattr(cfg, "permit_obsolete_folding", False)),
        strip_header_spaces=bool(getattr(cfg, "strip_header_spaces", False)),
        header_map=getattr(cfg, "header_map", "drop"),
        forwarder_headers=frozenset(name.upper() for name in _listed(names)) if trusting else frozenset(),
    )


def _sendfile(cfg: Any) -> bool:
    """The setting, and where there is none the environment's SENDFILE, which the property alone looks at.

    The property answers False to an explicit True.
    """
    value = cfg.settings["sendfile"].get()
    return bool(cfg.sendfile if value is None else value)


def _shutdown_delay(options: Options, graceful: int) -> float:
    value = options.shutdown_delay
    if value and value >= graceful / 2:
        raise SettingError(
            f"{options.given('shutdown_delay', value)} is not allowed: it is part of graceful_timeout={graceful}, "
            "of which at least half has to be left for the requests that are under way then"
        )
    return value


def _websockets(cfg: Any, options: Options) -> WebSocketSettings:
    most = options.websocket_max_message_size
    return WebSocketSettings(
        enabled=options.websockets,
        ping_interval=options.websocket_ping_interval,
        ping_timeout=options.websocket_ping_timeout,
        close_timeout=options.websocket_close_timeout,
        message_timeout=options.websocket_message_timeout,
        backlog_timeout=options.websocket_backlog_timeout,
        max_message_size=getattr(cfg, "websocket_max_message_size", 16 * 1024 * 1024) if most < 0 else most,
        max_queue=options.websocket_max_queue,
        compression=options.websocket_compression,
        compression_ratio=options.websocket_compression_ratio,
        # All of them have to be closed well within the time that a draining worker has.
        restart_spread=min(options.websocket_restart_spread, cfg.graceful_timeout / 2),
    )


def _response_headers(options: Options) -> Fields:
    text = options.response_headers
    try:
        return parse_fields(text)
    except ValueError as error:
        raise SettingError(f"{options.given('response_headers', text)} is not allowed: {error}") from None


def _trusted(peers: Any) -> TrustList:
    return TrustList(str(peer) for peer in _listed(peers))


def _forwarded(cfg: Any, options: Options) -> ForwardedPolicy:
    try:
        return ForwardedPolicy(
            _trusted(cfg.forwarded_allow_ips),
            family=options.forwarded,
            parts=_listed(options.forwarded_parts),
            secure_scheme_headers=getattr(cfg, "secure_scheme_headers", SECURE_SCHEME_HEADERS),
            forwarder_headers=_listed(getattr(cfg, "forwarder_headers", ("SCRIPT_NAME", "PATH_INFO"))),
        )
    except ValueError as error:
        given = options.given("forwarded_parts", options.forwarded_parts)
        raise SettingError(f"{given} is not allowed: {error}") from None


def _proxy_protocol(value: Any) -> str:
    """A mode since Gunicorn 24.1, True or False before."""
    return value if isinstance(value, str) else "auto" if value else "off"


def _root_path(cfg: Any, options: Options) -> str:
    """The option, else Gunicorn's setting, else SCRIPT_NAME in the environment, as in Gunicorn's WSGI workers."""
    value = options.root_path
    given = options.given("root_path", value)
    if not value:
        value = getattr(cfg, "root_path", "")
        given = f"Setting root_path={value!r}"
    if not value:
        value = {**os.environ, **cfg.env}.get("SCRIPT_NAME", "")
        given = f"SCRIPT_NAME={value!r}"
    path = value.rstrip("/")
    if path and not path.startswith("/"):
        raise SettingError(f"{given} is not allowed: it begins with a slash, or is empty")
    return path


def _listed(value: Any) -> list[Any]:
    """A setting that is a list in some Gunicorn versions and comma-separated text in others."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value or ())
