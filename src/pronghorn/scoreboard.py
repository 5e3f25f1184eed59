"""What the workers of one master know of each other: a table in shared memory, made before the fork.

Each worker owns one row and is the only one who writes it, eight aligned bytes at a time, so there is no lock to be
left behind by a worker that dies. The master only hands rows out, and takes back those whose process has ended.
Knows processes and numbers; what is done with them is ``acceptor.py``'s and ``server.py``'s.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
import weakref
from enum import IntEnum
from typing import Any, ClassVar

#: Rows. TTIN may add workers, and HUP has two generations for a while; a worker beyond does without a row.
ROWS = 1024
#: Seconds without a beat after which a worker counts as blocked or dead: a few times the heartbeat.
STALE = 1.5
#: The load of a worker that accepts nothing.
CLOSED = 2**62

_CELL = 8
_COLUMNS = 8
_MILLISECONDS = 1000


class State(IntEnum):
    """What a worker does.

    FREE ──reserved──► BOOTING ──► SERVING ──► LEAVING ──► DRAINING ──► FREE
                                      ▲           │ wants to end, but still accepts
                                      └───────────┘
    """

    FREE = 0
    BOOTING = 1
    SERVING = 2
    LEAVING = 3
    DRAINING = 4


_ACCEPTING = (int(State.SERVING), int(State.LEAVING))


class Scoreboard:
    """The table. Make it in the master; children inherit it by fork, and a re-executed master (USR2) has its own."""

    _of_process: ClassVar[tuple[int, Scoreboard] | None] = None

    def __init__(self, rows: int = ROWS) -> None:
        column = rows * _CELL
        memory = memoryview(mmap.mmap(-1, _CELL + column * _COLUMNS)).cast("q")
        self._used = memory[:1]
        columns = [memory[1 + rows * index : 1 + rows * (index + 1)] for index in range(_COLUMNS)]
        self.states, self.pids, self.ages, self.listeners = columns[:4]
        self.loads, self.beats, self.connections, self.requests = columns[4:]
        self._owners: list[weakref.ref[Any] | None] = [None] * rows
        for index in range(rows):
            self.loads[index] = CLOSED

    @classmethod
    def of_this_process(cls) -> Scoreboard:
        """The one table of this process, made when first asked for."""
        pid = os.getpid()
        if cls._of_process is None or cls._of_process[0] != pid:
            cls._of_process = (pid, cls())
        return cls._of_process[1]

    @property
    def used(self) -> int:
        """Rows from the first to the last that was ever handed out."""
        return self._used[0]

    def reserve(self, worker: Any, listeners: int = 0) -> Row | None:
        """Hand a row to ``worker``, which is about to be forked. Called in the master; None when all are taken.

        ``listeners``: what ``identity_of`` says of its listening sockets. Only who has the same ones can take over.
        """
        chosen = -1
        for index, owner in enumerate(self._owners):
            if owner is None:
                if chosen < 0:
                    chosen = index
                if index >= self.used:
                    break
            elif _has_ended(owner()):
                self._owners[index] = None
                self.states[index] = State.FREE
                self.loads[index] = CLOSED
                if chosen < 0:
                    chosen = index
        if chosen < 0:
            return None
        self._owners[chosen] = weakref.ref(worker)
        self.pids[chosen] = 0
        self.ages[chosen] = worker.age
        self.listeners[chosen] = listeners
        self.loads[chosen] = CLOSED
        self.connections[chosen] = self.requests[chosen] = 0
        self.beats[chosen] = _now()
        self.states[chosen] = State.BOOTING
        self._used[0] = max(self.used, chosen + 1)
        return Row(self, chosen)

    def is_fresh(self, index: int) -> bool:
        """Whether this worker's loop turned a moment ago."""
        return _now() - self.beats[index] <= STALE * _MILLISECONDS

    def is_awake(self, index: int) -> bool:
        """Whether somebody may rely on this worker: it is fresh, and was not killed since its last beat."""
        return self.is_fresh(index) and _is_alive(self.pids[index])

    def exists(self, index: int) -> bool:
        """Whether there is a process behind the row, be it blocked."""
        if self.states[index] == State.FREE:
            return False
        return self.is_fresh(index) or _is_alive(self.pids[index])


class Row:
    """A worker's own row, and its view of the others, by which those with the same listeners are meant.

    ``crowded``: whether another worker accepts as well, as of the last beat.
    """

    __slots__ = ("_asleep", "_board", "_index", "crowded")

    def __init__(self, board: Scoreboard, index: int) -> None:
        self._board = board
        self._index = index
        self._asleep: dict[int, tuple[int, int]] = {}
        self.crowded = False

    @property
    def state(self) -> State:
        return State(self._board.states[self._index])

    @property
    def is_only(self) -> bool:
        """Whether there never was another worker."""
        return self._board.used == 1

    # -- what the worker says of itself -----------------------------------------------------------------------------

    def open(self) -> None:
        """The process has begun."""
        self._board.pids[self._index] = os.getpid()
        self.beat(0, 0)

    def beat(self, connections: int, requests: int) -> None:
        """The loop turns; so many connections are open, so many requests were begun so far."""
        board = self._board
        board.connections[self._index] = connections
        board.requests[self._index] = requests
        board.beats[self._index] = _now()
        self.crowded = any(board.is_fresh(index) for index in self._others(*_ACCEPTING))

    def serve(self) -> None:
        self._set(State.SERVING)

    def want_to_leave(self) -> None:
        """Go on accepting, but as one whom the others shall not rely on."""
        self._set(State.LEAVING)

    def drain(self) -> None:
        """Accept nothing any more."""
        self._board.loads[self._index] = CLOSED
        self._set(State.DRAINING)

    def free(self) -> None:
        """The end. The row is handed out again when the process is gone, too."""
        self._board.loads[self._index] = CLOSED
        self._set(State.FREE)

    def publish(self, load: int) -> None:
        """Say how many connections are open, or CLOSED."""
        self._board.loads[self._index] = load

    def _set(self, state: State) -> None:
        self._board.states[self._index] = state

    # -- balance ----------------------------------------------------------------------------------------------------

    def outdone_by(self, load: int) -> dict[int, int]:
        """The workers that are awake and have fewer connections than ``load``, and how many."""
        board = self._board
        loads = board.loads[: board.used].tolist()
        if min(loads) >= load:
            return {}
        ours = board.listeners[self._index]
        return {
            index: other
            for index, other in enumerate(loads)
            if other < load
            and board.listeners[index] == ours
            and board.is_fresh(index)
            and self._asleep.get(index) != (board.beats[index], other)
        }

    def note_refusal(self, offered: dict[int, int]) -> None:
        """Nobody took what was left to those with fewer connections.

        Who has not moved since is blocked, whatever its last beat says, and is passed over until it moves.
        """
        board = self._board
        for index, load in offered.items():
            if board.loads[index] == load:
                self._asleep[index] = (board.beats[index], load)

    # -- succession -------------------------------------------------------------------------------------------------

    def leave(self) -> bool:
        """Stop accepting if that leaves no gap; False when there is nobody yet to take over.

        Two workers that want to leave at once must not rely on each other: each says what it does before it looks,
        and looks again afterwards, so at least one of them sees the other going.
        """
        self.want_to_leave()
        if not self._is_dispensable():
            return False
        self.drain()
        if self._is_dispensable():
            return True
        self.want_to_leave()
        return False

    def _is_dispensable(self) -> bool:
        return self.is_relieved() or not any(self._board.exists(index) for index in self._others())

    def is_relieved(self) -> bool:
        """Whether another worker accepts and will go on: one that serves, or a younger one that leaves after us."""
        board = self._board
        for index in self._others(*_ACCEPTING):
            stays = board.states[index] == State.SERVING or board.ages[index] > board.ages[self._index]
            if stays and board.is_awake(index):
                return True
        return False

    def others_serve(self) -> bool:
        """Whether a worker accepts that has not been told to end."""
        return any(self._board.is_awake(index) for index in self._others(State.SERVING))

    def others_boot(self) -> bool:
        """Whether a worker is on its way up."""
        return any(self._board.exists(index) for index in self._others(State.BOOTING))

    def _others(self, *states: int) -> list[int]:
        board, own = self._board, self._index
        ours = board.listeners[own]
        return [
            index
            for index, state in enumerate(board.states[: board.used].tolist())
            if index != own and (not states or state in states) and board.listeners[index] == ours
        ]


def identity_of(listeners: list[Any]) -> int:
    """A number for these sockets, the same in every process that inherits them; 0 for none."""
    inodes = sorted(os.fstat(listener.fileno()).st_ino for listener in listeners)
    return hash(tuple(inodes)) if inodes else 0


def _now() -> int:
    """Milliseconds of the clock that all processes of the machine share."""
    return int(time.monotonic() * _MILLISECONDS)


def _has_ended(worker: Any) -> bool:
    """Whether the process of a worker object in the master is gone; asked before the next one is forked."""
    if worker is None or not isinstance(worker.pid, int):
        return True  # reaped and forgotten, or never forked
    if sys.platform == "darwin":
        return not _is_alive(worker.pid)
    try:
        # Leaves a zombie to the master's own wait. A process id that is somebody else's by now is no child of ours.
        return os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _is_alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs as another user
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and the master has not noticed yet. Only Linux tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return False
