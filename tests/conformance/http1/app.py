"""Says what it was given, so that a response tells how its request was read; ``/send/…`` sends what it should not."""

from __future__ import annotations

from typing import Any

#: Response heads that an application might be talked into, by path.
UNSAFE: dict[str, list[tuple[bytes, bytes]]] = {
    "/send/crlf-in-value": [(b"x-name", b"a\r\nset-cookie: admin=1")],
    "/send/lf-in-value": [(b"x-name", b"a\nset-cookie: admin=1")],
    "/send/cr-in-value": [(b"x-name", b"a\rset-cookie: admin=1")],
    "/send/nul-in-value": [(b"x-name", b"a\0b")],
    "/send/response-in-value": [(b"location", b"/\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse")],
    "/send/crlf-in-name": [(b"x-a: 1\r\nx-b", b"2")],
    "/send/colon-in-name": [(b"x-a: 1, x-b", b"2")],
    "/send/empty-name": [(b"", b"2")],
    "/send/two-lengths": [(b"content-length", b"2"), (b"content-length", b"20")],
    "/send/length-of-words": [(b"content-length", b"two")],
    "/send/short-length": [(b"content-length", b"2")],
    "/send/transfer-encoding": [(b"transfer-encoding", b"gzip, chunked"), (b"transfer-encoding", b"identity")],
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    host = dict(scope["headers"]).get(b"host", b"none").decode("latin-1")
    said = f"{scope['method']} {scope['path']}{query.decode('latin-1')} of {host} with {size} bytes".encode()
    headers = UNSAFE.get(scope["path"])
    if headers is None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})
