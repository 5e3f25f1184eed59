"""The access log: ``logger.access(resp, req, environ, request_time)`` for each finished exchange.

Where that logger is Gunicorn's own and writes plain lines to plain streams, ``logline.py`` makes the lines instead,
byte for byte the same, and those of one loop iteration are written together. Whatever could tell the difference, a
subclass, a filter, a formatter, a handler of another kind, a patched ``logging``, gets the ordinary call.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger, SafeAtoms

from pronghorn.logged import Environ, LoggedRequest, LoggedResponse
from pronghorn.logline import LineFormat, elapsed_since
from pronghorn.wire.escaping import escaped

#: Bytes written at once at most: several workers may share a pipe, and longer writes may be torn there (PIPE_BUF).
_MOST_AT_ONCE = 4096

# What `logging` was before anybody (error trackers do) put something of their own in its place.
_LOG_METHODS = ("info", "_log", "makeRecord", "handle", "callHandlers", "filter", "isEnabledFor")
_LOG_METHODS_BEFORE = [getattr(logging.Logger, name) for name in _LOG_METHODS]
_STREAM_METHODS = ("emit", "handle", "format", "acquire", "flush", "filter")
_STREAM_METHODS_BEFORE = [getattr(logging.StreamHandler, name) for name in _STREAM_METHODS]
_FILE_EMIT_BEFORE = logging.FileHandler.emit
_FORMATTER_METHODS = ("format", "formatMessage", "usesTime")
_FORMATTER_METHODS_BEFORE = [getattr(logging.Formatter, name) for name in _FORMATTER_METHODS]


class AccessLog:
    """Hands finished exchanges to ``logger``. ``timed`` bool: whether it needs to know how long they took.

    ``call_soon``: the loop's, to write what one iteration has gathered. ``clock``: the clock of ``exchange.started``.
    """

    __slots__ = ("_call_soon", "_clock", "_format", "_lines", "_logger", "timed")

    def __init__(
        self,
        logger: Any,
        cfg: Any,
        call_soon: Callable[..., Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._call_soon = call_soon
        self._clock = clock
        if getattr(logger, "atoms_wrapper_class", None) is SafeAtoms:
            logger.atoms_wrapper_class = EscapedAtoms
        self._format = _compiled_format(logger, cfg, clock)
        self._lines: list[str] = []
        self.timed = self._format is None or self._format.timed

    @classmethod
    def of(cls, logger: Any, cfg: Any, call_soon: Callable[..., Any]) -> AccessLog | None:
        """The access log of a worker, None where ``logger.access`` would do nothing."""
        return cls(logger, cfg, call_soon) if cls.is_wanted(logger, cfg) else None

    @staticmethod
    def is_wanted(logger: Any, cfg: Any) -> bool:
        """Whether ``logger.access`` could do anything: Gunicorn's own cannot without an access log."""
        if not _has_own(logger, "access"):
            return True
        return bool(
            cfg.accesslog
            or cfg.logconfig
            or cfg.logconfig_dict
            or getattr(cfg, "logconfig_json", None)  # came with Gunicorn 21
            or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
        )

    def log(self, exchange: Any) -> None:
        """Log ``exchange``, now that its last byte was handed over. Raises nothing that a logger raised."""
        try:
            if not self._gather(exchange):
                req = exchange.logged or LoggedRequest(exchange.request, exchange.endpoint)
                self._call_access(exchange, req, LoggedResponse(exchange), Environ(exchange))
        except BaseException:
            report(self._logger, "Exception in the access log")

    def log_shaped(self, exchange: Any, req: LoggedRequest, resp: LoggedResponse, environ: Environ) -> None:
        """As ``log``, where the objects that the logger is to see exist already."""
        try:
            if not self._gather(exchange):
                self._call_access(exchange, req, resp, environ)
        except BaseException:
            report(self._logger, "Exception in the access log")

    def _call_access(self, exchange: Any, req: Any, resp: Any, environ: Any) -> None:
        elapsed = timedelta(microseconds=elapsed_since(exchange.started, self._clock()))
        self._logger.access(resp, req, environ, elapsed)

    def _gather(self, exchange: Any) -> bool:
        """Add the exchange's line to those of this loop iteration; False where the logger itself has to be called.

        The first line of an iteration decides for all of them.
        """
        if self._format is None:
            return False
        if not self._lines:
            if plain_handlers(self._logger.access_log) is None:
                return False
            self._lines.append(self._format.line(exchange))
            self._call_soon(self.flush)
        else:
            self._lines.append(self._format.line(exchange))
        return True

    def flush(self) -> None:
        """Write the lines gathered so far."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        log = self._logger.access_log
        handlers = plain_handlers(log)
        try:
            if handlers is None:  # somebody changed them within this iteration
                for line in lines:
                    log.handle(_record(log, line))
            else:
                for handler in handlers:
                    _write(log, handler, lines)
        except Exception:
            report(self._logger, "Exception in the access log")


class EscapedAtoms(SafeAtoms):
    """Gunicorn's atoms, in which nothing that a peer sent can begin a line of its own or reach a terminal."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, str):
            return escaped(value)
        if isinstance(value, (int, float)):  # for "%(D)d"
            return value
        return escaped(str(value))


def report(logger: Any, message: str) -> None:
    """Log the exception in hand, by a logger that may itself be what is broken."""
    try:
        logger.exception(message)
    except BaseException:
        traceback.print_exc()


def _compiled_format(logger: Any, cfg: Any, clock: Callable[[], float]) -> LineFormat | None:
    """The format, where ``logger`` does with it what Gunicorn's own class does; None leaves it to ``logger``."""
    if not all(_has_own(logger, name) for name in ("access", "atoms", "now", "_get_user")):
        return None
    if logger.atoms_wrapper_class is not EscapedAtoms or not isinstance(logger.access_log, logging.Logger):
        return None
    try:
        return LineFormat(cfg.access_log_format, logger._get_user, clock)
    except ValueError:
        return None


def _has_own(logger: Any, name: str) -> bool:
    """Whether the logger's method is Gunicorn's, overridden neither by a class nor on the object."""
    return getattr(type(logger), name, None) is getattr(Logger, name) and name not in vars(logger)


def plain_handlers(log: logging.Logger) -> list[Any] | None:
    """The handlers of ``log``, if all they do with a record is to write its message to a stream; else None."""
    if type(log) is not logging.Logger or log.disabled or log.filters or log.propagate:
        return None
    if logging.getLogRecordFactory() is not logging.LogRecord or not log.isEnabledFor(logging.INFO):
        return None
    kind: Any = logging.Logger
    if not _is_untouched(kind, _LOG_METHODS, _LOG_METHODS_BEFORE):
        return None
    handlers = log.handlers
    if not handlers:
        return None
    for handler in handlers:
        if not _is_plain(handler):
            return None
    return handlers


def _is_plain(handler: Any) -> bool:
    kind = type(handler)
    if kind is logging.FileHandler:
        if kind.emit is not _FILE_EMIT_BEFORE:
            return False
    elif kind is not logging.StreamHandler:
        return False
    if handler.level > logging.INFO or handler.filters or "emit" in handler.__dict__ or "handle" in handler.__dict__:
        return False
    formatter = handler.formatter
    if formatter is not None:
        if type(formatter) is not logging.Formatter or "format" in formatter.__dict__:
            return False
        if type(formatter._style) is not logging.PercentStyle or formatter._style._fmt != "%(message)s":
            return False
    kind = logging.StreamHandler
    if not _is_untouched(kind, _STREAM_METHODS, _STREAM_METHODS_BEFORE):
        return False
    kind = logging.Formatter
    return _is_untouched(kind, _FORMATTER_METHODS, _FORMATTER_METHODS_BEFORE)


def _is_untouched(kind: Any, names: tuple[str, ...], before: list[Any]) -> bool:
    for i in range(len(before)):  # noqa: SIM110 - compiled to a C loop, which a generator is not
        if getattr(kind, names[i]) is not before[i]:
            return False
    return True


def _write(log: logging.Logger, handler: Any, lines: list[str]) -> None:
    """Write lines as the handler would: whole lines at once, none torn from its end."""
    handler.acquire()
    try:
        end = handler.terminator
        first = 0
        size = 0
        for i, line in enumerate(lines):
            length = len(line) + 1 if line.isascii() else 4 * len(line) + 1
            if size + length > _MOST_AT_ONCE and i > first:
                _write_together(log, handler, lines[first:i], end)
                first = i
                size = 0
            size += length
        _write_together(log, handler, lines[first:], end)
    finally:
        handler.release()


def _write_together(log: logging.Logger, handler: Any, lines: list[str], end: str) -> None:
    stream = handler.stream
    if stream is None:  # a FileHandler that opens with its first record
        _emit_singly(log, handler, lines)
        return
    try:
        stream.write(end.join(lines) + end)
    except UnicodeError:
        # The stream encodes before it writes, so nothing of these lines is out. One of them is at fault.
        _emit_singly(log, handler, lines)
        return
    except Exception:
        handler.handleError(_record(log, end.join(lines)))
        return
    try:
        handler.flush()
    except Exception:
        handler.handleError(_record(log, end.join(lines)))


def _emit_singly(log: logging.Logger, handler: Any, lines: list[str]) -> None:
    for line in lines:
        handler.emit(_record(log, line))


def _record(log: logging.Logger, line: str) -> logging.LogRecord:
    return log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None)
