"""The compiled format against Gunicorn's own Logger: the same bytes, for any format and any request."""

from __future__ import annotations

import io
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import AccessLogFormat, Config
from gunicorn.glogging import Logger, SafeAtoms
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pronghorn.accesslog import AccessLog
from pronghorn.logged import Environ
from pronghorn.logline import LineFormat
from pronghorn.wire.escaping import escaped
from pronghorn.wire.response import Response
from tests.support.finished import FinishedExchange, make_endpoint, make_request


class Reference(Logger):
    """Gunicorn's Logger but for its class, which takes the compiled format away from it."""

    def access(self, *args: Any) -> None:
        super().access(*args)


def written(kind: type[Logger], text: str, exchange: Any) -> str:
    """What a logger of that class writes of ``exchange``."""
    cfg = Config()
    cfg.set("accesslog", "-")
    cfg.set("access_log_format", text)
    logger = kind(cfg)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.access_log.handlers[:] = [handler]
    try:
        log = AccessLog(logger, cfg, lambda callback: None, clock=lambda: exchange.started + exchange.elapsed)
        log.log(exchange)
        log.flush()
    finally:
        logger.access_log.handlers.clear()
    return stream.getvalue()


def written_by_both(text: str, exchange: Any) -> tuple[str, str]:
    """The compiled line and Gunicorn's, of one and the same second."""
    while True:
        second = int(time.time())
        both = written(Logger, text, exchange), written(Reference, text, exchange)
        # time.strftime() may read a coarser clock: a few milliseconds after the second it still tells the last one.
        if int(time.time()) == second and time.time() - second > 0.02:
            return both
        time.sleep(0.005)


# -- what requests may be ---------------------------------------------------------------------------------------------

FIELD_NAMES = [
    *(b"host", b"referer", b"user-agent", b"user_agent", b"x-test", b"x_test", b"authorization", b"cookie"),
    *(b"content-type", b"content-length", b"x-1", b"server_name"),
]
RESPONSE_FIELD_NAMES = [b"content-type", b"Content-Type", b"X-App", b"x-app", b"Set-Cookie", b"date"]
VISIBLE = bytes(range(0x21, 0x7F))

visible = st.lists(st.sampled_from(VISIBLE), max_size=12).map(bytes)
obs_text = st.lists(st.integers(0x20, 0xFF).map(lambda c: 9 if c == 0x7F else c), max_size=12)
values = st.one_of(visible, obs_text.map(bytes))
credentials = st.sampled_from(
    [
        b"Basic YWRhOnNlY3JldA==",
        b"basic YSJiOng=",
        b"Basic",
        b"Basic =",
        b"Basic w4R4OnA=",
        b"Basic //86YQ==",
        b"Bearer x",
        b"Basic YQpiG1sxbTp4",
        b"Basic 4oCueDp5",
    ]
)
fields = st.one_of(st.tuples(st.sampled_from(FIELD_NAMES), values), st.tuples(st.just(b"authorization"), credentials))
paths = st.one_of(
    visible.map(lambda text: b"/" + text.replace(b"?", b"")),
    st.sampled_from(
        [
            *(b"*", b"/", b"/a%20b", b"/caf%C3%A9", b"/%22", b"/%0A", b"/%1B[1m", b"/%C2%9B", b"/%7F%00", b"/%ff"),
            *(b"/app", b"/app/x", b"/apple", b"-"),
        ]
    ),
)


@st.composite
def exchanges(draw: st.DrawFn) -> FinishedExchange:
    raw_path = draw(paths)
    query = draw(visible)
    request = make_request(
        draw(st.sampled_from(["GET", "HEAD", "POST", "X'\"Y", "-"])),
        raw_path + (b"?" + query if query else b""),
        draw(st.lists(fields, max_size=6)),
        http_version=draw(st.sampled_from(["1.0", "1.1", "2"])),
    )
    endpoint = make_endpoint(
        client=draw(st.sampled_from([("127.0.0.1", 50000), ("2001:db8::1", 1), None])),
        server=draw(st.sampled_from([("10.0.0.1", 80), ("::1", 8000), ("/run/s", None), None])),
        scheme=draw(st.sampled_from(["http", "https"])),
        root_path=draw(st.sampled_from(["", "/app", "/é"])),
    )
    response = None
    if draw(st.booleans()):
        headers = draw(st.lists(st.tuples(st.sampled_from(RESPONSE_FIELD_NAMES), values), max_size=4))
        if draw(st.booleans()):
            headers.append((b"Content-Length", b"12"))
        response = Response(200, headers)
    state = draw(
        st.one_of(
            st.none(),
            st.dictionaries(
                st.sampled_from(["user_id", "User", "REMOTE_ADDR", "path_info", "http_x_test", "n"]),
                st.one_of(st.text(max_size=5), st.integers(), st.none(), st.just(Path("a\nb")), st.just(b"\n")),
            ),
        )
    )
    return FinishedExchange(
        request,
        endpoint,
        response,
        status=draw(st.sampled_from([200, 204, 304, 404, 499, 500, 599, 999])),
        sent=draw(st.sampled_from([0, 1, 13, 10**12])),
        started=draw(st.sampled_from([0.0, 1.0, 5000.25])),
        elapsed=draw(st.sampled_from([0.0, 4e-7, 0.0015, 12.3456789, 59.9999996, 90061.5])),  # days are left out
        scope=None if state is None else {"type": "http", "state": state},
    )


# -- what formats may be ----------------------------------------------------------------------------------------------

ATOMS = [
    *"hlutrsmUqHbBfaTDMLpSxX",
    *(
        "",
        "nope",
        "hh",
        "{x-test}i",
        "{X-Test}I",
        "{x_test}i",
        "{missing}i",
        "{content-length}i",
        "{é}i",
        "{x-test}",
        "{x",
    ),
    *("{content-type}o", "{X-App}o", "{x-app}O", "{content-length}o", "{missing}o", "{set-cookie}o"),
    *("{server_protocol}e", "{REQUEST_METHOD}e", "{raw_uri}e", "{path_info}e", "{query_string}e", "{script_name}e"),
    *("{server_name}e", "{server_port}e", "{remote_addr}e", "{remote_port}e", "{wsgi.url_scheme}e", "{wsgi.version}e"),
    *("{content_type}e", "{content_length}e", "{http_host}e", "{http_x_test}e", "{HTTP_user_agent}e", "{http_x-test}e"),
    *("{user_id}e", "{user}e", "{n}e", "{missing}e", "{http_missing}e", "{http_}e", "{server_software}e"),
    *("{asgi.client}e", "{ASGI.client}E"),
]
pieces = st.one_of(
    st.sampled_from(ATOMS).map(lambda name: f"%({name})s"),
    st.sampled_from(
        ["%(D)d", "%(B)d", "%(T)d", "%(M)d", "%%", "%%s", "%%(h)s", " ", '"', "é", "\\", "{}", "(h)s", "\n"]
    ),
    st.text(max_size=4).map(lambda text: text.replace("%", "%%")),
)
formats = st.lists(pieces, max_size=8).map("".join)


@settings(max_examples=400, deadline=None)
@given(formats, exchanges())
@example(AccessLogFormat.default, FinishedExchange(make_request("GET", b"/"), make_endpoint()))
def test_the_bytes_are_those_of_gunicorn(text: str, exchange: FinishedExchange) -> None:
    compiled, own = written_by_both(text, exchange)
    assert compiled == own
    assert compiled.endswith("\n")


def test_every_atom_alone() -> None:
    exchange = FinishedExchange(
        make_request(
            "GET",
            b'/p%20q?"',
            [(b"x-test", b'"1"'), (b"x-test", b"2"), (b"referer", b"r"), (b"user-agent", b'"'), (b"user_agent", b"2")],
        ),
        make_endpoint(),
        Response(200, [(b"X-App", b"a"), (b"content-length", b"5")]),
        sent=5,
        elapsed=90061.0015,
    )
    for name in ATOMS:
        compiled, own = written_by_both(f"%({name})s", exchange)
        assert compiled == own, name


#: What would begin a line of its own, or a terminal's command, encoded as a peer may send it.
HOSTILE = FinishedExchange(
    make_request(
        "GET",
        b"/%0AGET%0D/%1B[2J%C2%9B%7F%00%E2%80%A8?%0A%1B",
        [
            *((name, b"a\x9b31m\x85\tb") for name in (b"referer", b"user-agent", b"x-test", b"content-type")),
            (b"authorization", b"Basic YQpiG1sxbcKb4oCo4oCuOng="),
        ],
    ),
    make_endpoint(),
    Response(200, [(b"X-App", b"a\x9b\t")]),
    scope={"type": "http", "state": {"user": "a\nb\x1b\u2028\ud800", "n": Path("a\nb\x9b")}},
)


def test_no_control_character_of_a_peer_is_in_a_line() -> None:
    for name in ATOMS:
        for line in written_by_both(f"%({name})s", HOSTILE):
            assert escaped(line.removesuffix("\n")) == line.removesuffix("\n"), name
    for name, shown in (
        ("U", r"/\x0aGET\x0d/\x1b[2JÂ\x9b\x7f\x00â\x80¨"),
        ("q", "%0A%1B"),
        ("u", r"a\x0ab\x1b[1m\x9b\u2028\u202e"),
        ("a", r"a\x9b31m\x85\x09b"),
        ("{x-app}o", r"a\x9b\x09"),
        ("{user}e", r"a\x0ab\x1b\u2028\ud800"),
        ("{n}e", r"a\x0ab\x9b"),
    ):
        assert written_by_both(f"%({name})s", HOSTILE) == (shown + "\n",) * 2, name


def test_what_is_harmless_is_as_gunicorn_writes_it() -> None:
    """Against the atoms as Gunicorn has them, not as they are put into its logger here."""
    request = make_request("GET", b"/caf%C3%A9/\\?a=%22", [(b"user-agent", b'caf\xe9 "x" \\ \xa0\xad')])
    exchange = FinishedExchange(request, make_endpoint())
    environ = Environ(exchange)
    theirs = SafeAtoms({"U": environ["PATH_INFO"], "a": environ["HTTP_USER_AGENT"], "q": environ["QUERY_STRING"]})
    assert written_by_both("%(U)s|%(a)s|%(q)s", exchange) == ("{U}|{a}|{q}\n".format(**theirs),) * 2


def compiled(text: str) -> LineFormat:
    return LineFormat(text, lambda environ: None)


@pytest.mark.parametrize(
    "text",
    ["%(h)10s", "%(h)-3s", "%(h).3s", "%(s)r", "%(s)d", "%(h)", "%s", "%", "100%", "%(h", "%(a(b)c)s", "%(D)x", "%%%"],
)
def test_what_is_left_to_gunicorn(text: str) -> None:
    with pytest.raises(ValueError):
        compiled(text)


@pytest.mark.parametrize("text", ["%(h)10s|", "%(a)-12s|", "%(r).7s", "%(D)x", "%(s)r", "%(T)05d"])
def test_what_is_left_to_gunicorn_is_still_logged(text: str) -> None:
    exchange = FinishedExchange(make_request("GET", b"/long/path"), make_endpoint(), status=200)
    own, same = written_by_both(text, exchange)
    assert own == same
    assert len(own) > 1


@pytest.mark.parametrize(
    ("text", "timed"),
    [(AccessLogFormat.default, False), ("%(D)s", True), ("%(L)s", True), ("%(T)s", True), ("%(M)d", True)],
)
def test_only_durations_need_the_clock(text: str, timed: bool) -> None:
    assert compiled(text).timed is timed


def test_only_what_is_named_is_looked_at() -> None:
    class Bare:
        """Has nothing but a status."""

        request = make_request("GET", b"/")
        status = 204

    assert compiled("%(s)s %(m)s %(l)s").line(Bare()) == "204 GET -"


def test_a_line_is_of_its_own_second(monkeypatch: pytest.MonkeyPatch) -> None:
    line = compiled("%(t)s")
    exchange = FinishedExchange(make_request("GET", b"/"), make_endpoint())
    first = line.line(exchange)
    deadline = time.monotonic() + 5
    while line.line(exchange) == first:
        assert time.monotonic() < deadline, "the time stands still"
        time.sleep(0.01)
