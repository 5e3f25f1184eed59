"""Words that requests use all the time, so that each exists once in memory, and the ones trailers must not use."""

from __future__ import annotations

import re

METHODS: dict[bytes, str] = {
    name.encode(): name
    for name in (
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "PROPFIND",
        "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE",
    )
}  # fmt: skip

_COMMON = """
accept accept-charset accept-encoding accept-language access-control-request-headers access-control-request-method
age authorization cache-control cdn-loop cf-connecting-ip cf-ipcountry cf-ray cf-visitor connection content-disposition
content-encoding content-language content-length content-range content-type cookie date dnt early-data etag expect
forwarded from host http2-settings if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive
last-event-id max-forwards origin pragma priority proxy-authorization proxy-connection purpose range referer
sec-ch-ua sec-ch-ua-arch sec-ch-ua-full-version-list sec-ch-ua-mobile sec-ch-ua-model sec-ch-ua-platform
sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc
sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version te traceparent tracestate
trailer transfer-encoding true-client-ip upgrade upgrade-insecure-requests user-agent via x-amzn-trace-id x-api-key
x-client-ip x-cloud-trace-context x-correlation-id x-csrf-token x-csrftoken x-forwarded-for x-forwarded-host
x-forwarded-port x-forwarded-prefix x-forwarded-proto x-forwarded-protocol x-forwarded-server x-forwarded-ssl
x-http-method-override x-original-uri x-queue-start x-real-ip x-request-id x-request-start x-requested-with
x-scheme
""".split()

#: The names that requests use all the time, in lower case.
NAMES = tuple(name.encode() for name in _COMMON)

#: Framing, routing, request modifiers, authentication and content fields (RFC 9110 section 6.5.1): read too late, a
#: trailer of such a name could change what was already decided.
FORBIDDEN_TRAILERS = frozenset(
    b"""
transfer-encoding content-length trailer host connection keep-alive te upgrade proxy-connection cache-control expect
max-forwards pragma range if-match if-none-match if-modified-since if-unmodified-since if-range authorization
proxy-authorization cookie content-encoding content-type content-range forwarded x-forwarded-for x-forwarded-host
x-forwarded-proto x-forwarded-protocol x-forwarded-port x-forwarded-prefix x-forwarded-ssl x-real-ip
""".split()
)

_OWS = rb"[ \t]*"
_WORD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
#: What may follow a chunk size (RFC 9112 section 7.1.1).
CHUNK_EXTENSIONS = re.compile(b"(?:%b;%b%b(?:%b=%b(?:%b|%b))?)*" % (_OWS, _OWS, _WORD, _OWS, _OWS, _WORD, _QUOTED))
