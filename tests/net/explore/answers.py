"""What a client understands of the bytes it got: answers, one after the other, and what follows an upgrade."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Got:
    """``complete``: it has its end. ``framed``: in the bytes of its content alone, chunk sizes not counted."""

    status: int
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    @property
    def closes(self) -> bool:
        return self.headers.get(b"connection", b"").lower() == b"close"


def read_answers(data: bytes, methods: list[str], ended: bool) -> tuple[list[Got], bytes | None]:
    """Answers to requests of these methods, and the bytes behind a 101; AssertionError for what is none.

    ``ended``: nothing follows, which ends a response that says nothing of its length.
    """
    found: list[Got] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            assert b"HTTP/1.1 ".startswith(data[:9]) or data.startswith(b"HTTP/1.1 "), f"no response: {data[:80]!r}"
            break
        got = _read_head(head)
        if got.status == 101:
            found.append(got)
            got.complete = True
            return found, rest
        if got.status < 200:
            data = rest
            continue
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        found.append(got)
        data = _read_body(got, rest, method, ended)
        if not got.complete:
            break
    return found, None


def _read_head(head: bytes) -> Got:
    first, *lines = head.split(b"\r\n")
    version, status, _ = first.split(b" ", 2)
    assert version == b"HTTP/1.1", first[:80]
    got = Got(int(status))
    for line in lines:
        name, _, value = line.partition(b": ")
        assert name.lower() not in got.headers or name.lower() == b"link", line
        got.headers[name.lower()] = value
    return got


def _read_body(got: Got, data: bytes, method: str, ended: bool) -> bytes:
    """Take the content from ``data``, and return what is behind it."""
    if method == "HEAD" or got.status in (204, 304):
        got.complete = True
        return data
    if b"content-length" in got.headers:
        length = int(got.headers[b"content-length"])
        got.body = data[:length]
        got.complete = len(got.body) == length
        return data[length:]
    if b"transfer-encoding" not in got.headers:
        got.body = data
        got.complete = ended
        return b""
    parts = []
    while True:
        size, end, rest = data.partition(b"\r\n")
        if not end:
            break
        length = int(size, 16)
        if length == 0:
            got.complete = rest.startswith(b"\r\n")
            data = rest[2:]
            break
        parts.append(rest[:length])
        if len(rest) < length + 2:
            break
        assert rest[length : length + 2] == b"\r\n"
        data = rest[length + 2 :]
    got.body = b"".join(parts)
    return data
