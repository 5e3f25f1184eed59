"""What an attacker sends so that two parsers, or a client and a cache, read it differently; and what the answer is.

Behind each payload stands ``LAST``, a request of which a server that has read the payload as we do makes exactly one
further response. A request hidden in a payload asks for ``/hidden``.
"""

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
GET = b"GET / HTTP/1.1\r\n" + HOST
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

THEN_LAST = "; GET /last of a with 0 bytes"


class Payload(NamedTuple):
    """``answer``: the responses in order, "; " between: a status, or what the application says it was given."""

    group: str
    name: str
    sent: bytes
    answer: str


def _lengths() -> list[Payload]:
    def case(name: str, fields: bytes, answer: str, body: bytes = b"hello") -> Payload:
        return Payload("Content-Length", name, POST + fields + b"\r\n" + body, answer)

    both = b"0\r\n\r\n" + HIDDEN
    return [
        case("before Transfer-Encoding", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400", both),
        case("after Transfer-Encoding", b"Transfer-Encoding: chunked\r\nContent-Length: 38\r\n", "400", both),
        case("twice, different", b"Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
        case("twice, the same", b"Content-Length: 5\r\nContent-Length: 5\r\n", "400"),
        case("a list of the same", b"Content-Length: 5, 5\r\n", "400"),
        case("with a sign", b"Content-Length: +5\r\n", "400"),
        case("negative", b"Content-Length: -5\r\n", "400"),
        case("hexadecimal", b"Content-Length: 0x5\r\n", "400"),
        case("digits with an underscore", b"Content-Length: 0_5\r\n", "400"),
        case("digits with a space between", b"Content-Length: 0 5\r\n", "400"),
        case("with a decimal point", b"Content-Length: 5.0\r\n", "400"),
        case("empty", b"Content-Length:\r\n", "400"),
        case("Arabic digits", b"Content-Length: \xd9\xa5\r\n", "400"),
        case("2^64 + 5", b"Content-Length: 18446744073709551621\r\n", "413"),
        case("behind a vertical tab", b"Content-Length: \x0b5\r\n", "400"),
        case("name with an underscore", b"Content_Length: 5\r\n", "POST / of a with 0 bytes" + THEN_LAST, b""),
        Payload("Content-Length", "of a GET", GET + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
                f"GET / of a with {len(HIDDEN)} bytes" + THEN_LAST),
    ]  # fmt: skip


def _codings() -> list[Payload]:
    def case(name: str, fields: bytes, answer: str, start: bytes = POST) -> Payload:
        return Payload("Transfer-Encoding", name, start + fields + b"\r\n0\r\n\r\n", answer)

    read = "POST / of a with 0 bytes" + THEN_LAST
    return [
        case("unknown", b"Transfer-Encoding: xchunked\r\n", "400"),
        case("identity after chunked", b"Transfer-Encoding: chunked, identity\r\n", "400"),
        case("gzip before chunked", b"Transfer-Encoding: gzip, chunked\r\n", "501"),
        case("chunked twice in a list", b"Transfer-Encoding: chunked, chunked\r\n", "400"),
        case("two fields, chunked and another", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "400"),
        case("two fields, both chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        case("empty", b"Transfer-Encoding:\r\n", "400"),
        case("an empty item", b"Transfer-Encoding: , chunked\r\n", "400"),
        case("in quotes", b'Transfer-Encoding: "chunked"\r\n', "400"),
        case("with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", "400"),
        case("behind a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", "400"),
        case("before a form feed", b"Transfer-Encoding: chunked\x0c\r\n", "400"),
        case("upper case (legal)", b"Transfer-Encoding: CHUNKED\r\n", read),
        case("behind a tab (legal)", b"Transfer-Encoding:\tchunked\r\n", read),
        case("space before the colon", b"Transfer-Encoding : chunked\r\n", "400"),
        case("space before the name", b" Transfer-Encoding: chunked\r\n", "400"),
        case("folded", b"Transfer-Encoding:\r\n chunked\r\n", "400"),
        case("hidden in a fold", b"X: a\r\n\tTransfer-Encoding: chunked\r\n", "400"),
        case("behind a bare LF", b"X: a\nTransfer-Encoding: chunked\r\n", "400"),
        case("behind a bare CR", b"X: a\rTransfer-Encoding: chunked\r\n", "400"),
        case("behind a NUL", b"X: a\0\r\nTransfer-Encoding: chunked\r\n", "400"),
        case("HTTP/1.0", b"Transfer-Encoding: chunked\r\n", "400", b"POST / HTTP/1.0\r\n" + HOST),
    ]


def _chunks() -> list[Payload]:
    def case(name: str, body: bytes, answer: str = "400") -> Payload:
        return Payload("Chunks", name, CHUNKED + body, answer)

    return [
        case("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
        case("size with a sign", b"+5\r\nhello\r\n0\r\n\r\n"),
        case("negative size", b"-5\r\nhello\r\n0\r\n\r\n"),
        case("size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
        case("space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
        case("space after the size", b"5 \r\nhello\r\n0\r\n\r\n"),
        case("size 2^64 + 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        case("no size", b"\r\nhello\r\n0\r\n\r\n"),
        case("bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
        case("bare CR after the size", b"5\rhello\r\n0\r\n\r\n"),
        case("other bytes for the CRLF after the data", b"5\r\nhelloXX0\r\n\r\n"),
        case("bare LF after the data", b"5\r\nhello\n0\r\n\r\n"),
        case("bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
        case("bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        case("NUL in an extension", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
        case("bare LF at the end", b"0\n\n"),
        case("Content-Length as a trailer", b"0\r\nContent-Length: 5\r\n\r\n"),
        case("Transfer-Encoding as a trailer", b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        case("Host as a trailer", b"0\r\nHost: b\r\n\r\n"),
        case("bare CR in a trailer", b"0\r\nX: a\rb\r\n\r\n"),
        case("leading zeros (legal)", b"0005\r\nhello\r\n000\r\n\r\n", "POST / of a with 5 bytes" + THEN_LAST),
        case("an extension (legal)", b"5;a=b\r\nhello\r\n0\r\n\r\n", "POST / of a with 5 bytes" + THEN_LAST),
    ]


def _request_lines() -> list[Payload]:
    def case(name: str, line: bytes, answer: str = "400", fields: bytes = HOST) -> Payload:
        return Payload("Request line", name, line + fields + b"\r\n", answer)

    of_target = "GET / of b with 0 bytes" + THEN_LAST
    return [
        case("bare LF", b"GET / HTTP/1.1\n", fields=b"Host: a\n\n"),
        case("two spaces", b"GET  / HTTP/1.1\r\n"),
        case("a tab for a space", b"GET\t/ HTTP/1.1\r\n"),
        case("space at the end", b"GET / HTTP/1.1 \r\n"),
        case("space in the target", b"GET /a b HTTP/1.1\r\n"),
        case("fragment in the target", b"GET /a#b HTTP/1.1\r\n"),
        case("bare CR in the target", b"GET /a\rb HTTP/1.1\r\n"),
        case("NUL in the target", b"GET /a\0b HTTP/1.1\r\n"),
        case("version in lower case", b"GET / http/1.1\r\n"),
        case("version 1.10", b"GET / HTTP/1.10\r\n"),
        case("version 3.0", b"GET / HTTP/3.0\r\n", "505"),
        case("HTTP/0.9", b"GET /\r\n"),
        case("method that is no token", b"GE(T / HTTP/1.1\r\n"),
        case("bare LF before it", b"\nGET / HTTP/1.1\r\n"),
        case("bare CR before it", b"\rGET / HTTP/1.1\r\n"),
        case("user information in an absolute target", b"GET http://b@a/ HTTP/1.1\r\n"),
        case("another host in an absolute target", b"GET http://b/ HTTP/1.1\r\n", of_target),
        case("a scheme that is no HTTP", b"GET file:///etc/passwd HTTP/1.1\r\n"),
        case("CONNECT", b"CONNECT a:443 HTTP/1.1\r\n", "501"),
    ]  # fmt: skip


def _fields() -> list[Payload]:
    def case(name: str, fields: bytes, answer: str = "400") -> Payload:
        return Payload("Fields", name, b"GET / HTTP/1.1\r\n" + fields + b"\r\n", answer)

    return [
        case("no Host", b""),
        case("two Hosts", HOST + b"Host: b\r\n"),
        case("Host with a path", b"Host: a/b\r\n"),
        case("Host with user information", b"Host: b@a\r\n"),
        case("Host that is a list", b"Host: a, b\r\n"),
        case("Host with a port out of range", b"Host: a:99999\r\n"),
        case("no colon", HOST + b"X\r\n"),
        case("no name", HOST + b": x\r\n"),
        case("name that is not ASCII", HOST + b"X\xe9: x\r\n"),
        case("NUL in a name", HOST + b"X\0: x\r\n"),
        case("NUL in a value", HOST + b"X: \0\r\n"),
        case("DEL in a value", HOST + b"X: \x7f\r\n"),
        case("bare CR at the end", HOST + b"X: a\r\r\n"),
        case("head ended by bare LF", HOST + b"X: a\r\n\n"),
        case("unknown expectation", HOST + b"Expect: 200-ok\r\n", "417"),
        case("Content-Type twice", HOST + b"Content-Type: a/b\r\nContent-Type: c/d\r\n"),
        Payload(
            "Fields", "request behind Connection: close", GET + b"Connection: close\r\n\r\n" + HIDDEN,
            "GET / of a with 0 bytes",
        ),
    ]  # fmt: skip


def _responses() -> list[Payload]:
    def case(name: str, path: bytes, answer: str = "500" + THEN_LAST) -> Payload:
        return Payload("Responses", name, b"GET /send/" + path + b" HTTP/1.1\r\n" + HOST + b"\r\n", answer)

    return [
        case("CRLF in a value", b"crlf-in-value"),
        case("LF in a value", b"lf-in-value"),
        case("CR in a value", b"cr-in-value"),
        case("NUL in a value", b"nul-in-value"),
        case("a whole response in a value", b"response-in-value"),
        case("CRLF in a name", b"crlf-in-name"),
        case("colon in a name", b"colon-in-name"),
        case("empty name", b"empty-name"),
        case("two lengths", b"two-lengths"),
        case("a length that is no number", b"length-of-words"),
        case("content longer than its length", b"short-length", "GE" + THEN_LAST),
        case("Transfer-Encoding of the application's own", b"transfer-encoding",
             "GET /send/transfer-encoding of a with 0 bytes" + THEN_LAST),
    ]  # fmt: skip


PAYLOADS = [*_lengths(), *_codings(), *_chunks(), *_request_lines(), *_fields(), *_responses()]
