"""``Session``: which of several deadlines comes next, and what is due."""

from __future__ import annotations

import pytest

from pronghorn.wire.ws_session import ANSWERED, Due, Session

NOW = 1000.0


def test_a_ping_its_answer_and_the_next() -> None:
    session = Session(20, 30, 10, NOW)
    assert session.next(NOW, 0) == 20
    assert session.due(NOW + 19) == Due.NOTHING
    assert session.due(NOW + 20) == Due.PING
    assert session.ping(b"1234", NOW + 21) == b"\x89\x041234"
    assert session.is_pinged
    assert session.next(NOW + 21, 0) == 30
    assert session.due(NOW + 50) == Due.NOTHING
    assert session.due(NOW + 51) == Due.PONG
    assert not session.is_answer(b"123")
    assert session.is_answer(b"1234")
    session.answered(NOW + 40)
    assert not session.is_pinged
    assert not session.is_answer(b"1234"), "one answer is enough"
    assert session.next(NOW + 40, 0) == 20
    assert session.due(NOW + 60) == Due.PING


def test_without_pings_and_without_waiting_for_answers() -> None:
    never = Session(0, 30, 10, NOW)
    assert never.next(NOW, 0) == 0
    assert never.due(NOW + 1e6) == Due.NOTHING
    patient = Session(20, 0, 10, NOW)
    patient.ping(b"", NOW + 20)
    assert patient.next(NOW + 20, 0) == 20
    assert patient.due(NOW + 40) == Due.PING


@pytest.mark.parametrize("interval", [0, 20])
def test_the_end_comes_once_whatever_else_is_due(interval: float) -> None:
    session = Session(interval, 20, 10, NOW)
    session.close_soon(NOW)
    session.close_soon(NOW + 9)
    assert session.next(NOW + 4, 1) == 6
    assert session.due(NOW + 9.9) == Due.NOTHING
    assert session.due(NOW + 10) == Due.CLOSE
    assert 0 < session.next(NOW + 11, 0) < 0.1, "overdue"
    session.go_on()
    assert session.next(NOW, 0) == interval


def test_who_has_answered_has_little_time_left_and_once() -> None:
    session = Session(20, 20, 10, NOW)
    session.close_soon(NOW)
    assert session.close_sooner(NOW + 2)
    assert not session.close_sooner(NOW + 2.5)
    assert session.due(NOW + 2 + ANSWERED) == Due.CLOSE
    late = Session(20, 20, 10, NOW)
    late.close_soon(NOW)
    late.close_sooner(NOW + 9.5)
    assert late.due(NOW + 10) == Due.CLOSE


def test_no_time_for_closing_is_no_limit() -> None:
    session = Session(20, 20, 0, NOW)
    session.close_soon(NOW)
    assert session.due(NOW + 1e6) == Due.PING


def test_at_most() -> None:
    session = Session(20, 20, 10, NOW)
    assert session.next(NOW, 2) == 2
    assert session.next(NOW + 19, 2) == 1
    assert Session(0, 20, 10, NOW).next(NOW, 2) == 2
