"""``CONFIG_KWARGS``: settings under uvicorn's names, as subclasses of UvicornWorker carry them.

Each key becomes an option, stands in for a Gunicorn setting within the worker, says what is done anyway, or is refused
with what to use instead. Nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pronghorn.settings import Options, SettingError


class Changes(NamedTuple):
    """What one key means: ``options`` by name, and Gunicorn settings (``instead``) whose value is another one."""

    options: Mapping[str, Any] = {}
    instead: Mapping[str, Any] = {}


#: From a key's value and Gunicorn's configuration to what it means. Raises ValueError, saying what is allowed.
_Rule = Callable[[Any, Any], Changes]


def apply_kwargs(kwargs: Mapping[str, Any], options: Options, config: Any) -> tuple[Options, Any]:
    """Return ``options`` and Gunicorn's ``config`` as ``kwargs`` change them. Raises SettingError, naming the key."""
    instead: dict[str, Any] = {}
    if not isinstance(kwargs, Mapping):
        kind = type(kwargs).__name__
        raise SettingError(f"CONFIG_KWARGS={kwargs!r:.60} is not allowed: it is of type {kind}, use a dict")
    for key, value in kwargs.items():
        rule = KEYS.get(key)
        if rule is None:
            raise SettingError(f"CONFIG_KWARGS[{key!r:.60}] is not allowed: use some of {', '.join(sorted(KEYS))}")
        if value is None and key not in _NONE_IS_OFF:
            continue  # uvicorn's default
        try:
            changes = rule(value, config)
            given = f"CONFIG_KWARGS[{key!r}]={value!r:.60}"
            options = options.changed(changes.options, dict.fromkeys(changes.options, given))
        except SettingError:
            raise
        except ValueError as error:
            raise SettingError(f"CONFIG_KWARGS[{key!r}]={value!r:.60} is not allowed: {error}") from None
        instead.update(changes.instead)
    return options, _Overlaid(config, instead) if instead else config


class _Overlaid:
    """Gunicorn's configuration with some values replaced; the original is the master's as well and stays as it is."""

    def __init__(self, config: Any, instead: Mapping[str, Any]) -> None:
        self._config = config
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return self._instead[name] if name in self._instead else getattr(self._config, name)


# -- kinds of rules ---------------------------------------------------------------------------------------------------


def _choice(meanings: Mapping[Any, Mapping[str, Any]]) -> _Rule:
    """One of a few values, each with the options it means; none where it names what is done anyway."""

    def rule(value: Any, config: Any) -> Changes:
        for allowed, options in meanings.items():
            if type(value) is type(allowed) and value == allowed:
                return Changes(options)
        raise ValueError(f"use one of {', '.join(repr(allowed) for allowed in meanings)}")

    return rule


def _option(name: str) -> _Rule:
    """The value of an option; None switches it off, where it gets here."""

    def rule(value: Any, config: Any) -> Changes:
        return Changes({name: 0 if value is None else value})

    return rule


def _elsewhere(advice: str, setting: str = "", harmless: Any = None) -> _Rule:
    """What is set elsewhere. Accepted is what Gunicorn's ``setting`` says as well, and what asks for nothing."""

    def rule(value: Any, config: Any) -> Changes:
        if value == harmless or (setting and value == getattr(config, setting, None)):
            return Changes()
        raise ValueError(advice)

    return rule


def _gunicorn(setting: str) -> _Rule:
    return _elsewhere(f"use Gunicorn's setting {setting}", setting)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        raise ValueError("use a number of seconds")
    return value


def _keep_alive(value: Any, config: Any) -> Changes:
    return Changes(instead={"keepalive": _seconds(value)})


def _graceful(value: Any, config: Any) -> Changes:
    if _seconds(value) > config.graceful_timeout:
        raise ValueError(f"Gunicorn kills a worker after graceful_timeout={config.graceful_timeout}: raise that one")
    return Changes(instead={"graceful_timeout": value})


def _trusted(value: Any, config: Any) -> Changes:
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError("use addresses and networks, in a list or separated by commas")
    return Changes(instead={"forwarded_allow_ips": [entry.strip() for entry in entries if entry.strip()]})


def _concurrency(value: Any, config: Any) -> Changes:
    """At once and none in the queue: uvicorn answers what comes beyond with 503."""
    if value == 0:
        raise ValueError("use 1 or more, or None for no limit")
    return Changes({"max_concurrent_requests": value, "max_queued_requests": 0})


def _headers(value: Any, config: Any) -> Changes:
    lines = []
    for pair in value or ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise ValueError("use a list of pairs of str")
        if ":" in pair[0] or "\n" in pair[1]:
            raise ValueError("a name has no colon and a value no line break")
        lines.append(": ".join(pair))
    return Changes({"response_headers": "\n".join(lines)})


def _contextvars(value: Any, config: Any) -> Changes:
    """Every request has a context of its own."""
    return Changes()


def _access_log(value: Any, config: Any) -> Changes:
    """True shows what Gunicorn's settings let through, as UvicornWorker did."""
    if value is False and config.accesslog is not None:
        raise ValueError("Gunicorn's setting accesslog is set: leave that out")
    return Changes()


def _http2(value: Any, config: Any) -> Changes:
    if bool(value) == ("h2" in str(getattr(config, "http_protocols", ""))):
        return Changes()
    raise ValueError("use Gunicorn's setting http_protocols")


_RELOADER = "use Gunicorn's settings reload and reload_extra_files"
_LOGGING = "use Gunicorn's settings loglevel, logconfig and logconfig_dict"

#: Keys whose None is not the default but says "never".
_NONE_IS_OFF = frozenset(("ws_ping_interval", "ws_ping_timeout"))

#: All keys of uvicorn 0.54.
KEYS: dict[str, _Rule] = {
    # what serves
    "loop": _choice(
        {
            "auto": {"loop": "auto"},
            "uvloop": {"loop": "uvloop"},
            "asyncio": {"loop": "asyncio"},
            "none": {"loop": "asyncio"},
        }
    ),
    "http": _choice({"auto": {}, "h11": {}, "httptools": {}}),
    "http2": _http2,
    "ws": _choice(
        {"auto": {}, "websockets": {}, "websockets-sansio": {}, "wsproto": {}, "none": {"websockets": False}}
    ),
    "lifespan": _choice({mode: {"lifespan": mode} for mode in ("auto", "on", "off")}),
    "interface": _choice({"auto": {}, "asgi3": {}}),
    "root_path": _option("root_path"),
    "reset_contextvars": _contextvars,
    # WebSockets
    "ws_max_size": _option("websocket_max_message_size"),
    "ws_max_queue": _option("websocket_max_queue"),
    "ws_ping_interval": _option("websocket_ping_interval"),
    "ws_ping_timeout": _option("websocket_ping_timeout"),
    "ws_per_message_deflate": _option("websocket_compression"),
    # proxies and fields
    "proxy_headers": _choice({True: {}, False: {"forwarded": "none"}}),
    "forwarded_allow_ips": _trusted,
    "server_header": _choice({True: {}, False: {"server_header": ""}}),
    "date_header": _option("date_header"),
    "headers": _headers,
    # limits and times
    "limit_concurrency": _concurrency,
    "limit_max_requests": _gunicorn("max_requests"),
    "limit_max_requests_jitter": _gunicorn("max_requests_jitter"),
    "h11_max_incomplete_event_size": _option("max_head_size"),
    "timeout_keep_alive": _keep_alive,
    "timeout_graceful_shutdown": _graceful,
    "timeout_notify": _gunicorn("timeout"),
    "timeout_worker_healthcheck": _gunicorn("timeout"),
    "callback_notify": _elsewhere("the worker sends Gunicorn's heartbeat itself"),
    # Gunicorn's affairs
    "app": _elsewhere("name the application on Gunicorn's command line, or in its setting wsgi_app"),
    "factory": _elsewhere('name the application as "module:factory()"', harmless=False),
    "host": _elsewhere("use Gunicorn's setting bind"),
    "port": _elsewhere("use Gunicorn's setting bind"),
    "uds": _elsewhere("use Gunicorn's setting bind, as unix:PATH"),
    "fd": _elsewhere("use Gunicorn's setting bind, as fd://NUMBER"),
    "backlog": _gunicorn("backlog"),
    "workers": _gunicorn("workers"),
    "env_file": _elsewhere("use Gunicorn's setting raw_env"),
    "reload": _gunicorn("reload"),
    "reload_dirs": _elsewhere(_RELOADER),
    "reload_delay": _elsewhere(_RELOADER),
    "reload_includes": _elsewhere(_RELOADER),
    "reload_excludes": _elsewhere(_RELOADER),
    "access_log": _access_log,
    "log_config": _elsewhere(_LOGGING),
    "log_level": _gunicorn("loglevel"),
    "use_colors": _elsewhere("Gunicorn's logger has no colours: use logger_class or logconfig_dict", harmless=False),
    "ssl_keyfile": _gunicorn("keyfile"),
    "ssl_certfile": _gunicorn("certfile"),
    "ssl_keyfile_password": _elsewhere("use Gunicorn's hook ssl_context"),
    "ssl_version": _elsewhere("use Gunicorn's hook ssl_context"),
    "ssl_cert_reqs": _gunicorn("cert_reqs"),
    "ssl_ca_certs": _gunicorn("ca_certs"),
    "ssl_ciphers": _gunicorn("ciphers"),
    "ssl_context_factory": _elsewhere("use Gunicorn's hook ssl_context"),
}
