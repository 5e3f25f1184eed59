"""What is said at start of things that have no effect."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
from gunicorn.config import Config

from pronghorn.notices import WITHOUT_EFFECT, notices, outdated_uvloop
from pronghorn.settings import Options
from tests.support.versions import needs_gunicorn

VARIABLES = Options.variables()


def said(environ: tuple[str, ...] = (), **settings: object) -> list[str]:
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return list(notices(cfg.settings, environ, VARIABLES))


def test_a_process_name_without_the_package_that_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = "Setting proc_name='shop' has no effect: the package setproctitle is not installed"
    assert said(proc_name="shop") == [line]
    assert said() == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert said(proc_name="shop") == []


def test_nothing_of_the_defaults() -> None:
    assert said() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"threads": 2},
        {"tmp_upload_dir": "/"},
        {"ssl_version": 5},
        {"do_handshake_on_connect": True},
        {"suppress_ragged_eofs": False},
        pytest.param({"uwsgi_allow_ips": "10.0.0.1"}, marks=needs_gunicorn(24)),
        pytest.param({"http_parser": "fast"}, marks=needs_gunicorn(26)),
        pytest.param({"http_protocols": "h1,h2"}, marks=needs_gunicorn(25)),
        pytest.param({"http2_cleartext": "upgrade"}, marks=needs_gunicorn(27)),
        pytest.param({"http2_max_concurrent_streams": 5}, marks=needs_gunicorn(25)),
        pytest.param({"http2_initial_window_size": 70000}, marks=needs_gunicorn(25)),
        pytest.param({"http2_max_frame_size": 20000}, marks=needs_gunicorn(25)),
        pytest.param({"http2_max_header_list_size": 5}, marks=needs_gunicorn(25)),
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_each_setting(settings: dict[str, object]) -> None:
    ((name, _),) = settings.items()
    (line,) = said(**settings)
    assert line.startswith(f"Setting {name}=")
    assert "has no effect: " in line


def test_the_default_said_again_is_no_news() -> None:
    assert said(threads=1, suppress_ragged_eofs=True) == []


def test_every_setting_of_the_table_exists_in_gunicorn() -> None:
    if "http2_cleartext" not in Config().settings:
        pytest.skip("an older Gunicorn has fewer")
    assert set(WITHOUT_EFFECT) <= set(Config().settings)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "PRONGHORN",
        "PRONGHORN_LOOP",
        "PRONGHORN_PURE",
        "PRONGHORN_SERVICE_HOST",
        "PRONGHORN_SERVICE_PORT",
        "PRONGHORN_SERVICE_PORT_HTTPS",
        "PRONGHORN_PORT",
        "PRONGHORN_PORT_8000_TCP",
        "PRONGHORN_PORT_8000_TCP_PROTO",
        "PRONGHORN_CANARY_SERVICE_HOST",
        "PRONGHORN_CANARY_PORT_8000_TCP_ADDR",
    ],
)
def test_variables_that_are_no_mistake(name: str) -> None:
    assert said((name,)) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PRONGHORN_MAX_BODYSIZE", "; did you mean PRONGHORN_MAX_BODY_SIZE?"),
        ("PRONGHORN_loop", "; did you mean PRONGHORN_LOOP?"),
        ("PRONGHORN_QQQQ", ""),
    ],
)
def test_variables_that_are(name: str, hint: str) -> None:
    assert said((name,)) == [f"Variable {name} is not known{hint}"]


@pytest.mark.parametrize(
    ("version", "is_outdated"),
    [("0.17.0", True), ("0.22.1", True), ("0.23.0", False), ("0.23.0rc1", False), ("1.0", False), (None, False)],
)
def test_a_uvloop_with_a_fault(version: str | None, is_outdated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr("importlib.metadata.version", installed)
    for loop in ("auto", "uvloop"):
        line = outdated_uvloop(loop)
        assert bool(line) is is_outdated
        assert not is_outdated or (f"uvloop {version} can send" in line and "uvloop#645" in line)
    assert outdated_uvloop("asyncio") == ""
