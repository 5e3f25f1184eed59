"""The watchdog: what it says of a loop that stands still, and when it says nothing."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from pronghorn.watchdog import INTERVAL, Watchdog, requests_under_way, stack_of
from tests.support.finished import make_endpoint, make_request
from tests.support.wait import wait_until


class Exchange:
    """What the watchdog reads of an exchange."""

    def __init__(self, target: bytes, started: float, client: tuple[str, int] | None = ("192.0.2.1", 5)) -> None:
        self.request = make_request("GET", target)
        self.started = started
        self.endpoint = make_endpoint(client=client)

    def describe(self) -> str:
        return f"{self.request.method} {self.request.target.decode()!r}"


class Watched:
    """A watchdog whose time is given, not passed. Its thread is never started."""

    def __init__(self, caplog: Any, *, exchanges: Iterable[Any] = (), **options: float) -> None:
        self.caplog = caplog
        self.began = self.now = time.monotonic()
        options = {"period": 0.5, "warn_after": 1.0, "timeout": 30.0, **options}
        self.dog = Watchdog(logging.getLogger("watchdog"), exchanges=lambda: exchanges, **options)
        self.dog._beat = self.dog._looked = self.now
        self.dog._thread = threading.get_ident()

    def turn(self) -> None:
        """The loop turns, as of ``now``."""
        self.dog.beat()
        self.dog._beat = self.now

    def look_until(self, seconds: float) -> list[tuple[str, str]]:
        """Look regularly until so many seconds after the beginning; what was logged meanwhile."""
        self.caplog.clear()
        while self.now < self.began + seconds:
            self.now += INTERVAL
            self.dog.look(self.now)
        return [(record.levelname, record.getMessage()) for record in self.caplog.records]


def test_a_short_block_is_not_worth_a_word(caplog: Any) -> None:
    assert Watched(caplog).look_until(1.25) == []


def test_a_long_block_is_reported_once_with_the_stack(caplog: Any) -> None:
    ((level, message),) = Watched(caplog).look_until(20)
    assert level == "WARNING"
    assert message.startswith("Event loop has been blocked for 1.5 s.")
    assert "test_a_long_block_is_reported_once_with_the_stack" in message


def test_before_the_deadline_the_requests_are_listed(caplog: Any) -> None:
    watched = Watched(caplog, exchanges=[Exchange(b"/slow", time.monotonic() - 2)])
    watched.look_until(26.5)
    ((level, message),) = watched.look_until(40)
    assert level == "ERROR"
    assert "timeout=30" in message
    assert "'/slow' from 192.0.2.1:5" in message


@pytest.mark.parametrize("timeout", [1, 2, 3, 30, 300])
def test_the_deadline_is_never_reached_unsaid(caplog: Any, timeout: float) -> None:
    messages = Watched(caplog, timeout=timeout, warn_after=0).look_until(timeout - INTERVAL)
    assert [level for level, _ in messages] == ["ERROR"]


def test_without_a_timeout_there_is_no_last_call(caplog: Any) -> None:
    assert [level for level, _ in Watched(caplog, timeout=0).look_until(100)] == ["WARNING"]


def test_without_a_warning(caplog: Any) -> None:
    assert Watched(caplog, timeout=0, warn_after=0).look_until(100) == []


def test_the_end_of_the_block_is_said(caplog: Any) -> None:
    watched = Watched(caplog)
    watched.look_until(5)
    caplog.clear()
    watched.dog.beat()
    assert "turns again" in caplog.text
    caplog.clear()
    watched.dog.beat()
    assert caplog.text == ""


def test_a_loop_that_blocks_again_and_again_does_not_fill_the_log(caplog: Any) -> None:
    watched = Watched(caplog, timeout=0)
    levels = []
    for _ in range(5):
        levels += watched.look_until(watched.now - watched.began + 2)
        watched.turn()
    assert len(levels) == 1
    while watched.now < watched.began + 40:
        watched.now += INTERVAL
        watched.turn()
        watched.dog.look(watched.now)
    ((_, message),) = watched.look_until(50)
    assert "(4 more since the last such warning)" in message


def test_a_machine_that_slept_blames_nobody(caplog: Any) -> None:
    """Suspended, or without a processor for the watchdog's own thread as well."""
    watched = Watched(caplog)
    watched.now += 100
    watched.dog.look(watched.now)
    assert caplog.text == ""


def test_what_held_up_the_watchdog_as_well_is_said_afterwards(caplog: Any) -> None:
    watched = Watched(caplog)
    watched.dog._beat -= 100
    watched.dog.beat()
    assert "in which no thread ran" in caplog.text
    caplog.clear()
    watched.dog._beat -= 100
    watched.dog.beat()
    assert caplog.text == "", "once in a while"


def test_a_beat_that_is_a_little_late_is_not_worth_a_word(caplog: Any) -> None:
    watched = Watched(caplog)
    watched.dog._beat -= 1.5
    watched.dog.beat()
    assert caplog.text == ""


def test_no_thread_where_there_is_nothing_to_say() -> None:
    before = threading.active_count()
    dog = Watchdog(logging.getLogger("watchdog"), period=0.5, warn_after=0, timeout=0, exchanges=list)
    dog.start()
    dog.beat()
    assert threading.active_count() == before


def test_a_defect_does_not_end_the_watch(caplog: Any) -> None:
    def fail() -> Iterable[Any]:
        raise ValueError("while looking")

    dog = Watchdog(logging.getLogger("watchdog"), period=0.1, warn_after=0, timeout=1, exchanges=fail)
    dog.start()
    try:
        wait_until(lambda: "ValueError: while looking" in caplog.text, message="the defect in the log")
    finally:
        dog.stop()


def test_a_thread_of_its_own_sees_a_blocked_one(caplog: Any) -> None:
    dog = Watchdog(logging.getLogger("watchdog"), period=0.05, warn_after=0.1, timeout=0, exchanges=list)
    dog.start()
    try:
        wait_until(lambda: "Event loop has been blocked" in caplog.text, message="a warning")
    finally:
        dog.stop()
    assert "test_a_thread_of_its_own_sees_a_blocked_one" in caplog.text


class TestRequests:
    def test_oldest_first_with_age_and_peer(self) -> None:
        exchanges = [Exchange(b"/b?x=1", 98.5), Exchange(b"/a", 90.0, None), Exchange(b"/c", 0.0)]
        assert requests_under_way(exchanges, 100.0).splitlines() == [
            "Requests under way (3):",
            "  new  GET '/c' from 192.0.2.1:5",
            "  10.0 s  GET '/a' from a unix socket",
            "  1.5 s  GET '/b?x=1' from 192.0.2.1:5",
        ]

    def test_none(self) -> None:
        assert requests_under_way([], 100.0) == "No request is under way."

    def test_no_more_than_can_be_read(self) -> None:
        lines = requests_under_way([Exchange(b"/", 1.0)] * 1000, 100.0).splitlines()
        assert len(lines) == 52
        assert lines[-1] == "  and 950 more"


class TestStack:
    def test_of_nothing(self) -> None:
        assert "nowhere" in stack_of(None)

    def test_deep_recursion_is_cut(self) -> None:
        def sink(depth: int) -> str:
            return float_up(depth - 1) if depth else stack_of(sys._getframe())

        def float_up(depth: int) -> str:
            return sink(depth)

        stack = sink(100)
        assert stack.count("File ") == 40
        assert stack.rstrip().endswith("stack_of(sys._getframe())")
