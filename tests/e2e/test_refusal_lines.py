"""What the log says of peers that are refused: how much, and about whom and what."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.raw import RawClient
from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

_MANY = 300
_GARBAGE = b"\x00garbage\r\n\r\n"


def test_one_peer_cannot_fill_the_log(serve: Serve) -> None:
    server = serve(accesslog="-", access_log_format="ACCESS %(s)s")
    for _ in range(_MANY):
        with server.connect() as client:
            client.send(_GARBAGE)
            assert client.read_response().status == 400
    with server.connect(source="127.0.0.2") as client:  # another peer is heard all the same
        client.send(_GARBAGE)
        assert client.read_response().status == 400
    server.wait_log(r"Invalid request from ip=127\.0\.0\.2: ")
    server.stop()
    log = server.log()
    whole = len(re.findall(r"^\[.*Invalid request from ip=127\.0\.0\.1: ", log, re.MULTILINE))
    told = re.findall(r"^\[.*?([\d,]+) more lines? from ip=127\.0\.0\.1, left out in the last \d+ s", log, re.MULTILINE)
    assert sum(map(int, told)) + (whole - len(told)) == _MANY, log
    assert whole < 30
    assert len(re.findall("ACCESS 400", log)) == _MANY + 1


def test_the_setting_the_request_and_the_client_are_named(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    server = serve(bind=["127.0.0.1:0", f"unix:{path}"], accesslog="-", access_log_format='ACCESS %(s)s "%(r)s"')
    head = b"GET /late HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n"
    for address in (server.address, path):
        for data in (b"GET /" + b"x" * 5000, head + b"bad : 1\r\n", head + b"Content-Length: 1\r\nExpect: x\r\n\r\n"):
            with RawClient(address) as client:
                client.send_until_refused(data)
                client.read_response()
    for peer in ("127\\.0\\.0\\.1", f"unix:{re.escape(path)}"):
        server.wait_log(
            rf"Invalid request from ip={peer}: Request line is too large \(limit_request_line=4094\), in 'GET /xxx"
        )
        server.wait_log(
            rf"Invalid request from ip={peer} \(for ip=203\.0\.113\.9, as far as the head was read\): "
            r"Whitespace after field name 'bad' \(strip_header_spaces=False\), in 'GET /late HTTP/1\.1'"
        )
    server.wait_log('ACCESS 414 "GET /xxx')
    server.wait_log('ACCESS 400 "GET /late HTTP/1.1"')
    assert 'ACCESS 417 "GET /late HTTP/1.1"' in server.log()


def test_a_dropped_field_is_said_once(serve: Serve) -> None:
    server = serve()
    for _ in range(3):
        assert server.get("/", "X_Api_Key: 1").status == 200
    assert server.get("/", "Y_Key: 1").status == 200
    server.wait_log(r"\[INFO\] Field 'y_key' is dropped, .*\(header_map=drop\)")
    assert server.log().count("Field 'x_api_key' is dropped") == 1
