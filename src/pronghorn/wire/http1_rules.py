"""What an HTTP/1 parser accepts: limits, and the leniencies that Gunicorn has a switch for. Immutable by convention."""

from __future__ import annotations

import re
from collections.abc import Callable

from pronghorn.wire.errors import ProtocolError, shown
from pronghorn.wire.http1_vocabulary import METHODS

_METHODS = METHODS
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
#: Characters of the longest method that is conventional to Gunicorn.
_LONGEST_METHOD = 20
#: Gunicorn's own ceiling for ``limit_request_fields``, and what 0 means there.
MOST_FIELDS = 32768


class Rules:
    """What a parser accepts; each name and meaning is that of Gunicorn's setting, where Gunicorn has one.

    ``limit_request_line``, ``limit_request_field_size``: bytes, 0 for no limit. ``limit_request_fields``: fields, 0 for
    ``MOST_FIELDS``. ``limit_request_head``: bytes of a whole head or trailer section, and a bound to what the others
    leave open. ``header_map``: "drop", "refuse" or "dangerous". ``forwarder_headers``: upper-case names with an
    underscore that are kept in a head, "*" for all (``forwards_all``); fill it for trusted peers only. ``on_dropped``:
    is called with the name, in lower case, of each field that ``header_map`` drops.
    """

    __slots__ = (
        "casefold_http_method",
        "forwarder_headers",
        "forwards_all",
        "header_map",
        "limit_request_field_size",
        "limit_request_fields",
        "limit_request_head",
        "limit_request_line",
        "on_dropped",
        "permit_obsolete_folding",
        "permit_unconventional_http_method",
        "permit_unconventional_http_version",
        "strip_header_spaces",
    )

    def __init__(
        self,
        *,
        limit_request_line: int = 4094,
        limit_request_fields: int = 100,
        limit_request_field_size: int = 8190,
        limit_request_head: int = 1024 * 1024,
        permit_unconventional_http_method: bool = False,
        permit_unconventional_http_version: bool = False,
        casefold_http_method: bool = False,
        permit_obsolete_folding: bool = False,
        strip_header_spaces: bool = False,
        header_map: str = "drop",
        forwarder_headers: frozenset[str] = frozenset(),
    ) -> None:
        self.limit_request_line = limit_request_line or limit_request_head
        self.limit_request_fields = limit_request_fields or MOST_FIELDS
        self.limit_request_field_size = limit_request_field_size or limit_request_head
        self.limit_request_head = limit_request_head
        self.permit_unconventional_http_method = permit_unconventional_http_method
        self.permit_unconventional_http_version = permit_unconventional_http_version
        self.casefold_http_method = casefold_http_method
        self.permit_obsolete_folding = permit_obsolete_folding
        self.strip_header_spaces = strip_header_spaces
        self.header_map = header_map
        self.forwarder_headers = frozenset(name.lower().encode("latin-1") for name in forwarder_headers)
        self.forwards_all = "*" in forwarder_headers
        self.on_dropped: Callable[[bytes], None] | None = None

    def line_too_large(self, method_size: int) -> ProtocolError:
        """414 where the target is too long, 501 where it is the method (RFC 9112 section 3)."""
        setting = self._setting("limit_request_line")
        if method_size > min(self.limit_request_line, max(self.limit_request_line // 2, _LONGEST_METHOD)):
            return ProtocolError(501, "Method is too long", setting=setting)
        return ProtocolError(414, "Request line is too large", setting=setting)

    def field_too_large(self, name: bytes) -> ProtocolError:
        reason = f"Field {shown(name)} is too large"
        return ProtocolError(431, reason, setting=self._setting("limit_request_field_size"))

    def too_many_fields(self) -> ProtocolError:
        return ProtocolError(431, "Too many fields", setting=f"limit_request_fields={self.limit_request_fields}")

    def head_too_large(self) -> ProtocolError:
        return ProtocolError(431, "Header section is too large", setting=self._setting("limit_request_head"))

    def extensions_too_large(self) -> ProtocolError:
        reason = "Chunk extensions of the message are too large"
        return ProtocolError(400, reason, setting=self._setting("limit_request_head"))

    def whitespace_after(self, name: bytes) -> ProtocolError:
        setting = "" if self.strip_header_spaces else "strip_header_spaces=False"
        return ProtocolError(400, f"Whitespace after field name {shown(name)}", setting=setting)

    def _setting(self, limit: str) -> str:
        """A limit in bytes as it was set: where it is the head's, it was set by that one's name."""
        most: int = getattr(self, limit)
        return f"max_head_size={most}" if most == self.limit_request_head else f"{limit}={most}"

    def method(self, raw: bytes) -> str:
        """Return the method that ``raw``, a token, stands for. Raises ProtocolError 400 for an unconventional one."""
        name = _METHODS.get(raw)
        if name is None and self.casefold_http_method:
            raw = raw.upper()
            name = _METHODS.get(raw)
        if name is not None:
            return name
        if not self.permit_unconventional_http_method and (
            not 3 <= len(raw) <= _LONGEST_METHOD or b"#" in raw or raw != raw.upper()
        ):
            setting = "casefold_http_method" if raw.upper() in _METHODS else "permit_unconventional_http_method"
            raise ProtocolError(400, "Unconventional method", setting=f"{setting}=False")
        return raw.decode("ascii")

    def check_version(self, version: bytes) -> int:
        """Raise ProtocolError, 400 or 505, unless ``version``, which is not 1.0 or 1.1, is read as HTTP/1.1."""
        match = _VERSION.fullmatch(version)
        if match is None:
            raise ProtocolError(400, "Invalid HTTP version")
        if match[1] != b"1":
            raise ProtocolError(505, f"HTTP version {version[5:].decode()} is not served here")
        if not self.permit_unconventional_http_version:
            setting = "permit_unconventional_http_version=False"
            raise ProtocolError(400, "Unconventional HTTP version", setting=setting)
        return 0

    def keeps(self, name: bytes, in_trailer: bool) -> bool:
        """Whether a field with an underscore in its ``name``, in lower case, stays.

        Raises ProtocolError 400 where ``header_map`` refuses. No proxy sets trailers: none is a forwarder's.
        """
        if not in_trailer and (self.forwards_all or name in self.forwarder_headers):
            return True
        if self.header_map == "refuse":
            reason = f"Field name {shown(name)} has an underscore"
            raise ProtocolError(400, reason, setting=f"header_map={self.header_map}")
        if self.header_map == "dangerous":
            return True
        if self.on_dropped is not None:
            self.on_dropped(name)
        return False
