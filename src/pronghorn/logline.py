"""``access_log_format``, compiled: a finished exchange becomes the line that Gunicorn's own Logger would write.

Owns the meaning of each atom; the specification is ``gunicorn.glogging.Logger.atoms``, and a property test holds this
module to it, with the ``EscapedAtoms`` that ``accesslog`` gives that Logger. Only what the format names is computed.
What is not ``%(atom)s`` without flags, width or precision is not compiled, nor is what would raise: Gunicorn's own code
stays in charge of such a format.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from pronghorn.environ import path_info, peer_of, protocol_of
from pronghorn.logged import CLIENT_VARIABLE, Environ, client_of
from pronghorn.wire.escaping import escaped
from pronghorn.wire.request import Request


class Atom(IntEnum):
    """What stands at one place of a line."""

    TEXT = 0  # the same in each line
    HOST = 1  # h
    TIME = 2  # t
    REQUEST_LINE = 3  # r
    STATUS = 4  # s
    SENT = 5  # b, B
    JOINED_FIELD = 6  # f, a: all values of a request field, as in the environ
    METHOD = 7  # m
    PATH = 8  # U
    QUERY = 9  # q
    PROTOCOL = 10  # H
    USER = 11  # u
    SECONDS = 12  # T
    MICROSECONDS = 13  # D
    MILLISECONDS = 14  # M
    DECIMAL_SECONDS = 15  # L
    FIELD = 16  # {name}i
    RESPONSE_FIELD = 17  # {name}o
    VARIABLE = 18  # {name}e
    FIELD_VARIABLE = 19  # {http_name}e
    CLIENT = 20  # {asgi.client}e


_TEXT = int(Atom.TEXT)
_HOST = int(Atom.HOST)
_TIME = int(Atom.TIME)
_REQUEST_LINE = int(Atom.REQUEST_LINE)
_STATUS = int(Atom.STATUS)
_SENT = int(Atom.SENT)
_JOINED_FIELD = int(Atom.JOINED_FIELD)
_METHOD = int(Atom.METHOD)
_PATH = int(Atom.PATH)
_QUERY = int(Atom.QUERY)
_PROTOCOL = int(Atom.PROTOCOL)
_USER = int(Atom.USER)
_SECONDS = int(Atom.SECONDS)
_MICROSECONDS = int(Atom.MICROSECONDS)
_MILLISECONDS = int(Atom.MILLISECONDS)
_DECIMAL_SECONDS = int(Atom.DECIMAL_SECONDS)
_FIELD = int(Atom.FIELD)
_RESPONSE_FIELD = int(Atom.RESPONSE_FIELD)
_VARIABLE = int(Atom.VARIABLE)
_FIELD_VARIABLE = int(Atom.FIELD_VARIABLE)
_CLIENT = int(Atom.CLIENT)

_MILLION = 1000000
#: ``timedelta.seconds`` leaves whole days out, and so does Gunicorn.
_DAY = 86400

_now = time.time
_escaped = escaped
_Line = tuple[int, Any]


class LineFormat:
    """A compiled format.

    ``timed`` bool: whether ``line`` reads how long the exchange took. Raises ValueError for a format that is not
    compiled. ``user_of``: what reads the user's name from an environ. ``clock``: the clock of ``exchange.started``.
    """

    __slots__ = ("_arguments", "_clock", "_codes", "_count", "_second", "_time", "_user_of", "timed")

    def __init__(
        self,
        text: str,
        user_of: Callable[[dict[str, Any]], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = _compiled(text)
        self._codes = bytes(code for code, _ in parts)
        self._arguments = [argument for _, argument in parts]
        self._count = len(parts)
        self._user_of = user_of
        self._clock = clock
        self._second = -1
        self._time = ""
        self.timed = any(_SECONDS <= code <= _DECIMAL_SECONDS for code in self._codes)

    def line(self, exchange: Any) -> str:
        """Return the line, without its end."""
        request = exchange.request
        codes = self._codes
        arguments = self._arguments
        elapsed = self._elapsed(exchange) if self.timed else 0
        pieces = []
        i = 0
        while i < self._count:
            code = codes[i]
            argument = arguments[i]
            if code == _TEXT:
                value = argument
            elif code == _STATUS:
                value = _number(exchange.status)
            elif code == _SENT:
                stream = exchange.stream
                value = _number(stream.sent)
            elif code == _TIME:
                value = self._timestamp()
            elif code == _REQUEST_LINE:
                value = _quoted(f"{request.method} {request.target.decode('latin-1')} {protocol_of(request)}")
            elif code == _HOST:
                value = _host(exchange.endpoint)
            elif code == _FIELD:
                value = _field(request, argument)
            elif code == _JOINED_FIELD:
                value = _joined_field(request, argument)
            elif code >= _SECONDS and code <= _DECIMAL_SECONDS:
                value = _duration(code, elapsed)
            else:
                value = self._rarer(code, argument, exchange, request)
            pieces.append(value)
            i += 1
        return "".join(pieces)

    def _rarer(self, code: int, argument: Any, exchange: Any, request: Request) -> str:
        if code == _METHOD:
            return _quoted(request.method)
        if code == _PATH:
            return _quoted(_escaped(path_info(request, exchange.endpoint)))
        if code == _QUERY:
            return _quoted(request.query_string.decode("latin-1"))
        if code == _PROTOCOL:
            return protocol_of(request)
        if code == _USER:
            return self._user(request)
        if code == _RESPONSE_FIELD:
            return _response_field(exchange.response, argument)
        if code == _CLIENT:
            return _quoted(_escaped(client_of(exchange.endpoint)))
        if code == _FIELD_VARIABLE:
            value = _joined_field(request, argument[0])
            if value != "-" or not exchange.scope or not exchange.scope.get("state"):
                return value
            return _variable(Environ(exchange), argument[1])
        return _variable(Environ(exchange), argument)

    def _elapsed(self, exchange: Any) -> int:
        return elapsed_since(exchange.started, self._clock())

    def _timestamp(self) -> str:
        """The time in the Common Log Format, made once a second."""
        second = int(_now())
        if second != self._second:
            self._time = time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(second))
            self._second = second
        return self._time

    def _user(self, request: Request) -> str:
        credentials = _joined_field(request, b"authorization", False)
        if credentials == "-":
            return "-"
        return _quoted(_escaped(self._user_of({"HTTP_AUTHORIZATION": credentials}) or "-"))


def elapsed_since(started: float, now: float) -> int:
    """Return whole microseconds; 0 for an exchange that was refused before it started."""
    return int((now - started) * 1000000.0) if started else 0


def _duration(code: int, elapsed: int) -> str:
    seconds = elapsed // _MILLION % _DAY
    rest = elapsed % _MILLION
    if code == _SECONDS:
        return _number(seconds)
    if code == _MICROSECONDS:
        return _number(seconds * _MILLION + rest)
    if code == _MILLISECONDS:
        return _number(seconds * 1000 + rest // 1000)
    return f"{seconds}.{rest:06}"


def _number(value: int) -> str:
    return f"{value}"


def _quoted(value: str) -> str:
    """Escape as Gunicorn's SafeAtoms does, so that a value cannot end the quotes around it."""
    return value.replace('"', '\\"') if '"' in value else value


def _host(endpoint: Any) -> str:
    peer = peer_of(endpoint)
    return "-" if peer is None else _quoted(peer[0])


def _field(request: Request, wanted: bytes) -> str:
    """The last value of a request field."""
    found = None
    for name, value in request.headers:
        if name == wanted:
            found = value
    return "-" if found is None else _visible(found)


def _visible(value: bytes) -> str:
    """The value of a field as it stands in a line: of its control characters a tab is the only one within ASCII."""
    text = value.decode("latin-1")
    return _quoted(text if value.isascii() and b"\t" not in value else _escaped(text))


def _joined_field(request: Request, wanted: bytes, quoted: bool = True) -> str:
    """All values of a request field, as its environ variable holds them, where "_" and "-" are the same."""
    size = len(wanted)
    found = None
    values: list[bytes] | None = None
    for name, value in request.headers:
        if len(name) == size and (name == wanted or name.replace(b"_", b"-") == wanted):
            if found is None:
                found = value
            elif values is None:
                values = [found, value]
            else:
                values.append(value)
    if found is None:
        return "-"
    if values is not None:
        found = b",".join(values)
    return _visible(found) if quoted else found.decode("latin-1")


def _response_field(response: Any, wanted: bytes) -> str:
    if response is None:
        return "-"
    if wanted == b"content-length" and response.content_length >= 0:
        return str(response.content_length)
    found = None
    for name, value in response.headers:
        if len(name) == len(wanted) and name.lower() == wanted:
            found = value
    return "-" if found is None else _visible(found)


def _variable(environ: Environ, wanted: str) -> str:
    found: Any = "-"
    for name, value in environ.items():
        if name.lower() == wanted:
            found = value
    return _quoted(_escaped(found)) if isinstance(found, str) else _escaped(str(found))


# -- compiling -------------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"%(?:%|\(([^()]*)\)(s|d))")
#: A variable that is a request field's value and nothing else; two fields have variables without the prefix.
_FIELD_NAME = re.compile(r"http_(?!content_type$|content_length$)([a-z0-9_]+)")

_LETTERS: dict[str, _Line] = {
    "h": (_HOST, None),
    "u": (_USER, None),
    "t": (_TIME, None),
    "r": (_REQUEST_LINE, None),
    "s": (_STATUS, None),
    "m": (_METHOD, None),
    "U": (_PATH, None),
    "q": (_QUERY, None),
    "H": (_PROTOCOL, None),
    "b": (_SENT, None),
    "B": (_SENT, None),
    "f": (_JOINED_FIELD, b"referer"),
    "a": (_JOINED_FIELD, b"user-agent"),
    "T": (_SECONDS, None),
    "D": (_MICROSECONDS, None),
    "M": (_MILLISECONDS, None),
    "L": (_DECIMAL_SECONDS, None),
}
_NUMBERS = frozenset("BTDM")


def _compiled(text: str) -> list[_Line]:
    parts: list[_Line] = []
    position = 0
    for match in _PLACE.finditer(text):
        _append_text(parts, text[position : match.start()])
        position = match.end()
        name, conversion = match.group(1), match.group(2)
        if name is None:
            _append(parts, (_TEXT, "%"))
        elif conversion == "d" and name not in _NUMBERS:
            raise ValueError(f"%({name})d is not a number")
        else:
            _append(parts, _part(name))
    _append_text(parts, text[position:])
    return parts


def _part(name: str) -> _Line:
    if name in _LETTERS:
        return _LETTERS[name]
    if name == "p":
        return _TEXT, f"<{os.getpid()}>"
    lower = name.lower()
    kind = lower[-2:]
    if lower.startswith("{") and kind in ("}i", "}o", "}e"):
        inner = lower[1:-2]
        if kind == "}e":
            if inner == CLIENT_VARIABLE:
                return _CLIENT, None
            field = _FIELD_NAME.fullmatch(inner)
            return (_FIELD_VARIABLE, (field[1].replace("_", "-").encode(), inner)) if field else (_VARIABLE, inner)
        if inner.isascii():
            return (_FIELD if kind == "}i" else _RESPONSE_FIELD), inner.encode("ascii")
    return _TEXT, "-"


def _append_text(parts: list[_Line], text: str) -> None:
    if "%" in text:
        raise ValueError(f"{text!r} is more than %(atom)s")
    if text:
        _append(parts, (_TEXT, text))


def _append(parts: list[_Line], part: _Line) -> None:
    if parts and parts[-1][0] == _TEXT == part[0]:
        parts[-1] = _TEXT, parts[-1][1] + part[1]
    else:
        parts.append(part)
