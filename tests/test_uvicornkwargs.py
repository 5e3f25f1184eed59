"""``uvicornkwargs.py``: each key of uvicorn's configuration, and that none is passed over in silence."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from gunicorn.config import Config

from pronghorn.settings import Options, SettingError, Settings
from pronghorn.uvicornkwargs import KEYS, apply_kwargs

#: Key, a value, and the options that it becomes.
OPTIONS: list[tuple[str, Any, dict[str, Any]]] = [
    ("loop", "auto", {"loop": "auto"}),
    ("loop", "uvloop", {"loop": "uvloop"}),
    ("loop", "asyncio", {"loop": "asyncio"}),
    ("loop", "none", {"loop": "asyncio"}),
    ("http", "auto", {}),
    ("http", "h11", {}),
    ("http", "httptools", {}),
    ("http2", False, {}),
    ("ws", "auto", {}),
    ("ws", "websockets", {}),
    ("ws", "websockets-sansio", {}),
    ("ws", "wsproto", {}),
    ("ws", "none", {"websockets": False}),
    ("ws_max_size", 1024, {"websocket_max_message_size": 1024}),
    ("ws_max_queue", 8, {"websocket_max_queue": 8}),
    ("ws_ping_interval", 5.0, {"websocket_ping_interval": 5.0}),
    ("ws_ping_interval", None, {"websocket_ping_interval": 0}),
    ("ws_ping_timeout", 5, {"websocket_ping_timeout": 5}),
    ("ws_ping_timeout", None, {"websocket_ping_timeout": 0}),
    ("ws_per_message_deflate", False, {"websocket_compression": False}),
    ("lifespan", "auto", {"lifespan": "auto"}),
    ("lifespan", "on", {"lifespan": "on"}),
    ("lifespan", "off", {"lifespan": "off"}),
    ("interface", "asgi3", {}),
    ("interface", "auto", {}),
    ("proxy_headers", True, {}),
    ("proxy_headers", False, {"forwarded": "none"}),
    ("server_header", True, {}),
    ("server_header", False, {"server_header": ""}),
    ("date_header", False, {"date_header": False}),
    ("root_path", "/app", {"root_path": "/app"}),
    ("headers", [("X-One", "DENY"), ["X-Two", "a: b"]], {"response_headers": "X-One: DENY\nX-Two: a: b"}),
    ("headers", [], {}),
    ("headers", None, {}),
    ("limit_concurrency", 7, {"max_concurrent_requests": 7, "max_queued_requests": 0}),
    ("limit_concurrency", None, {}),
    ("h11_max_incomplete_event_size", 32768, {"max_head_size": 32768}),
    ("reset_contextvars", True, {}),
    ("access_log", True, {}),
    ("access_log", False, {}),
    ("factory", False, {}),
    ("use_colors", False, {}),
]  # fmt: skip

#: What belongs to Gunicorn, a value, and what the error tells to use instead.
ELSEWHERE: list[tuple[str, Any, str]] = [
    ("app", "main:app", "wsgi_app"),
    ("host", "127.0.0.1", "bind"),
    ("port", 8000, "bind"),
    ("uds", "/run/x", "unix:"),
    ("fd", 3, "fd://"),
    ("backlog", 7, "backlog"),
    ("workers", 7, "workers"),
    ("env_file", ".env", "raw_env"),
    ("reload", True, "reload"),
    ("reload_dirs", ["src"], "reload_extra_files"),
    ("reload_delay", 1.0, "reload_extra_files"),
    ("reload_includes", ["*.j2"], "reload_extra_files"),
    ("reload_excludes", ["*.j2"], "reload_extra_files"),
    ("log_config", {}, "logconfig_dict"),
    ("log_level", "debug", "loglevel"),
    ("use_colors", True, "logger_class"),
    ("limit_max_requests", 1000, "max_requests"),
    ("limit_max_requests_jitter", 10, "max_requests_jitter"),
    ("timeout_notify", 7, "timeout"),
    ("timeout_worker_healthcheck", 7, "timeout"),
    ("callback_notify", print, "heartbeat"),
    ("ssl_keyfile", "key.pem", "keyfile"),
    ("ssl_certfile", "cert.pem", "certfile"),
    ("ssl_keyfile_password", "x", "ssl_context"),
    ("ssl_version", 17, "ssl_context"),
    ("ssl_cert_reqs", 2, "cert_reqs"),
    ("ssl_ca_certs", "ca.pem", "ca_certs"),
    ("ssl_ciphers", "HIGH", "ciphers"),
    ("ssl_context_factory", print, "ssl_context"),
    ("factory", True, "module:factory()"),
    ("http2", True, "http_protocols"),
]

#: What has an option, and a value that it does not take.
WRONG: list[tuple[str, Any]] = [
    ("loop", "zuvloop"),
    ("loop", "mine:loop"),
    ("http", "zttp"),
    ("http", object),
    ("ws", "mine:Protocol"),
    ("ws_max_size", "1M"),
    ("ws_max_queue", 0),
    ("ws_ping_interval", -5),
    ("ws_ping_timeout", "20"),
    ("ws_per_message_deflate", "yes"),
    ("lifespan", True),
    ("interface", "wsgi"),
    ("interface", "asgi2"),
    ("proxy_headers", 1),
    ("server_header", "nginx"),
    ("date_header", 1),
    ("root_path", 5),
    ("headers", ["x: y"]),
    ("headers", [(b"x", b"y")]),
    ("headers", [("x:", "y")]),
    ("headers", [("x", "y\nz")]),
    ("limit_concurrency", 0),
    ("limit_concurrency", -1),
    ("limit_concurrency", "10"),
    ("h11_max_incomplete_event_size", 10),
    ("timeout_keep_alive", -1),
    ("timeout_keep_alive", "5"),
    ("timeout_keep_alive", True),
    ("timeout_graceful_shutdown", 31),
    ("timeout_graceful_shutdown", float("nan")),
    ("forwarded_allow_ips", 5),
    ("forwarded_allow_ips", [5]),
]


def changed(key: str, value: Any) -> dict[str, Any]:
    """The options that ``key`` changes, and their values."""
    options, _ = apply_kwargs({key: value}, Options(), Config())
    return {
        one.name: getattr(options, one.name)
        for one in dataclasses.fields(Options)
        if getattr(options, one.name) != one.default
    }


@pytest.mark.parametrize(("key", "value", "options"), OPTIONS, ids=lambda value: repr(value)[:30])
def test_what_a_key_becomes(key: str, value: Any, options: dict[str, Any]) -> None:
    assert changed(key, value) == options


@pytest.mark.parametrize(("key", "value", "advice"), ELSEWHERE, ids=lambda value: repr(value)[:30])
def test_what_is_set_elsewhere(key: str, value: Any, advice: str) -> None:
    with pytest.raises(SettingError) as caught:
        changed(key, value)
    text = str(caught.value)
    assert text.startswith(f"CONFIG_KWARGS[{key!r}]")
    assert advice in text.partition(" is not allowed: ")[2]
    assert "\n" not in text


@pytest.mark.parametrize(("key", "value"), WRONG, ids=lambda value: repr(value)[:30])
def test_a_wrong_value(key: str, value: Any) -> None:
    with pytest.raises(SettingError) as caught:
        changed(key, value)
    text = str(caught.value)
    assert text.startswith(f"CONFIG_KWARGS[{key!r}]")
    assert " is not allowed: " in text
    assert "\n" not in text


def test_every_key_of_uvicorn_is_known_and_tried() -> None:
    theirs = set(inspect.signature(uvicorn.Config.__init__).parameters) - {"self"}
    assert theirs <= set(KEYS)
    tried = {case[0] for case in (*OPTIONS, *ELSEWHERE, *WRONG)}
    assert tried == set(KEYS)


@pytest.mark.parametrize("key", sorted(set(KEYS) - {"ws_ping_interval", "ws_ping_timeout"}))
def test_none_is_the_default(key: str) -> None:
    assert changed(key, None) == {}


@pytest.mark.parametrize("kwargs", [None, [("loop", "auto")], "loop=auto"])
def test_kwargs_that_are_no_dict(kwargs: Any) -> None:
    with pytest.raises(SettingError, match=r"^CONFIG_KWARGS=.* is not allowed: it is of type \w+, use a dict$"):
        apply_kwargs(kwargs, Options(), Config())


@pytest.mark.parametrize("key", ["loops", "", "LOOP", "keepalive"])
def test_an_unknown_key(key: str) -> None:
    with pytest.raises(SettingError, match=rf"CONFIG_KWARGS\['{key}'\] is not allowed: use some of .*\bloop\b"):
        changed(key, "auto")


def test_the_defaults_of_both_peers_change_nothing_of_note() -> None:
    for kwargs in ({"loop": "auto", "http": "auto"}, {"loop": "asyncio", "http": "h11"}):
        options, config = apply_kwargs(kwargs, Options(), Config())
        assert options == Options(loop=kwargs["loop"])
        assert isinstance(config, Config)


def test_what_agrees_with_gunicorn_is_accepted() -> None:
    config = Config()
    config.set("max_requests", 5)
    config.set("loglevel", "debug")
    kwargs = {"limit_max_requests": 5, "log_level": "debug", "backlog": 2048, "workers": 1, "reload": False}
    assert apply_kwargs(kwargs, Options(), config)[0] == Options()


def test_no_access_log_contradicts_an_access_log() -> None:
    config = Config()
    config.set("accesslog", "-")
    with pytest.raises(SettingError, match=r"accesslog"):
        apply_kwargs({"access_log": False}, Options(), config)


@pytest.mark.parametrize("value", ["10.0.0.0/8, 192.0.2.1", ["10.0.0.0/8", "192.0.2.1"], ("10.0.0.0/8", "192.0.2.1")])
def test_what_stands_in_for_gunicorns_settings(value: Any) -> None:
    theirs = Config()
    kwargs = {"forwarded_allow_ips": value, "timeout_keep_alive": 65, "timeout_graceful_shutdown": 8}
    options, config = apply_kwargs(kwargs, Options(), theirs)
    settings = Settings.from_gunicorn(config, options)
    assert settings.timeouts.keepalive == 65
    assert settings.timeouts.graceful == 8
    assert "10.1.2.3" in settings.trusted_peers
    assert "192.0.2.1" in settings.trusted_peers
    assert "127.0.0.1" not in settings.trusted_peers
    assert (theirs.keepalive, theirs.graceful_timeout) == (2, 30)
    assert settings.limits.worker_connections == theirs.worker_connections


def test_everybody() -> None:
    _, config = apply_kwargs({"forwarded_allow_ips": "*"}, Options(), Config())
    assert "203.0.113.1" in Settings.from_gunicorn(config, Options()).trusted_peers


def test_they_win_over_options_and_lose_to_the_environment() -> None:
    options, _ = apply_kwargs({"lifespan": "off"}, Options(lifespan="on", root_path="/x"), Config())
    assert (options.lifespan, options.root_path) == ("off", "/x")
    assert options.with_environment({"PRONGHORN_LIFESPAN": "auto"}).lifespan == "auto"


def test_the_documentation_lists_every_key() -> None:
    text = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
    section = text.partition("## From UvicornWorker\n")[2].partition("\n## ")[0]
    assert set(KEYS) <= set(re.findall(r"`(\w+)`", section))
