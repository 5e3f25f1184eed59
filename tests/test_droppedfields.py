"""``droppedfields``: each name once, and not too many."""

from __future__ import annotations

from pronghorn.droppedfields import MOST_NAMES, DroppedFields
from pronghorn.wire.http1_parser import Http1Parser
from pronghorn.wire.http1_rules import Rules
from tests.asgi.doubles import RecordingLog


def log_of(*fields: bytes, forwarder_headers: frozenset[str] = frozenset(), header_map: str = "drop") -> list[str]:
    log = RecordingLog()
    rules = Rules(header_map=header_map, forwarder_headers=forwarder_headers)
    rules.on_dropped = DroppedFields(log)
    for field in fields:
        parser = Http1Parser(rules)
        parser.feed(b"GET / HTTP/1.1\r\nhost: x\r\n" + field + b"\r\n\r\n")
        parser.next()
    return log.of("info")


def test_each_name_is_said_once() -> None:
    lines = log_of(b"X_Key: 1", b"x_key: 2", b"Other_Key: 3\r\nX_KEY: 4", b"x-key: 5")
    assert lines == [
        f"Field '{name}' is dropped, for its name has an underscore (header_map=drop); this is said once per name"
        for name in ("x_key", "other_key")
    ]


def test_what_is_kept_is_not_said() -> None:
    assert log_of(b"Script_Name: /x", forwarder_headers=frozenset(("SCRIPT_NAME",))) == []
    assert log_of(b"X_Key: 1", header_map="dangerous") == []


def test_the_number_of_names_and_their_length_are_bounded() -> None:
    lines = log_of(*(b"x_%d%b: 1" % (number, b"y" * 5000) for number in range(3 * MOST_NAMES)))
    assert len(lines) == MOST_NAMES
    assert lines[-1].endswith(f"said once per name, and of no more than {MOST_NAMES} names")
    assert all(len(line) < 250 and line.isprintable() for line in lines)


def test_what_a_trailer_has() -> None:
    log = RecordingLog()
    rules = Rules()
    rules.on_dropped = DroppedFields(log)
    parser = Http1Parser(rules)
    parser.feed(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx_late: 1\r\n\r\n")
    parser.next()
    parser.next()
    assert len(log.of("info")) == 1
