"""How h11 and httptools (llhttp) read the same bytes, in one form that can be compared with what our parser
says.

Owns the driving of both peers and the reduction of all three to ``Reading``. It does not judge: which
differences are right is written in ``differences.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import h11
import httptools

from tests.corpus.transcript import Body, End, Error, Fields, Head, Transcript


@dataclass
class Reading:
    """One message as some parser read it: what all three parsers can say."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields
    body: bytes = b""
    trailers: Fields = ()
    complete: bool = False


@dataclass
class Account:
    """All that a parser read from some bytes: messages, and why it stopped, if it refused."""

    messages: list[Reading] = field(default_factory=list)
    refusal: str | None = None


def ours(transcript: Transcript) -> Account:
    """Reduce what our parser said."""
    account = Account()
    for event in transcript:
        if isinstance(event, Head):
            account.messages.append(
                Reading(
                    event.method.encode(),
                    event.target,
                    event.version.encode(),
                    event.fields,
                    complete=not event.has_body,
                )
            )
        elif isinstance(event, Body):
            account.messages[-1].body = event.data
        elif isinstance(event, End):
            account.messages[-1].trailers = event.trailers
            account.messages[-1].complete = True
        elif isinstance(event, Error):
            account.refusal = event.reason
    return account


def h11_account(data: bytes) -> Account:
    """Read ``data`` with h11, one connection object a message, since h11 wants responses in between."""
    account = Account()
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        try:
            connection.receive_data(data)
            if not _read_h11_message(connection, account):
                return account
        except h11.RemoteProtocolError as error:
            account.refusal = str(error)
            return account
        data = connection.trailing_data[0]
    return account


def _read_h11_message(connection: h11.Connection, account: Account) -> bool:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            account.messages.append(
                Reading(event.method, event.target, event.http_version, tuple((n, v) for n, v in event.headers))
            )
        elif isinstance(event, h11.Data):
            account.messages[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            account.messages[-1].trailers = tuple((n, v) for n, v in event.headers)
            account.messages[-1].complete = True
            return True
        else:
            assert event is h11.NEED_DATA, event
            return False


class _Callbacks:
    """What httptools calls while it reads."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_body = False
        self.version: Callable[[], str] = str
        self.method: Callable[[], bytes] = bytes

    def on_message_begin(self) -> None:
        self._target = b""
        self._fields = []
        self._in_body = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._account.messages.append(
            Reading(self.method(), self._target, self.version().encode(), tuple(self._fields))
        )
        self._fields = []
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._account.messages[-1].body += body

    def on_message_complete(self) -> None:
        self._account.messages[-1].trailers = tuple(self._fields)
        self._account.messages[-1].complete = True


def httptools_account(data: bytes) -> Account:
    """Read ``data`` with httptools; where it stops at an upgrade, a new parser takes the rest, as for us."""
    account = Account()
    while data:
        callbacks = _Callbacks(account)
        parser = httptools.HttpRequestParser(callbacks)
        callbacks.version = parser.get_http_version
        callbacks.method = parser.get_method
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            data = data[upgrade.args[0] :]
            continue
        except httptools.HttpParserError as error:
            account.refusal = str(error) or type(error).__name__
        break
    return account


PEERS: dict[str, Callable[[bytes], Account]] = {"h11": h11_account, "httptools": httptools_account}
