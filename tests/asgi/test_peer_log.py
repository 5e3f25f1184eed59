"""``asgi/peer_log``: how much one peer, and many of them, can make the log grow."""

from __future__ import annotations

import re

from pronghorn.asgi.peer_log import INTERVAL, MOST_PEERS, MOST_WHOLE, PeerLog
from tests.asgi.doubles import RecordingLog

MESSAGE = "Invalid request from ip=%s: %s"
START = 5000.0


def started() -> tuple[PeerLog, RecordingLog]:
    log = RecordingLog()
    peers = PeerLog(log)
    peers.sweep(START)
    return peers, log


def refuse(peers: PeerLog, times: int, ip: str = "192.0.2.7") -> None:
    for number in range(times):
        peers.warning(ip, MESSAGE, ip, f"reason {number}")


def more(line: str) -> tuple[int, str]:
    """How many lines were left out, and from whom."""
    found = re.match(r"([\d,]+) more lines? from (.+?), left out in the last \d+ s; the last one: \S", line)
    assert found, line
    return int(found[1].replace(",", "")), found[2]


def test_the_first_lines_are_whole_and_then_there_is_a_count() -> None:
    peers, log = started()
    refuse(peers, MOST_WHOLE + 2900)
    assert log.of("warning") == [MESSAGE % ("192.0.2.7", f"reason {number}") for number in range(MOST_WHOLE)]
    peers.sweep(START + INTERVAL - 0.25)
    assert len(log.entries) == MOST_WHOLE
    peers.sweep(START + INTERVAL)
    assert log.entries[MOST_WHOLE:] == [
        (
            "warning",
            "2,900 more lines from ip=192.0.2.7, left out in the last 10 s; the last one: "
            f"Invalid request from ip=192.0.2.7: reason {MOST_WHOLE + 2899}",
            None,
        )
    ]


def test_a_peer_that_goes_on_is_a_line_for_each_interval() -> None:
    peers, log = started()
    for second in range(1, 101):
        refuse(peers, 100)
        peers.sweep(START + second)
    counts = [more(line)[0] for line in log.of("warning")[MOST_WHOLE:]]
    assert len(counts) == 10
    assert sum(counts) == 100 * 100 - MOST_WHOLE


def test_a_peer_that_pauses_begins_anew() -> None:
    peers, log = started()
    refuse(peers, MOST_WHOLE + 1)
    peers.sweep(START + INTERVAL)
    peers.sweep(START + 2 * INTERVAL)
    log.entries.clear()
    refuse(peers, 1)
    assert log.of("warning") == [MESSAGE % ("192.0.2.7", "reason 0")]


def test_few_lines_are_all_whole_however_long_it_goes_on() -> None:
    peers, log = started()
    for second in range(1, 201):
        refuse(peers, 1)
        peers.sweep(START + second)
    assert len(log.entries) == 200


def test_peers_are_counted_apart_and_of_ipv6_whole_networks() -> None:
    peers, log = started()
    for ip in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8:0:1::1"):
        refuse(peers, MOST_WHOLE, ip)
    for ip in ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "unix", "unix:/run/a:b.sock", "fe80::1%eth0"):
        refuse(peers, MOST_WHOLE, ip)
    shown = len(log.entries)
    assert shown == 7 * MOST_WHOLE
    peers.flush()
    assert [more(line) for line in log.of("warning")[shown:]] == [
        (2 * MOST_WHOLE, "ip=2001:db8::/64"),
        (MOST_WHOLE, "ip=192.0.2.7"),
    ]


def test_lines_that_are_not_shown_use_up_no_room() -> None:
    peers, log = started()
    for _ in range(1000):
        peers.info("192.0.2.7", "TLS handshake with ip=%s failed: %s", "192.0.2.7", "no")
    refuse(peers, 1)
    assert len(log.of("warning")) == 1
    peers.flush()
    assert more(log.of("info")[-1]) == (1000 - MOST_WHOLE, "ip=192.0.2.7")
    assert len(log.of("info")) == MOST_WHOLE + 1


def test_beyond_a_number_of_peers_they_share_one_count() -> None:
    peers, log = started()
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(20 * MOST_PEERS)]
    for ip in addresses:
        refuse(peers, 2, ip)
    shown = len(log.entries)
    assert shown == 2 * MOST_PEERS + MOST_WHOLE
    peers.sweep(START + INTERVAL)
    assert [more(line) for line in log.of("warning")[shown:]] == [(2 * 19 * MOST_PEERS - MOST_WHOLE, "other peers")]
    peers.sweep(START + 2 * INTERVAL)
    refuse(peers, 1, addresses[-1])
    assert log.of("warning")[-1] == MESSAGE % (addresses[-1], "reason 0")


def test_at_the_end_nothing_is_kept_back() -> None:
    peers, log = started()
    refuse(peers, MOST_WHOLE + 1)
    peers.sweep(START + 2)
    peers.flush()
    assert log.of("warning")[-1].startswith("1 more line from ip=192.0.2.7, left out in the last 2 s; the last one: ")
    shown = len(log.entries)
    peers.flush()
    peers.sweep(START + INTERVAL)
    assert len(log.entries) == shown
