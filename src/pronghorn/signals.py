"""The signals of a worker, heard in this process only.

An event loop learns of a signal by a byte in a descriptor, which a forked child inherits together with the handler that
writes it: a TERM for the child would drain the worker. So the byte only wakes the loop here, and what is to be done is
done by a handler of Python's own, which runs in the process that got the signal. In a forked child all of it is undone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

_before_fork = threading.local()


class Signals:
    """Calls ``actions`` in the loop, by number of the signal, when this process gets one of them.

    ``owner``: whose bound methods are the handlers until ``watch``, Gunicorn's worker. An application's own handlers
    are replaced, with a line in the log, and called as well.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, log: Any, owner: Any, actions: Mapping[int, Callable[[], None]]
    ) -> None:
        self._loop = loop
        self._log = log
        self._owner = owner
        self._actions = actions
        self._handler = self._on_signal  # one object, to be known again
        self._theirs: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._told: set[int] = set()
        self.pid = os.getpid()

    def watch(self) -> None:
        """Begin to hear the signals."""
        for number in self._actions:
            self._take_over(number)
        _watched.add(self)
        _hear_of_forks()

    def check(self) -> None:
        """See that the handlers are still in place; call it now and then."""
        for number in self._actions:
            if signal.getsignal(number) is not self._handler:
                self._take_over(number)

    def ignore(self) -> None:
        """Nothing is left to stop: a repeated SIGTERM must not kill the process while its last hooks run."""
        _watched.discard(self)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._actions)
        for number in self._actions:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._actions)

    def release(self) -> None:
        """In a forked child: leave its signals to it."""
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if handler is self._handler or (handler is not None and getattr(handler, "__self__", None) is self._owner):
                signal.signal(number, _default_of(number))

    def _take_over(self, number: int) -> None:
        before = signal.getsignal(number)
        if getattr(before, "__self__", None) is not self._owner:
            self._tell(number)
        if not self._is_of_loop(before):
            # For the descriptor that wakes the loop. What an application has added to the loop stays, and is called.
            self._loop.add_signal_handler(number, _nothing)
            if callable(before) and getattr(before, "__self__", None) is not self._owner:
                self._theirs[number] = before
        signal.signal(number, self._handler)
        signal.siginterrupt(number, False)

    def _is_of_loop(self, handler: Any) -> bool:
        """Whether the loop put it there, for somebody who hears of the signal through the loop."""
        module = getattr(handler, "__module__", None) or type(getattr(handler, "__self__", None)).__module__
        return str(module).partition(".")[0] in ("asyncio", "uvloop")

    def _tell(self, number: int) -> None:
        if number in self._told:
            return
        self._told.add(number)
        self._log.warning(
            "The application has replaced the handler of %s: the worker obeys the signal all the same",
            signal.Signals(number).name,
        )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a child of ours that has not been released
            signal.signal(number, _default_of(number))
            os.kill(os.getpid(), number)
            return
        self._loop.call_soon_threadsafe(self._actions[number])
        theirs = self._theirs.get(number)
        if theirs is not None:
            try:
                theirs(number, frame)
            except BaseException:
                self._log.exception("Exception in the application's handler of %s", signal.Signals(number).name)


def _nothing() -> None:
    """What the loop does with the byte."""


def _default_of(number: int) -> Any:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


# -- forks -----------------------------------------------------------------------------------------------------------

_watched: weakref.WeakSet[Signals] = weakref.WeakSet()
_hears_of_forks = False


def _hear_of_forks() -> None:
    global _hears_of_forks
    if not _hears_of_forks:
        _hears_of_forks = True
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals_go, after_in_child=_release)


def _hold_signals() -> None:
    """A signal that comes before the child is released would be lost: the interpreter forgets it in a new process."""
    numbers = [number for signals in _watched for number in signals._actions]
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def _let_signals_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _release() -> None:
    for signals in list(_watched):
        signals.release()
    _watched.clear()
    _let_signals_go()
