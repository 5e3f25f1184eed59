"""One request head, whichever HTTP version carried it: what a parser hands up, already legal.

Owns no behaviour: each field was checked by the parser that filled it (RFC 9110 sections 6 and 7).
"""

from __future__ import annotations

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


def unread_request() -> Request:
    """Return what stands in the access log for a request whose head could not be read."""
    request = Request()
    request.method = "-"
    request.target = b"-"
    request.raw_path = b"-"
    request.path = "-"
    return request
