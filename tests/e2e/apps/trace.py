"""Lines that a test can read of what happened inside the server: one atomic append each, from any process."""

from __future__ import annotations

import os

#: A configuration whose hooks trace how a worker ends.
HOOKS = """
from tests.e2e.apps.trace import trace

def worker_int(worker):
    trace("worker_int")

def worker_abort(worker):
    trace("worker_abort")

def worker_exit(server, worker):
    trace("worker_exit")
"""


def trace(*words: object) -> None:
    """Append ``words`` and the process id as one line to the file that ``TRACE_FILE`` names."""
    line = " ".join(map(str, (*words, os.getpid()))) + "\n"
    # No buffered file: a hook may run in a signal handler, or just before the process is killed.
    fd = os.open(os.environ["TRACE_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
