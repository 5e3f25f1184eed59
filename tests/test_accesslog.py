"""Which loggers are called and which lines are gathered, and that none is lost on the way to the file."""

from __future__ import annotations

import io
import logging
import logging.handlers
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from pronghorn.accesslog import AccessLog, plain_handlers
from tests.support.finished import FinishedExchange, make_endpoint, make_request

FORMAT = "%(m)s %(U)s %(s)s"


def exchange(path: str = "/", **fields: Any) -> FinishedExchange:
    return FinishedExchange(make_request("GET", path.encode()), make_endpoint(), **fields)


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


class Site:
    """One logger of the given class, its stream, and an access log with a loop that the test turns."""

    def __init__(self, kind: type[Logger] = Logger, text: str = FORMAT) -> None:
        self.cfg = Config()
        self.cfg.set("accesslog", "-")
        self.cfg.set("access_log_format", text)
        self.logger = kind(self.cfg)
        self.stream = Stream()
        self.handler: logging.Handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(message)s"))
        self.use(self.handler)
        self.calls: list[Callable[[], None]] = []
        self.log = AccessLog(self.logger, self.cfg, self.calls.append, clock=lambda: 101.5)

    def use(self, *handlers: logging.Handler) -> None:
        self.logger.access_log.handlers[:] = handlers

    def turn(self) -> None:
        """One iteration of the loop."""
        calls, self.calls[:] = self.calls[:], []
        for call in calls:
            call()


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    log = logging.getLogger("gunicorn.access")
    yield
    log.handlers.clear()
    log.filters.clear()
    log.disabled = log.propagate = False
    logging.disable(logging.NOTSET)
    logging.setLogRecordFactory(logging.LogRecord)


class TestBatches:
    def test_one_write_for_an_iteration(self) -> None:
        site = Site()
        for number in range(5):
            site.log.log(exchange(f"/{number}"))
        assert site.stream.writes == []
        assert len(site.calls) == 1
        site.turn()
        assert site.stream.writes == ["".join(f"GET /{number} 200\n" for number in range(5))]

    def test_each_iteration_has_its_own(self) -> None:
        site = Site()
        for number in range(3):
            site.log.log(exchange(f"/{number}"))
            site.turn()
        assert site.stream.writes == [f"GET /{number} 200\n" for number in range(3)]
        site.log.flush()
        assert len(site.stream.writes) == 3, "nothing twice"

    def test_flush_at_the_end(self) -> None:
        site = Site()
        site.log.log(exchange())
        site.log.flush()
        site.turn()
        assert site.stream.writes == ["GET / 200\n"]

    def test_no_write_is_longer_than_a_pipe_takes_at_once(self) -> None:
        site = Site()
        paths = [f"/{number}-" + "x" * (number * 7 % 90) for number in range(300)]
        for path in paths:
            site.log.log(exchange(path))
        site.turn()
        assert site.stream.getvalue() == "".join(f"GET {path} 200\n" for path in paths)
        assert 2 < len(site.stream.writes) < 20
        assert all(len(text) <= 4096 and text.endswith("\n") for text in site.stream.writes)

    def test_bytes_count_not_characters(self) -> None:
        site = Site()
        for _ in range(40):
            site.log.log(exchange("/" + "%C3%A9" * 100))
        site.turn()
        assert max(len(text.encode()) for text in site.stream.writes) <= 4096

    def test_a_line_that_is_longer_goes_alone(self) -> None:
        site = Site()
        paths = ["/a", "/" + "x" * 5000, "/b"]
        for path in paths:
            site.log.log(exchange(path))
        site.turn()
        assert site.stream.writes == [f"GET {path} 200\n" for path in paths]

    def test_all_handlers(self, tmp_path: Path) -> None:
        site = Site()
        file = logging.FileHandler(tmp_path / "log", delay=True)
        site.use(site.handler, file)
        site.log.log(exchange())
        site.turn()
        file.close()
        assert site.stream.getvalue() == (tmp_path / "log").read_text() == "GET / 200\n"

    def test_the_terminator_is_the_handlers(self) -> None:
        site = Site()
        site.handler.terminator = "|"  # type: ignore[attr-defined]
        site.log.log(exchange("/1"))
        site.log.log(exchange("/2"))
        site.turn()
        assert site.stream.getvalue() == "GET /1 200|GET /2 200|"


class TestNothingIsLost:
    def test_reopened_in_between(self, tmp_path: Path) -> None:
        """SIGUSR1 with a file that was moved away: what waits goes to the new one."""
        site = Site()
        path = tmp_path / "log"
        file = logging.FileHandler(path)
        site.use(file)
        site.log.log(exchange("/1"))
        site.turn()
        site.log.log(exchange("/2"))
        path.rename(tmp_path / "log.1")
        site.logger.reopen_files()
        site.turn()
        file.close()
        assert (tmp_path / "log.1").read_text() + path.read_text() == "GET /1 200\nGET /2 200\n"

    def test_closed_in_between(self, tmp_path: Path) -> None:
        site = Site()
        file = logging.FileHandler(tmp_path / "log")
        site.use(file)
        site.log.log(exchange())
        file.close()
        site.turn()
        file.close()
        assert (tmp_path / "log").read_text() == "GET / 200\n"

    def test_handlers_changed_in_between(self) -> None:
        site = Site()
        site.log.log(exchange())
        site.handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        site.turn()
        assert site.stream.getvalue() == "INFO GET / 200\n"

    def test_characters_that_the_file_cannot_hold(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One line is lost, as with Gunicorn, and said to be; its neighbours are not."""
        site = Site()
        file = logging.FileHandler(tmp_path / "log", encoding="ascii", errors="strict")
        site.use(file)
        for path in ("/1", "/%C3%A9", "/2"):
            site.log.log(exchange(path))
        site.turn()
        file.close()
        assert (tmp_path / "log").read_text() == "GET /1 200\nGET /2 200\n"
        assert capsys.readouterr().err.count("UnicodeEncodeError") >= 1

    @pytest.mark.parametrize("method", ["write", "flush"])
    def test_a_stream_that_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str
    ) -> None:
        site = Site()

        def fail(*_: Any) -> None:
            raise OSError("disk is full")

        monkeypatch.setattr(site.stream, method, fail)
        site.log.log(exchange("/1"))
        site.turn()
        monkeypatch.undo()
        assert "disk is full" in capsys.readouterr().err
        site.log.log(exchange("/2"))
        site.turn()
        assert site.stream.getvalue().endswith("GET /2 200\n")

    def test_a_failing_handler_leaves_the_others_theirs(self, capsys: pytest.CaptureFixture[str]) -> None:
        site = Site()
        closed = io.StringIO()
        closed.close()
        site.use(logging.StreamHandler(closed), site.handler)
        site.log.log(exchange())
        site.turn()
        assert site.stream.getvalue() == "GET / 200\n"
        assert "closed" in capsys.readouterr().err


# -- who gets the ordinary call ---------------------------------------------------------------------------------------


class OwnAtoms(Logger):
    def atoms(self, *args: Any) -> dict[str, Any]:
        return {**super().atoms(*args), "m": "own"}


class OwnTime(Logger):
    def now(self) -> str:
        return "now"


class OwnAccess(Logger):
    def access(self, *args: Any) -> None:
        super().access(*args)


class OwnWrapper(Logger):
    class atoms_wrapper_class(dict[str, Any]):
        def __missing__(self, key: str) -> str:
            return "none"


class OwnUser(Logger):
    def _get_user(self, environ: Any) -> str:
        return "own"


class OnlyMore(Logger):
    """Changes nothing that the access log is made of."""

    def info(self, *args: Any, **kwargs: Any) -> None:
        super().info("more")


class TestOrdinaryCall:
    @pytest.mark.parametrize("kind", [OwnAtoms, OwnTime, OwnAccess, OwnWrapper, OwnUser])
    def test_subclasses(self, kind: type[Logger]) -> None:
        site = Site(kind)
        site.log.log(exchange())
        assert site.stream.getvalue() == ("own / 200\n" if kind is OwnAtoms else "GET / 200\n")
        assert site.calls == []

    def test_a_subclass_that_changes_nothing_here(self) -> None:
        site = Site(OnlyMore)
        site.log.log(exchange())
        assert len(site.calls) == 1

    @pytest.mark.parametrize("name", ["access", "atoms", "now"])
    def test_methods_of_the_object(self, name: str) -> None:
        plain = Logger(Config())
        cfg = Config()
        cfg.set("accesslog", "-")
        setattr(plain, name, getattr(plain, name))
        calls: list[Any] = []
        AccessLog(plain, cfg, calls.append).log(exchange())
        assert calls == []

    def test_a_format_that_is_not_compiled(self) -> None:
        site = Site(text="%(m)6s|")
        site.log.log(exchange())
        assert site.stream.getvalue() == "   GET|\n"

    @pytest.mark.parametrize("where", ["logger", "handler"])
    def test_filters(self, where: str) -> None:
        site = Site()
        seen: list[Any] = []

        def only_first(record: logging.LogRecord) -> bool:
            assert isinstance(record.args, dict)
            seen.append(record.args["U"])
            return len(seen) == 1

        target: Any = site.logger.access_log if where == "logger" else site.handler
        target.addFilter(only_first)
        site.log.log(exchange("/1"))
        site.log.log(exchange("/2"))
        assert site.stream.getvalue() == "GET /1 200\n"
        assert seen == ["/1", "/2"]

    @pytest.mark.parametrize(
        ("formatter", "line"),
        [
            (logging.Formatter("%(levelname)s %(message)s"), "INFO GET / 200\n"),
            (logging.Formatter("{message}!", style="{"), "GET / 200!\n"),
            (type("Own", (logging.Formatter,), {"format": lambda self, record: record.args["m"]})(), "GET\n"),
        ],
    )
    def test_formatters(self, formatter: logging.Formatter, line: str) -> None:
        site = Site()
        site.handler.setFormatter(formatter)
        site.log.log(exchange())
        assert site.stream.getvalue() == line

    def test_a_handler_without_formatter_is_plain(self) -> None:
        site = Site()
        site.handler.setFormatter(None)
        site.log.log(exchange())
        assert len(site.calls) == 1
        site.turn()
        assert site.stream.getvalue() == "GET / 200\n"

    def test_levels(self) -> None:
        site = Site()
        site.handler.setLevel(logging.WARNING)
        site.log.log(exchange())
        site.handler.setLevel(logging.NOTSET)
        logging.disable(logging.INFO)
        site.log.log(exchange())
        logging.disable(logging.NOTSET)
        site.logger.access_log.setLevel(logging.ERROR)
        site.log.log(exchange())
        assert (site.stream.getvalue(), site.calls) == ("", [])

    def test_disabled(self) -> None:
        site = Site()
        site.logger.access_log.disabled = True
        site.log.log(exchange())
        site.turn()
        assert site.stream.getvalue() == ""

    def test_propagation(self, caplog: pytest.LogCaptureFixture) -> None:
        site = Site()
        site.logger.access_log.propagate = True
        site.log.log(exchange())
        assert [record.getMessage() for record in caplog.records] == ["GET / 200"]
        assert site.stream.getvalue() == "GET / 200\n"

    def test_handlers_of_other_kinds(self, tmp_path: Path) -> None:
        site = Site()
        rotating = logging.handlers.RotatingFileHandler(tmp_path / "log", maxBytes=25, backupCount=9)
        site.use(rotating)
        for number in range(6):
            site.log.log(exchange(f"/{number}"))
        rotating.close()
        text = "".join(path.read_text() for path in sorted(tmp_path.iterdir(), reverse=True))
        assert text == "".join(f"GET /{number} 200\n" for number in [0, 1, 2, 3, 4, 5])
        assert len(list(tmp_path.iterdir())) > 1

    def test_record_factory(self) -> None:
        site = Site()
        seen: list[str] = []

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            seen.append(args[0])
            return logging.LogRecord(*args, **kwargs)

        logging.setLogRecordFactory(factory)
        site.log.log(exchange())
        assert seen == ["gunicorn.access"]
        assert site.stream.getvalue() == "GET / 200\n"

    def test_patched_logging(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As error trackers do it, to note what happened before an error."""
        site = Site()
        seen: list[str] = []
        before = logging.Logger.callHandlers

        def noted(self: logging.Logger, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            before(self, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", noted)
        site.log.log(exchange())
        assert seen == ["GET / 200"]

    def test_handlers_patched_on_the_object(self, monkeypatch: pytest.MonkeyPatch) -> None:
        site = Site()
        seen: list[logging.LogRecord] = []
        monkeypatch.setattr(site.handler, "emit", seen.append)
        site.log.log(exchange())
        assert len(seen) == 1

    def test_no_handlers(self) -> None:
        site = Site()
        site.use()
        assert plain_handlers(site.logger.access_log) is None
        site.log.log(exchange())
        assert site.calls == []


class Duck:
    """Quacks like a logger: Gunicorn's documentation asks for no base class."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.errors: list[str] = []

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        self.seen.append((resp, req, environ, request_time))

    def exception(self, message: str, *args: Any) -> None:
        self.errors.append(message)


def never(callback: Any) -> None:
    raise AssertionError("nothing to gather")


class TestLoggers:
    def test_duck(self) -> None:
        duck = Duck()
        log = AccessLog(duck, Config(), never, clock=lambda: 101.5)
        assert log.timed
        log.log(exchange("/a%20b?c", status=404, sent=7))
        ((resp, req, environ, request_time),) = duck.seen
        assert (resp.status, resp.status_code, resp.sent) == ("404 Not Found", 404, 7)
        assert (req.method, req.path, req.query, req.uri) == ("GET", "/a%20b", "c", "/a%20b?c")
        assert environ["PATH_INFO"] == "/a b"
        assert request_time == timedelta(seconds=1.5)
        assert type(request_time) is timedelta
        assert duck.errors == []

    def test_the_request_of_the_hooks(self) -> None:
        duck = Duck()
        shared = object()
        AccessLog(duck, Config(), never).log(exchange(logged=shared))
        assert duck.seen[0][1] is shared

    def test_shapes_that_exist(self) -> None:
        duck = Duck()
        AccessLog(duck, Config(), never).log_shaped(exchange(), 1, 2, 3)  # type: ignore[arg-type]
        assert duck.seen[0][:3] == (2, 1, 3)

    def test_what_was_refused_took_no_time(self) -> None:
        duck = Duck()
        AccessLog(duck, Config(), never).log(exchange(started=0.0))
        assert duck.seen[0][3] == timedelta()

    def test_a_logger_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        duck = Duck()
        monkeypatch.setattr(duck, "access", lambda *_: 1 / 0)
        AccessLog(duck, Config(), never).log(exchange())
        assert duck.errors == ["Exception in the access log"]

    def test_a_logger_that_fails_to_say_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        AccessLog(object(), Config(), never).log(exchange())
        assert "AttributeError" in capsys.readouterr().err

    def test_a_loop_that_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        site = Site()

        def closed(callback: Any) -> None:
            raise RuntimeError("Event loop is closed")

        log = AccessLog(site.logger, site.cfg, closed)
        errors: list[Any] = []
        monkeypatch.setattr(site.logger, "exception", lambda *args: errors.append(args), raising=False)
        log.log(exchange())
        log.flush()
        assert site.stream.getvalue() == "GET / 200\n"


class TestWanted:
    @pytest.mark.parametrize(
        ("settings", "wanted"),
        [
            ({}, False),
            ({"accesslog": "-"}, True),
            ({"logconfig": __file__}, True),
            ({"logconfig_dict": {"version": 1}}, True),
            ({"syslog": True}, True),
            ({"syslog": True, "disable_redirect_access_to_syslog": True}, False),
        ],
    )
    def test_gunicorns_logger(self, settings: dict[str, Any], wanted: bool) -> None:
        logger = Logger(Config())
        cfg = Config()
        for name, value in settings.items():
            cfg.set(name, value)
        assert AccessLog.is_wanted(logger, cfg) is wanted

    @pytest.mark.parametrize("kind", [OwnAccess, Duck])
    def test_other_loggers_always(self, kind: Any) -> None:
        logger = Duck() if kind is Duck else kind(Config())
        assert AccessLog.is_wanted(logger, Config())

    def test_statsd_always(self) -> None:
        from gunicorn.instrument.statsd import Statsd

        cfg = Config()
        cfg.set("statsd_host", "127.0.0.1:8125")
        assert AccessLog.is_wanted(Statsd(cfg), cfg)

    def test_only_durations_are_timed(self) -> None:
        assert not Site().log.timed
        assert Site(text="%(L)s").log.timed
        assert Site(OwnAccess).log.timed


def test_standard_output_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``accesslog = "-"`` makes of the logger is served by the compiled format."""
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    cfg = Config()
    cfg.set("accesslog", "-")
    logger = Logger(cfg)
    log = logger.access_log
    # Some versions of pytest add handlers of their own.
    log.handlers[:] = [handler for handler in log.handlers if type(handler) is logging.StreamHandler]
    assert plain_handlers(log) == log.handlers
    assert len(log.handlers) == 1
