"""What we accept, h11 and httptools read the same way, or ``differences.py`` says where not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.corpus.loader import load
from tests.corpus.transcript import Head
from tests.properties import differences, strategies
from tests.properties.builds import INSTALLED, Reader
from tests.properties.differences import Meeting, Read, Refused
from tests.properties.peers import PEERS, Account, Reading, ours


def differ(peer: str, data: bytes, settings: Mapping[str, Any]) -> set[Read | Refused]:
    """Compare the readings of ``data`` and return the rows that were needed. Fails where none explains."""
    reader = Reader(INSTALLED, settings)
    reader.feed(data)
    account = ours(reader.transcript)
    heads = [event for event in reader.transcript if isinstance(event, Head)]
    theirs = PEERS[peer](data)
    needed: set[Read | Refused] = set()
    for number, mine in enumerate(account.messages):
        if account.refusal is not None and not mine.complete:
            break  # we refuse this message, and strictness needs no excuse
        sent = data[reader.starts[number] :]
        other = theirs.messages[number] if number < len(theirs.messages) else None
        if other is None or (other.body, other.complete) != (mine.body, mine.complete):
            needed.add(_row_for(peer, Meeting(heads[number], sent, settings, theirs.refusal or "")))
            break
        needed |= _level(peer, mine, other, settings, theirs)
    return needed


def _row_for(peer: str, meeting: Meeting) -> Refused:
    for row in differences.REFUSED:
        if peer in row.peers and row.explains(meeting):
            return row
    pytest.fail(f"{peer} does not accept {meeting.sent!r} ({meeting.refusal}), and no row says why")


def _level(
    peer: str, mine: Reading, other: Reading, settings: Mapping[str, Any], theirs: Account
) -> set[Read | Refused]:
    needed: set[Read | Refused] = set()
    for row in differences.READ:
        if mine != other and peer in row.peers:
            levelled = row.level(mine, settings), row.level(other, settings)
            if levelled != (mine, other):
                needed.add(row)
            mine, other = levelled
    assert mine == other, f"{peer}: {theirs.refusal}"
    return needed


@pytest.mark.parametrize("peer", PEERS)
def test_the_corpus_is_read_alike_and_meets_each_row(peer: str) -> None:
    needed: set[Read | Refused] = set()
    for case in load():
        try:
            needed |= differ(peer, case.input, case.settings)
        except (AssertionError, pytest.fail.Exception) as error:
            pytest.fail(f"{case.where}: {error}")
    expected = {row for row in (*differences.READ, *differences.REFUSED) if peer in row.peers}
    assert {row.what for row in expected - needed} == set()


@pytest.mark.parametrize("peer", PEERS)
@given(message=strategies.pipelines)
def test_valid_messages_are_read_alike(peer: str, message: strategies.Message) -> None:
    differ(peer, message.raw, {})


@pytest.mark.parametrize("peer", PEERS)
@given(data=strategies.anything)
def test_whatever_we_accept_is_read_alike(peer: str, data: bytes) -> None:
    differ(peer, data, {})


def test_a_difference_without_a_row_fails() -> None:
    head = Head("GET", b"/", "1.1", "/", b"/", b"", ())
    with pytest.raises(pytest.fail.Exception, match="no row says why"):
        _row_for("h11", Meeting(head, b"GET / HTTP/1.1\r\n\r\n", {}, "for no reason"))
    mine = Reading(b"GET", b"/", b"1.1", (), complete=True)
    with pytest.raises(AssertionError):
        _level("h11", mine, replace(mine, method=b"PUT"), {}, Account())


def test_each_row_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http1.md").read_text(encoding="utf-8")
    for row in (*differences.READ, *differences.REFUSED):
        assert f"| {row.what} | {' and '.join(row.peers)} | {row.reason} |" in page
