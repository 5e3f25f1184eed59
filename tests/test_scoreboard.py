"""``pronghorn.scoreboard``: rows in shared memory, who accepts, who is awake, who may leave."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from pronghorn import scoreboard
from pronghorn.scoreboard import CLOSED, Row, Scoreboard, State
from tests.support.wait import wait_until


class Worker:
    """What the scoreboard reads of Gunicorn's worker objects."""

    def __init__(self, age: int = 1) -> None:
        self.age = age
        self.pid: int | str = "[booting]"


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000
        monkeypatch.setattr(scoreboard, "_now", lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The process ids that exist."""
    pids: set[int] = set()
    monkeypatch.setattr(scoreboard, "_is_alive", lambda pid: pid in pids)
    return pids


class Team:
    """Rows on one board, as if each had a process of its own."""

    def __init__(self, count: int, clock: Clock) -> None:
        self.board = Scoreboard(rows=max(count, 8))
        self.workers = []
        self.rows: list[Row] = []
        for age in range(1, count + 1):
            worker = Worker(age)
            row = self.board.reserve(worker)
            assert row is not None
            self.workers.append(worker)
            self.rows.append(row)
            self.board.pids[age - 1] = 10_000 + age
            row.serve()
            row.publish(0)
        self.beat()

    def beat(self, *but: Row) -> None:
        for row in self.rows:
            if row not in but:
                row.beat(0, 0)


Make = Callable[[int], Team]


@pytest.fixture
def team(clock: Clock, alive: set[int], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(scoreboard, "_has_ended", lambda worker: False)

    def make(count: int) -> Team:
        alive.update(10_000 + age for age in range(1, count + 1))
        return Team(count, clock)

    return make


def fork(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return pid


class TestRows:
    def test_a_row_is_reserved_as_booting(self) -> None:
        row = Scoreboard(rows=2).reserve(Worker())
        assert row is not None
        assert row.state == State.BOOTING

    def test_what_a_child_writes_the_parent_reads(self) -> None:
        board = Scoreboard(rows=4)
        worker = Worker(7)
        row = board.reserve(worker)
        assert row is not None

        def child() -> None:
            row.open()
            row.serve()
            row.publish(5)
            row.beat(5, 2**40)

        worker.pid = fork(child)
        assert os.waitpid(worker.pid, 0)[1] == 0
        assert (board.states[0], board.pids[0], board.ages[0]) == (State.SERVING, worker.pid, 7)
        assert (board.loads[0], board.connections[0], board.requests[0]) == (5, 5, 2**40)

    def test_a_new_row_for_each_worker_that_runs(self) -> None:
        board = Scoreboard(rows=64)
        workers = [Worker(age) for age in range(1, 65)]
        for worker in workers:
            assert board.reserve(worker) is not None
            worker.pid = fork(signal.pause)  # type: ignore[arg-type]
        try:
            assert board.used == 64
            assert sorted(board.ages.tolist()) == list(range(1, 65))
            assert board.reserve(Worker(65)) is None, "no row is left"
        finally:
            for worker in workers:
                assert isinstance(worker.pid, int)
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
        assert board.reserve(Worker(66)) is not None

    @pytest.mark.parametrize("reaped", [False, True])
    def test_the_row_of_a_killed_worker_is_used_again(self, reaped: bool) -> None:
        board = Scoreboard(rows=1)
        worker = Worker(1)
        first = board.reserve(worker)
        assert first is not None
        first.serve()
        worker.pid = fork(signal.pause)  # type: ignore[arg-type]
        assert board.reserve(Worker(2)) is None
        os.kill(worker.pid, signal.SIGKILL)
        if reaped:
            os.waitpid(worker.pid, 0)
        successor = Worker(3)
        second = wait_until(lambda: board.reserve(successor), message="a free row")
        assert second.state == State.BOOTING
        assert board.loads[0] == CLOSED
        if not reaped:
            assert os.waitpid(worker.pid, 0)[0] == worker.pid, "the zombie is left to the master"

    def test_the_row_of_a_worker_that_was_never_forked_is_used_again(self) -> None:
        board = Scoreboard(rows=1)
        never = Worker()
        assert board.reserve(never) is not None
        assert board.reserve(Worker()) is not None

    def test_the_row_of_a_forgotten_worker_is_used_again(self) -> None:
        board = Scoreboard(rows=1)
        worker = Worker()
        assert board.reserve(worker) is not None
        worker.pid = os.getppid()
        del worker
        assert board.reserve(Worker()) is not None

    def test_one_board_for_a_process_and_none_of_its_parent_s(self) -> None:
        board = Scoreboard.of_this_process()
        assert Scoreboard.of_this_process() is board

        def child() -> None:
            assert Scoreboard.of_this_process() is not board

        assert os.waitpid(fork(child), 0)[1] == 0


class TestBalance:
    def test_nobody_outdoes_a_worker_that_is_alone(self, team: Make) -> None:
        (row,) = team(1).rows
        row.publish(50)
        assert row.outdone_by(50) == {}
        assert not row.crowded

    def test_the_one_with_fewer_connections(self, team: Make) -> None:
        first, second, third = team(3).rows
        first.publish(4)
        second.publish(2)
        third.publish(4)
        assert first.outdone_by(4) == {1: 2}
        assert second.outdone_by(2) == {}
        assert first.crowded

    @pytest.mark.parametrize("count", [2, 4, 64])
    def test_connections_spread_evenly(self, team: Make, count: int) -> None:
        rows = team(count).rows
        loads = [0] * count
        for number in range(count * 10):
            order = [(start + number) % count for start in range(count)]
            index = next(index for index in order if not rows[index].outdone_by(loads[index]))
            loads[index] += 1
            rows[index].publish(loads[index])
        assert loads == [10] * count

    @pytest.mark.parametrize("change", [Row.drain, Row.free, lambda row: row.publish(CLOSED)])
    def test_who_does_not_accept_outdoes_nobody(self, team: Make, change: Callable[[Row], None]) -> None:
        first, second = team(2).rows
        first.publish(9)
        assert first.outdone_by(9)
        change(second)
        assert first.outdone_by(9) == {}

    def test_who_does_not_beat_outdoes_nobody(self, team: Make, clock: Clock) -> None:
        members = team(2)
        first, second = members.rows
        first.publish(9)
        clock.advance(scoreboard.STALE + 0.1)
        members.beat(second)
        assert first.outdone_by(9) == {}
        assert not first.crowded
        second.beat(0, 0)
        assert first.outdone_by(9) == {1: 0}

    def test_who_takes_nothing_is_passed_over_until_it_moves(self, team: Make, clock: Clock) -> None:
        first, second = team(2).rows
        first.publish(9)
        first.note_refusal(first.outdone_by(9))
        assert first.outdone_by(9) == {}
        second.publish(1)
        assert first.outdone_by(9) == {1: 1}
        first.note_refusal(first.outdone_by(9))
        assert first.outdone_by(9) == {}
        clock.advance(0.5)
        second.beat(1, 0)
        assert first.outdone_by(9) == {1: 1}

    def test_who_took_some_is_not_passed_over(self, team: Make) -> None:
        first, second = team(2).rows
        first.publish(9)
        offered = first.outdone_by(9)
        second.publish(3)
        first.note_refusal(offered)
        assert first.outdone_by(9) == {1: 3}


class TestSuccession:
    def test_a_worker_that_is_alone_may_leave(self, team: Make) -> None:
        (row,) = team(1).rows
        assert row.leave()
        assert row.state == State.DRAINING

    def test_others_serve_on(self, team: Make) -> None:
        first, _ = team(2).rows
        assert first.leave()

    def test_the_last_one_stays_until_another_serves(self, team: Make) -> None:
        first, second, third = team(3).rows
        assert first.leave()
        assert second.leave()
        assert not third.leave()
        assert third.state == State.LEAVING
        first.free()
        second.free()
        first._board.states[0] = State.BOOTING
        assert not third.leave()
        first.serve()
        assert third.leave()

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_of_two_that_want_to_leave_the_older_goes(self, team: Make, order: tuple[int, int]) -> None:
        rows = team(2).rows
        for row in rows:
            row.want_to_leave()
        left = {index: rows[index].leave() for index in order}
        assert left == {0: True, 1: False}

    def test_two_that_go_at_the_same_moment_do_not_both_go(self, team: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second decides between the first one's look and its deed."""
        first, second = team(2).rows
        drain = Row.drain
        seen: list[bool] = []

        def late(row: Row) -> None:
            if not seen:
                seen.append(True)
                monkeypatch.setattr(Row, "drain", drain)
                seen.append(second.leave())
            drain(row)

        monkeypatch.setattr(Row, "drain", late)
        went = first.leave()
        assert not (went and seen[1])
        assert State.DRAINING not in (first.state, second.state) or went != seen[1]

    def test_a_blocked_worker_is_no_relief(self, team: Make, clock: Clock) -> None:
        members = team(2)
        first, second = members.rows
        clock.advance(scoreboard.STALE + 0.1)
        members.beat(second)
        assert not first.leave()
        second.beat(0, 0)
        assert first.leave()

    def test_a_dead_worker_is_not_waited_for(self, team: Make, clock: Clock, alive: set[int]) -> None:
        members = team(2)
        first, second = members.rows
        clock.advance(scoreboard.STALE + 0.1)
        members.beat(second)
        alive.discard(10_002)
        assert first.leave()

    def test_a_worker_killed_a_moment_ago_is_no_relief(self, team: Make, alive: set[int]) -> None:
        """Its last beat is fresh: who relied on it would leave what waits to nobody."""
        first, _ = team(2).rows
        assert first.others_serve()
        alive.discard(10_002)
        assert not first.others_serve()
        assert not first.is_relieved()

    def test_who_has_other_listeners_is_no_relief(self, team: Make) -> None:
        members = team(3)
        first, second, third = members.rows
        members.board.listeners[1] = 77
        third.drain()
        assert not first.others_serve()
        assert not first.is_relieved()
        members.board.states[1] = State.BOOTING
        assert not first.others_boot()
        second.serve()
        first.publish(9)
        assert first.outdone_by(9) == {}

    def test_who_boots_and_who_serves(self, team: Make) -> None:
        first, second, third = team(3).rows
        second.want_to_leave()
        third._board.states[2] = State.BOOTING
        assert not first.others_serve()
        assert first.others_boot()
        third.serve()
        assert first.others_serve()
        assert not first.others_boot()


class TestIdentity:
    def test_is_that_of_the_sockets(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            both = scoreboard.identity_of([one, other])
            assert scoreboard.identity_of([other, one]) == both
            assert scoreboard.identity_of([one]) not in (both, scoreboard.identity_of([other]), 0)
            with one.dup() as copy:
                assert scoreboard.identity_of([copy]) == scoreboard.identity_of([one])
        assert scoreboard.identity_of([]) == 0

    def test_a_row_keeps_it(self) -> None:
        board = Scoreboard(rows=2)
        worker = Worker()
        assert board.reserve(worker, -(2**60)) is not None
        assert board.listeners[0] == -(2**60)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="only Linux tells a zombie from a process")
def test_a_zombie_is_not_alive() -> None:
    pid = fork(lambda: None)
    try:
        wait_until(lambda: not scoreboard._is_alive(pid), message="the end of the process")
    finally:
        assert os.waitpid(pid, 0)[0] == pid, "it was a zombie"
    assert scoreboard._is_alive(os.getpid())


def test_the_clock_is_the_same_in_all_processes() -> None:
    board = Scoreboard(rows=2)
    worker = Worker()
    row = board.reserve(worker)
    assert row is not None
    assert os.waitpid(fork(row.open), 0)[1] == 0
    assert abs(board.beats[0] - time.monotonic() * 1000) < 60_000
    assert board.is_fresh(0) or time.monotonic() * 1000 - board.beats[0] > 1000
