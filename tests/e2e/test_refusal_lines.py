"""What the log says of peers that are refused: how much, and about whom and what."""

from __future__ import annotations

import re
from collections.abc import Callable

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
