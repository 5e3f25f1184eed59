"""What an application may patch when it is imported, and a worker with an event loop cannot live with.

Each is told by what it leaves behind, and becomes one line that says what to do. Nothing is imported for it.
"""

from __future__ import annotations

import sys
import traceback

_NEST_ASYNCIO = "nest_asyncio"


def patched_threads() -> str:
    """Say who has put green threads in the place of Python's own: an event loop would wait for ever for what they do.

    Returns one line; empty where nobody has. Patches that leave threads alone do no harm.
    """
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and (gevent.is_module_patched("threading") or gevent.is_module_patched("_thread")):
        return _line("gevent", "monkey.patch_all()")
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return _line("eventlet", "monkey_patch()")
    return ""


def _line(package: str, call: str) -> str:
    return (
        f"{package} has replaced Python's threads ({call}), which an event loop cannot work with: "
        f"remove the call, or use a worker class that is made for {package}"
    )


def unpatchable_loop(error: BaseException) -> str:
    """Say what to do where ``error``, out of the import, is that nest_asyncio cannot patch a loop of uvloop's.

    Returns one line; empty for any other error.
    """
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not isinstance(error, ValueError) or not frames or frames[-1] != _NEST_ASYNCIO:
        return ""
    return (
        f"{_NEST_ASYNCIO}.apply() cannot patch this event loop ({error}): "
        'set the option loop="asyncio" (PRONGHORN_LOOP=asyncio), or remove the call'
    )
