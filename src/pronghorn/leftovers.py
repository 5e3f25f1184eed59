"""What an application leaves behind when its worker ends: tasks, generators, threads, processes, hooks. Each gets its
time, and no more.

An application must not keep a worker alive for ever: after SIGHUP nobody sends SIGKILL, and at its exit the interpreter
waits for a thread that never returns, for a process that ``multiprocessing`` started, and for what ``atexit`` calls.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Seconds that cancelled tasks, and generators, get at most.
_CANCELLATION = 1.0
#: Seconds that the interpreter gets at least, after its last hook, to see threads end.
_LEAST_EXIT = 0.3
#: Seconds before the end of graceful_timeout, when Gunicorn sends SIGKILL.
_MARGIN = 0.25


def end_tasks(
    loop: asyncio.AbstractEventLoop,
    executor: ThreadPoolExecutor,
    seconds: float,
    run: Callable[[asyncio.Future[Any]], Any] | None = None,
) -> None:
    """Run ``loop`` until what is left of the application has ended, for about ``seconds`` at most.

    ``run``: runs the loop until a future is done; the loop's own method where it is not given.
    """
    run = run or loop.run_until_complete
    rest: list[Any] = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in rest:
        task.cancel()
    _run(loop, run, rest, min(seconds, _CANCELLATION))
    _run(loop, run, [loop.create_task(loop.shutdown_asyncgens())], min(seconds, _CANCELLATION))
    _run(loop, run, [_shut_down(loop, executor)], seconds)


def _run(
    loop: asyncio.AbstractEventLoop,
    run: Callable[[asyncio.Future[Any]], Any],
    awaited: list[Any],
    seconds: float,
) -> None:
    if awaited:
        run(loop.create_task(asyncio.wait(awaited, timeout=seconds)))


def _shut_down(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> Awaitable[None]:
    """Return a future that is done when the executor's threads have ended.

    ``loop.shutdown_default_executor`` joins them in the loop's own thread once it is cancelled: it cannot be bounded.
    """
    ended: asyncio.Future[None] = loop.create_future()

    def wait() -> None:
        executor.shutdown()
        try:
            loop.call_soon_threadsafe(lambda: None if ended.done() else ended.set_result(None))
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    threading.Thread(target=wait, name="executor's end", daemon=True).start()
    return ended


def leave_threads(log: Any, seconds: float, exit_code: int) -> None:
    """End this process about ``seconds`` after the interpreter's exit has begun, if something keeps it from ending.

    Call it when nothing but the exit is left to do. Hooks that run before (``worker_exit``) take what time they need.
    """
    begun = threading.Event()
    # The last to register is the first to be called, before concurrent.futures, which uses this too, joins its threads.
    register: Any = threading._register_atexit  # type: ignore[attr-defined]
    register(begun.set)
    arguments = (begun, log, max(seconds - _MARGIN, _LEAST_EXIT), exit_code)
    threading.Thread(target=_end_process, args=arguments, name="last resort", daemon=True).start()


def _end_process(begun: threading.Event, log: Any, seconds: float, exit_code: int) -> None:
    begun.wait()
    time.sleep(seconds)
    # Whoever gets here still runs: a thread like this one does not outlive the interpreter's end.
    threads = [one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
    children = [f"{child.name} (pid {child.pid})" for child in _children()]
    if threads:
        log.error("Ending without thread(s) that do not end: %s", ", ".join(threads))
    if children:
        log.error("Ending without child process(es) that do not end: %s", ", ".join(children))
    if not threads and not children:
        log.error("Ending without exit handlers (atexit) that do not return")
    os._exit(exit_code)


def _children() -> list[Any]:
    """Processes that ``multiprocessing`` has started from this one, and would wait for."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is None:
        return []
    return [child for child in list(process.active_children()) if not child.daemon]
