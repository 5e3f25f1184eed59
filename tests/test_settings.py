"""``settings.py``: every option by its kind, bad values, the environment, and Gunicorn's configuration old and new."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gunicorn
import pytest
from gunicorn.config import Config

from pronghorn.settings import Options, SettingError, Settings

FIELDS = {one.name: one for one in dataclasses.fields(Options)}
BY_KIND: dict[type, list[str]] = {
    kind: [name for name, one in FIELDS.items() if type(one.default) is kind] for kind in (float, int, str, bool)
}


def assert_one_clear_line(error: SettingError, *names: str) -> None:
    """The message names the setting, says that it is not allowed, and what is."""
    text = str(error)
    assert "\n" not in text
    assert text.isprintable()
    before, said, after = text.partition(" is not allowed: ")
    assert said, text
    assert after, text
    for name in names:
        assert name in before, text


# -- options --------------------------------------------------------------------------------------------------------


def test_every_option_is_of_a_kind_that_can_be_set() -> None:
    assert sorted(name for names in BY_KIND.values() for name in names) == sorted(FIELDS)


def test_every_option_says_what_it_is_for() -> None:
    text = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, field in FIELDS.items():
        assert field.metadata["doc"], name
        assert field.type == type(field.default).__name__, name
        assert f"| `{name}` |" in text


def test_defaults_are_allowed_and_frozen() -> None:
    options = Options()
    for name, one in FIELDS.items():
        assert getattr(options, name) == one.default
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, name, one.default)


@pytest.mark.parametrize("name", BY_KIND[float])
def test_numbers_of_seconds(name: str) -> None:
    for value in (0, 0.5, 5, 1e6):
        assert getattr(Options(**{name: value}), name) == value


@pytest.mark.parametrize("name", BY_KIND[int])
def test_whole_numbers(name: str) -> None:
    least = int(FIELDS[name].metadata["least"])
    for value in (least, least + 1, 2**40):
        assert getattr(Options(**{name: value}), name) == value


@pytest.mark.parametrize("name", BY_KIND[bool])
@pytest.mark.parametrize("value", [True, False])
def test_switches(name: str, value: bool) -> None:
    assert getattr(Options(**{name: value}), name) is value


BAD: dict[type, list[Any]] = {
    float: ["5", None, True, [5], b"5", float("nan"), float("inf"), float("-inf"), -2, -2.0, 2.0**70],
    int: ["5", None, True, 5.0, [5], b"5", -2, -(2**70), 2**70],
    str: [5, None, True, b"auto", ["auto"]],
    bool: [1, 0, "yes", "", None],
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_the_wrong_kind_or_out_of_range(name: str) -> None:
    for value in BAD[type(FIELDS[name].default)]:
        with pytest.raises(SettingError) as caught:
            Options(**{name: value})
        assert_one_clear_line(caught.value, name, repr(value))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2.0**70])
def test_too_large_is_not_called_too_small(value: float) -> None:
    with pytest.raises(SettingError) as caught:
        Options(header_timeout=value)
    assert not str(caught.value).endswith("the least is 0")


@pytest.mark.parametrize("name", [name for name, one in FIELDS.items() if one.metadata["choices"]])
def test_choices(name: str) -> None:
    choices = FIELDS[name].metadata["choices"]
    for choice in choices:
        assert getattr(Options(**{name: choice}), name) == choice
    for value in ("neither", "AUTO", " auto", "x"):
        with pytest.raises(SettingError) as caught:
            Options(**{name: value})
        assert_one_clear_line(caught.value, name, value)
        for choice in filter(None, choices):
            assert choice in str(caught.value)


@pytest.mark.parametrize("value", ["a\r\nx-b: 1", "a\n", "\0", "é", "\t"])
def test_the_server_field_is_printable(value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Options(server_header=value)
    assert_one_clear_line(caught.value, "server_header")


@pytest.mark.parametrize("value", ["", "x", "Apache/2.4 (Unix) {x}"])
def test_the_server_field(value: str) -> None:
    assert Options(server_header=value).server_header == value


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="header_timeot"):
        Options(header_timeot=5)  # type: ignore[call-arg]


# -- the environment ------------------------------------------------------------------------------------------------

IN_ENVIRONMENT: dict[type, list[tuple[str, Any]]] = {
    float: [("5", 5.0), ("0", 0.0), ("2.5", 2.5), (" 7 ", 7.0), ("1e2", 100.0)],
    int: [("2048", 2048), (" 4096 ", 4096)],
    bool: [
        ("1", True),
        ("true", True),
        ("True", True),
        ("yes", True),
        ("ON", True),
        (" 1 ", True),
        ("0", False),
        ("false", False),
        ("no", False),
        ("Off", False),
    ],
}


@pytest.mark.parametrize("name", [name for kind in IN_ENVIRONMENT for name in BY_KIND[kind]])
def test_the_environment(name: str) -> None:
    for text, value in IN_ENVIRONMENT[type(FIELDS[name].default)]:
        options = Options().with_environment({f"PRONGHORN_{name.upper()}": text})
        assert getattr(options, name) == value, text
        assert type(getattr(options, name)) is type(FIELDS[name].default)
        others = {other: getattr(options, other) for other in FIELDS if other != name}
        assert others == {other: FIELDS[other].default for other in others}


def test_text_from_the_environment() -> None:
    environ = {"PRONGHORN_LOOP": "asyncio", "PRONGHORN_ROOT_PATH": "/app", "PRONGHORN_SERVER_HEADER": ""}
    options = Options().with_environment(environ)
    assert (options.loop, options.root_path, options.server_header) == ("asyncio", "/app", "")


def test_the_environment_wins() -> None:
    options = Options(header_timeout=5, body_timeout=6).with_environment({"PRONGHORN_HEADER_TIMEOUT": "7"})
    assert (options.header_timeout, options.body_timeout) == (7.0, 6)


def test_other_variables_are_not_ours() -> None:
    environ = {"PRONGHORN_PURE": "1", "HEADER_TIMEOUT": "5", "pronghorn_header_timeout": "5", "PATH": "/bin"}
    assert Options().with_environment(environ) == Options()


IN_ENVIRONMENT_BAD: dict[type, list[str]] = {
    float: ["", "x", "5s", "1,5", "-2", "nan", "inf"],
    int: ["", "x", "5.0", "1k", "-2", "1e3"],
    bool: ["", "2", "x", "enabled", "tru"],
}


@pytest.mark.parametrize("name", [name for kind in IN_ENVIRONMENT_BAD for name in BY_KIND[kind]])
def test_bad_text_in_the_environment(name: str) -> None:
    for text in IN_ENVIRONMENT_BAD[type(FIELDS[name].default)]:
        with pytest.raises(SettingError) as caught:
            Options().with_environment({f"PRONGHORN_{name.upper()}": text})
        before = str(caught.value).partition(" is not allowed: ")[0]
        assert_one_clear_line(caught.value)
        assert name in before.lower()


def test_bad_choice_in_the_environment() -> None:
    with pytest.raises(SettingError) as caught:
        Options().with_environment({"PRONGHORN_LIFESPAN": "maybe"})
    assert_one_clear_line(caught.value, "maybe")
    assert "auto, on, off" in str(caught.value)


# -- Gunicorn's configuration ---------------------------------------------------------------------------------------


def config(**settings: Any) -> Config:
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return cfg


def old_config(**attributes: Any) -> Any:
    """What the configuration of Gunicorn 20.1 has, of all that is read; anything else raises AttributeError."""
    known: dict[str, Any] = {
        "keepalive": 2,
        "graceful_timeout": 30,
        "worker_connections": 1000,
        "limit_request_line": 4094,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "backlog": 2048,
        "is_ssl": None,
        "forwarded_allow_ips": ["127.0.0.1"],
        "strip_header_spaces": False,
        "env": {},
        "secure_scheme_headers": {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
        "proxy_protocol": False,
        "proxy_allow_ips": ["127.0.0.1"],
        "sendfile": True,
        "settings": {"sendfile": SimpleNamespace(get=lambda: None)},
    }
    return SimpleNamespace(**(known | attributes))


@pytest.fixture(autouse=True)
def no_script_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRIPT_NAME", raising=False)


def known(name: str) -> bool:
    return name in Config().settings


NEEDS = {name: pytest.mark.skipif(not known(name), reason=f"{gunicorn.__version__} has no {name}") for name in (
    "asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "root_path", "protocol", "header_map",
    "forwarder_headers", "permit_unconventional_http_method", "permit_unconventional_http_version",
    "casefold_http_method", "permit_obsolete_folding", "strip_header_spaces",
)}  # fmt: skip


@pytest.mark.parametrize("cfg", [Config(), old_config()], ids=[gunicorn.__version__, "like 20.1"])
def test_gunicorns_defaults(cfg: Any) -> None:
    settings = Settings.from_gunicorn(cfg, Options())
    timeouts = settings.timeouts
    assert (timeouts.keepalive, timeouts.graceful, timeouts.disconnect_grace_period) == (2.0, 30.0, 3.0)
    assert (timeouts.header, timeouts.body, timeouts.write, timeouts.request) == (10.0, 30.0, 60.0, 0.0)
    assert settings.limits.worker_connections == 1000
    assert settings.limits.max_body_size == 0
    assert (settings.loop, settings.lifespan, settings.root_path) == ("auto", "auto", "")
    assert settings.backlog == 2048
    assert not settings.is_tls
    assert "127.0.0.1" in settings.trusted_peers
    assert (settings.server_header, settings.date_header, settings.eager_tasks) == ("pronghorn", True, True)
    for rules in (settings.rules, settings.trusting_rules):
        assert (rules.limit_request_line, rules.limit_request_fields, rules.limit_request_field_size) == (
            4094,
            100,
            8190,
        )
        assert rules.header_map == "drop"
        assert not rules.permit_unconventional_http_method
        assert not rules.strip_header_spaces
    assert settings.rules.forwarder_headers == frozenset()
    assert settings.trusting_rules.forwarder_headers == {b"script_name", b"path_info"}


def test_settings_are_frozen() -> None:
    settings = Settings.from_gunicorn(Config(), Options())
    for part in (settings, settings.timeouts, settings.limits):
        for one in dataclasses.fields(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, one.name, None)


def test_times_and_limits_from_gunicorn() -> None:
    cfg = config(keepalive=7, graceful_timeout=8, worker_connections=9, backlog=10)
    settings = Settings.from_gunicorn(cfg, Options())
    assert (settings.timeouts.keepalive, settings.timeouts.graceful) == (7.0, 8.0)
    assert (settings.limits.worker_connections, settings.backlog) == (9, 10)


def test_times_and_limits_from_options() -> None:
    options = Options(header_timeout=1, body_timeout=2, write_timeout=3, request_timeout=4, max_body_size=5)
    settings = Settings.from_gunicorn(Config(), options)
    timeouts = settings.timeouts
    assert (timeouts.header, timeouts.body, timeouts.write, timeouts.request) == (1, 2, 3, 4)
    assert settings.limits.max_body_size == 5


def test_what_responses_carry() -> None:
    options = Options(server_header="", date_header=False, eager_tasks=True, gc_freeze=True)
    settings = Settings.from_gunicorn(Config(), options)
    assert (settings.server_header, settings.date_header, settings.eager_tasks) == ("", False, True)
    assert (settings.gc_freeze, Settings.from_gunicorn(Config(), Options()).gc_freeze) == (True, False)


@pytest.mark.parametrize("line", [0, 100, 4094])
def test_parser_limits(line: int) -> None:
    cfg = config(limit_request_line=line, limit_request_fields=7, limit_request_field_size=line)
    settings = Settings.from_gunicorn(cfg, Options(max_head_size=5000))
    for rules in (settings.rules, settings.trusting_rules):
        assert rules.limit_request_line == (line or 5000)
        assert rules.limit_request_field_size == (line or 5000)
        assert rules.limit_request_fields == 7
        assert rules.limit_request_head == 5000


SWITCHES = [
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
    "permit_obsolete_folding",
    "strip_header_spaces",
]


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS[name]) for name in SWITCHES])
def test_parser_switches(name: str) -> None:
    settings = Settings.from_gunicorn(config(**{name: True}), Options())
    for rules in (settings.rules, settings.trusting_rules):
        assert [other for other in SWITCHES if getattr(rules, other)] == [name]


@NEEDS["header_map"]
@pytest.mark.parametrize("value", ["drop", "refuse", "dangerous"])
def test_header_map(value: str) -> None:
    assert Settings.from_gunicorn(config(header_map=value), Options()).rules.header_map == value


@NEEDS["forwarder_headers"]
@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("SCRIPT_NAME", {b"script_name"}),
        ("SCRIPT_NAME, x_user", {b"script_name", b"x_user"}),
        ("", set()),
    ],
)
def test_forwarder_headers_are_for_trusted_peers_only(value: Any, names: set[bytes]) -> None:
    settings = Settings.from_gunicorn(config(forwarder_headers=value), Options())
    assert settings.trusting_rules.forwarder_headers == names
    assert settings.rules.forwarder_headers == frozenset()


@pytest.mark.parametrize(
    ("value", "trusted", "others"),
    [
        (["127.0.0.1", "::1"], ("127.0.0.1", "::1"), ("10.0.0.1",)),
        ("127.0.0.1,::1", ("127.0.0.1", "::1"), ("10.0.0.1",)),
        (" 127.0.0.1 , ", ("127.0.0.1",), ("::1",)),
        ("*", ("127.0.0.1", "2001:db8::1"), ()),
        (["*"], ("127.0.0.1", "2001:db8::1"), ()),
        ([], (), ("127.0.0.1",)),
        (None, (), ("127.0.0.1",)),
        ([ipaddress.ip_network("10.0.0.0/8")], ("10.1.2.3",), ("11.1.2.3",)),
    ],
    ids=repr,
)
def test_trusted_peers(value: Any, trusted: tuple[str, ...], others: tuple[str, ...]) -> None:
    """A list in some versions, text in others, and networks in 24.1.0."""
    peers = Settings.from_gunicorn(old_config(forwarded_allow_ips=value), Options()).trusted_peers
    assert all(peer in peers for peer in trusted)
    assert not any(peer in peers for peer in others)


def test_tls() -> None:
    assert Settings.from_gunicorn(config(certfile="cert.pem"), Options()).is_tls
    assert not Settings.from_gunicorn(config(), Options()).is_tls


CHOICES = [("loop", "asgi_loop", "asyncio", "uvloop"), ("lifespan", "asgi_lifespan", "on", "off")]


@pytest.mark.parametrize(("name", "setting", "first", "second"), CHOICES)
def test_options_that_stand_in_for_newer_settings(name: str, setting: str, first: str, second: str) -> None:
    cfg = old_config(**{setting: first})
    assert getattr(Settings.from_gunicorn(cfg, Options()), name) == first
    assert getattr(Settings.from_gunicorn(cfg, Options(**{name: second})), name) == second
    assert getattr(Settings.from_gunicorn(old_config(), Options(**{name: second})), name) == second


@pytest.mark.parametrize(
    ("name", "setting", "value"), [("loop", "asgi_loop", "asyncio"), ("lifespan", "asgi_lifespan", "off")]
)
def test_the_newer_settings_themselves(name: str, setting: str, value: str) -> None:
    if not known(setting):
        pytest.skip(f"Gunicorn {gunicorn.__version__} has no {setting}")
    assert getattr(Settings.from_gunicorn(config(**{setting: value}), Options()), name) == value


@pytest.mark.parametrize(
    ("setting", "option", "expected", "on_purpose"),
    [
        (7, -1, 7.0, True),
        (0, -1, 0.0, True),
        (3, -1, 3.0, False),
        (7, 5, 5.0, True),
        (7, 0, 0.0, True),
        (3, 3, 3.0, True),
        (None, -1, 3.0, False),
        (None, 2, 2.0, True),
    ],
)
def test_disconnect_grace_period(setting: int | None, option: float, expected: float, on_purpose: bool) -> None:
    cfg = old_config() if setting is None else old_config(asgi_disconnect_grace_period=setting)
    settings = Settings.from_gunicorn(cfg, Options(disconnect_grace_period=option))
    assert settings.timeouts.disconnect_grace_period == expected
    assert settings.timeouts.cancels_unsafe is on_purpose


@pytest.mark.parametrize("value", ["uwsgi", "fastcgi"])
def test_another_protocol_is_refused(value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_gunicorn(old_config(protocol=value), Options())
    assert_one_clear_line(caught.value, "protocol", value)


# -- root_path ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "setting", "environment", "expected"),
    [
        ("", "", "", ""),
        ("/option", "/setting", "/environment", "/option"),
        ("", "/setting", "/environment", "/setting"),
        ("", "", "/environment", "/environment"),
        ("/a/b", "", "", "/a/b"),
        ("/a/", "", "", "/a"),
        ("/a//", "", "", "/a"),
        ("/", "", "", ""),
    ],
)
def test_root_path(option: str, setting: str, environment: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if environment:
        monkeypatch.setenv("SCRIPT_NAME", environment)
    cfg = old_config(root_path=setting)
    assert Settings.from_gunicorn(cfg, Options(root_path=option)).root_path == expected


def test_root_path_from_raw_env() -> None:
    """The worker's environment, which Gunicorn sets a moment later; a WSGI worker honours it."""
    assert Settings.from_gunicorn(config(raw_env=["SCRIPT_NAME=/app"]), Options()).root_path == "/app"


@pytest.mark.parametrize("value", ["app", "app/", "http://x/app", " /app"])
def test_a_root_path_that_is_none(value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_gunicorn(old_config(), Options(root_path=value))
    assert_one_clear_line(caught.value, "root_path")


@pytest.mark.parametrize(
    ("setting", "environment", "sends"),
    [
        (None, None, True),
        (False, None, False),
        (True, None, True),
        (None, "no", False),
        (None, "yes", True),
        (True, "no", True),
    ],
)
def test_sendfile(
    monkeypatch: pytest.MonkeyPatch, setting: bool | None, environment: str | None, sends: bool
) -> None:
    """Gunicorn's own property answers False to an explicit True."""
    if environment is None:
        monkeypatch.delenv("SENDFILE", raising=False)
    else:
        monkeypatch.setenv("SENDFILE", environment)
    cfg = Config()
    if setting is not None:
        cfg.set("sendfile", setting)
    assert Settings.from_gunicorn(cfg, Options()).sendfile is sends


#: Options with a value that is refused, some of them only beside Gunicorn's settings.
REFUSED = {
    "root_path": ("api/", "'api/'"),
    "health_path": ("health", "'health'"),
    "server_header": ("é", "'é'"),
    "shutdown_delay": (20.0, "20.0"),
    "response_headers": ("no colon", "'no colon'"),
    "forwarded_parts": ("for,planet", "'for,planet'"),
    "loop": ("trio", "'trio'"),
    "header_timeout": (-1.0, "-1.0"),
    "websocket_max_queue": (0, "0"),
}


def test_a_value_that_is_refused_is_named_the_way_it_was_given() -> None:
    cfg = Config()
    for name, (value, told) in REFUSED.items():
        variable = f"PRONGHORN_{name.upper()}"
        with pytest.raises(SettingError) as caught:
            Settings.from_gunicorn(cfg, Options().with_environment({variable: str(value)}))
        assert str(caught.value).startswith(f"{variable}={str(value)!r} is not allowed: "), name
        with pytest.raises(SettingError) as caught:
            Settings.from_gunicorn(cfg, Options(**{name: value}))
        assert str(caught.value).startswith(f"Option {name}={told} is not allowed: "), name


def test_a_root_path_of_gunicorns_or_cgis() -> None:
    cfg = Config()
    if "root_path" in cfg.settings:
        cfg.set("root_path", "api")
        with pytest.raises(SettingError, match=r"^Setting root_path='api' is not allowed: "):
            Settings.from_gunicorn(cfg, Options())
    cfg = Config()
    cfg.set("raw_env", ["SCRIPT_NAME=api"])
    with pytest.raises(SettingError, match=r"^SCRIPT_NAME='api' is not allowed: "):
        Settings.from_gunicorn(cfg, Options())
