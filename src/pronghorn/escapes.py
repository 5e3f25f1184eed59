"""SystemExit and KeyboardInterrupt that an application raises: failures like others, which must not end the worker.

asyncio and uvloop let both out of the running loop, whichever task or callback raised them. What was ready to run
stays so, and the loop is entered again. A request's task hears of the exception as of any other; what belongs to no
request is reported here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.errors import is_reported, set_reported

#: What leaves the loop. Any other exception is the task's, or the loop's exception handler's.
ESCAPING = (SystemExit, KeyboardInterrupt)
#: Seconds that a request gets to fail with the exception of a task that it waited for.
_PATIENCE = 0.5


class Escapes:
    """Runs ``loop``, and enters it again for as long as ``stays()`` says so: not at boot, nor when told to abort."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Any, stays: Callable[[], bool]) -> None:
        self._loop = loop
        self._log = log
        self._stays = stays
        self._unreported: list[BaseException] = []
        self._handler = loop.get_exception_handler()
        loop.set_exception_handler(self._handle)

    def _handle(self, loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
        """A task that ended so and whose outcome nobody asked for is a second word of asyncio on what left the loop.

        Or the first: of two that leave in one iteration uvloop raises the last only.
        """
        error = details.get("exception")
        if "future" in details and isinstance(error, ESCAPING) and self._stays():
            self._note(error)
        elif self._handler is None:
            loop.default_exception_handler(details)
        else:
            self._handler(loop, details)

    def run(self, future: asyncio.Future[Any]) -> Any:
        """Run the loop until ``future`` is done, and return its result."""
        while True:
            try:
                return self._loop.run_until_complete(future)
            except ESCAPING as error:
                if future.done() or not self._stays():
                    raise
                self._note(error)

    def _note(self, error: BaseException) -> None:
        if not is_reported(error) and error not in self._unreported:
            self._unreported.append(error)
            if self._loop.is_closed():
                self._report(error)
            else:
                self._loop.call_later(_PATIENCE, self._report, error)

    def flush(self) -> None:
        """Report what is left: the loop will not turn again."""
        for error in [*self._unreported]:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if error not in self._unreported:
            return
        self._unreported.remove(error)
        if not is_reported(error):
            set_reported(error)
            self._log.error(
                "%s in a task or callback of the application, outside of its requests; the worker serves on",
                type(error).__name__,
                exc_info=error,
            )
