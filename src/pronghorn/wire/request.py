"""One request head, whichever HTTP version carried it: what a parser hands up, already legal.

Owns no behaviour: each field was checked by the parser that filled it (RFC 9110 sections 6 and 7).
"""

from __future__ import annotations

import re

from pronghorn.wire.errors import printable

#: The very object that the method of each GET is: compared by identity, it settles the method of nearly all requests.
GET = "GET"


class Request:
    """A request head.

    ``method`` str · ``target`` bytes as received · ``path`` str, percent-decoded UTF-8 · ``raw_path`` and
    ``query_string`` bytes, undecoded · ``http_version`` "1.0", "1.1" or "2" (``is_1_0``
    says the first, for the hot path) · ``headers`` list of (lower-case name,
    value) in the order received · ``content_length`` int, -1 when not given · ``chunked``, ``has_body``,
    ``keep_alive``, ``expect_continue``, ``accepts_trailers`` bool · ``upgrade`` bytes, the lower-case ``Upgrade``
    value where ``Connection`` lists it, else empty.
    """

    __slots__ = (
        "accepts_trailers",
        "chunked",
        "content_length",
        "expect_continue",
        "has_body",
        "headers",
        "http_version",
        "is_1_0",
        "keep_alive",
        "method",
        "path",
        "query_string",
        "raw_path",
        "target",
        "upgrade",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.path = ""
        self.raw_path = b""
        self.query_string = b""
        self.http_version = "1.1"
        self.is_1_0 = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length = -1
        self.chunked = False
        self.has_body = False
        self.keep_alive = False
        self.expect_continue = False
        self.accepts_trailers = False
        self.upgrade = b""

    def header(self, name: bytes) -> bytes | None:
        """Return the last value of the field ``name`` (lower-case), or None."""
        value = None
        for key, candidate in self.headers:
            if key == name:
                value = candidate
        return value


#: Characters of an unread request line that are shown.
_MOST_SHOWN = 200


def unread_request(line: bytes) -> Request:
    """Return what stands in the log for a request whose line could not be read.

    ``line``: the line as far as it came, or more. What is not printable ASCII is escaped, what is long is cut.
    """
    line = line.lstrip(b"\r\n")
    shown = printable(line.partition(b"\n")[0].removesuffix(b"\r").decode("latin-1"), _MOST_SHOWN)
    method, _, rest = shown.partition(" ")
    target, _, version = rest.rpartition(" ")
    request = Request()
    if _VERSION.fullmatch(version):
        request.http_version = version[5:]
    else:
        target = rest
    request.method = method or "-"
    request.target = target.encode() or b"-"
    request.raw_path, _, request.query_string = request.target.partition(b"?")
    request.path = request.raw_path.decode()
    return request


_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
