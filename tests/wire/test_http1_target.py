"""``wire/http1_target``: the rarer forms of a request target, authorities and percent-decoding, each as a table."""

from __future__ import annotations

import pytest

from pronghorn.wire.errors import ProtocolError
from pronghorn.wire.http1_target import decoded, is_authority, read_other_form
from pronghorn.wire.request import Request


def request_of(method: str) -> Request:
    request = Request()
    request.method = method
    return request


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a%20b", "/a b"),
        (b"/a+b", "/a+b"),
        (b"/%C3%A9%c3%a9", "/éé"),
        (b"/\xc3\xa9", "/é"),
        (b"/%FF", "/\ufffd"),
        (b"/\xff", "/\ufffd"),
        (b"/%C3", "/\ufffd"),
        (b"/%C3%28", "/\ufffd("),
        (b"/%ED%A0%80", "/\ufffd\ufffd\ufffd"),
        (b"/%F0%9F%A6%8C", "/\U0001f98c"),
        (b"/%", "/%"),
        (b"/%4", "/%4"),
        (b"/%zz%41", "/%zzA"),
        (b"/%2525", "/%25"),
        (b"/%00%0D%0A", "/\0\r\n"),
        (b"/%2F%2e%2E", "/" + "/.."),
    ],
)
def test_decoded(raw: bytes, path: str) -> None:
    assert decoded(raw) == path


AUTHORITIES = [
    b"example.org",
    b"example.org:80",
    b"example.org:",
    b"example.org:65535",
    b"192.0.2.1",
    b"192.0.2.1:8000",
    b"[::1]",
    b"[::1]:80",
    b"[::1]:",
    b"[2001:db8::1]:8000",
    b"[v1.x]",
    b"x_y",
    b"a-b.c~d!$&'()*+,;=e",
    b"%41",
    b"%41:000080",
    b"[::1]:000000065535",
    b"",
]
NO_AUTHORITIES = [
    b"user@example.org",
    b"user:secret@example.org:80",
    b"example.org:80:80",
    b"example.org:x",
    b"example.org:-1",
    b"example.org:+80",
    b"example.org:65536",
    b"example.org:123456",
    b"example.org:0x50",
    b":80",
    b":",
    b"[::1",
    b"::1]",
    b"::1",
    b"[]",
    b"[]:80",
    b"[[::1]]",
    b"[::1]80",
    b"[::1]:x",
    b"[::1]x",
    b"x[::1]",
    b"a b",
    b"a/b",
    b"a?b",
    b"a#b",
    b"a\\b",
    b'a"b',
    b"a<b>",
    b"a\tb",
    b"a\r\nb",
    b"a\0b",
    b"\xe9.example",
    b"a,b:80,90",
]


@pytest.mark.parametrize("value", AUTHORITIES, ids=repr)
def test_authorities(value: bytes) -> None:
    assert is_authority(value)


@pytest.mark.parametrize("value", NO_AUTHORITIES, ids=repr)
def test_what_is_no_authority(value: bytes) -> None:
    assert not is_authority(value)


ABSOLUTE = [
    (b"http://x/", b"x", "/", b"/", b""),
    (b"http://x", b"x", "/", b"/", b""),
    (b"http://x:80/a%20b?c=d?e", b"x:80", "/a b", b"/a%20b", b"c=d?e"),
    (b"http://x?c", b"x", "/", b"/", b"c"),
    (b"HTTP://X/A", b"X", "/A", b"/A", b""),
    (b"https://x/", b"x", "/", b"/", b""),
    (b"ws://x/", b"x", "/", b"/", b""),
    (b"wss://[::1]:80/", b"[::1]:80", "/", b"/", b""),
    (b"http://x//y", b"x", "//y", b"//y", b""),
    (b"http://x/http://y/", b"x", "/http://y/", b"/http://y/", b""),
    (b"http://x/?", b"x", "/", b"/", b""),
]


@pytest.mark.parametrize(("target", "authority", "path", "raw_path", "query"), ABSOLUTE, ids=lambda value: repr(value))
def test_absolute_form(target: bytes, authority: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    """RFC 9112 section 3.2.2."""
    request = request_of("GET")
    assert read_other_form(request, target) == authority
    assert (request.path, request.raw_path, request.query_string) == (path, raw_path, query)


@pytest.mark.parametrize("target", [b"http://x", b"http://x:80"])
def test_absolute_form_of_the_asterisk(target: bytes) -> None:
    """RFC 9112 section 3.2.4: a proxy's last hop turns an empty path of OPTIONS into "*"."""
    request = request_of("OPTIONS")
    assert read_other_form(request, target) == target[7:]
    assert (request.path, request.raw_path) == ("*", b"*")


@pytest.mark.parametrize(
    "target",
    [
        b"x",
        b"x/y",
        b"a:b",
        b"ftp://x/",
        b"file:///etc/passwd",
        b"javascript://x/",
        b"http:/x/",
        b"http:x",
        b"http://",
        b"http:///a",
        b"http://?a",
        b"http://:80/",
        b"http://u@x/",
        b"http://u:p@x/",
        b"http://x:y/",
        b"http://a b/",
        b"http://[::1/",
        b"://x/",
        b"?a",
        b"**",
        b"*a",
    ],
    ids=repr,
)
def test_targets_that_are_none(target: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_other_form(request_of("GET"), target)
    assert caught.value.status == 400
    assert caught.value.reason.isprintable()


def test_asterisk_form() -> None:
    request = request_of("OPTIONS")
    assert read_other_form(request, b"*") is None
    assert (request.path, request.raw_path, request.query_string) == ("*", b"*", b"")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "TRACE"])
def test_asterisk_belongs_to_options(method: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_other_form(request_of(method), b"*")
    assert caught.value.status == 400


@pytest.mark.parametrize("target", [b"x:443", b"192.0.2.1:80", b"[::1]:443"])
def test_authority_form(target: bytes) -> None:
    request = request_of("CONNECT")
    assert read_other_form(request, target) == target
    assert (request.path, request.raw_path, request.query_string) == ("", b"", b"")


@pytest.mark.parametrize("target", [b"x", b"x:", b"/", b"/x:443", b"*", b"[::1]", b"http://x:443/", b"u@x:443", b"x:y"])
def test_connect_wants_host_and_port(target: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_other_form(request_of("CONNECT"), target)
    assert caught.value.status == 400
