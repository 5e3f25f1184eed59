"""What ``/proc`` tells about processes and their listening sockets.

Owns no process. Everything here looks from outside, so it holds for any worker class.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")
_TCP_LISTEN = "0A"  # state column of /proc/net/tcp, include/net/tcp_states.h
_UNIX_ACCEPTS = 0x10000  # flags column of /proc/net/unix: __SO_ACCEPTCON


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    state = _stat(pid)
    return state is not None and state[0] not in "ZX"


def children(parent: int) -> list[int]:
    """Living child processes, oldest process id first."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            state = _stat(int(entry.name))
            if state is not None and state[1] == parent and state[0] not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def descriptors(pid: int) -> dict[int, str]:
    """Open descriptors of a process and what they point to (``socket:[123]``, ``/path``)."""
    found = {}
    try:
        for name in os.listdir(_PROC / str(pid) / "fd"):
            try:
                found[int(name)] = os.readlink(_PROC / str(pid) / "fd" / name)
            except OSError:  # closed since the listing
                continue
    except OSError:  # the process is gone
        pass
    return found


def is_accepting(pid: int) -> bool:
    """Whether an event loop of this process waits on a listening socket (Linux epoll).

    Gunicorn listens before it forks, so a connection succeeds long before a worker can answer it. What a test
    has to know is whether the loop runs and the signal handlers stand, which is so once it polls a listener.
    """
    opened = descriptors(pid)
    polled = {target for fd, kind in opened.items() if "eventpoll" in kind for target in _polled(pid, fd)}
    listening = _listening_inodes()
    return any(opened.get(fd, "") in listening for fd in polled)


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and parent of a process, None when it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[
        :2
    ]  # the command name before it may hold spaces and brackets
    return state, int(parent)


def _polled(pid: int, epoll: int) -> list[int]:
    try:
        text = (_PROC / str(pid) / "fdinfo" / str(epoll)).read_text()
    except OSError:
        return []
    return [int(fd) for fd in re.findall(r"^tfd:\s*(\d+)", text, re.MULTILINE)]


def _listening_inodes() -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in _table(table):
            if line[3] == _TCP_LISTEN:
                inodes.add(f"socket:[{line[9]}]")
    for line in _table("unix"):
        if int(line[3], 16) & _UNIX_ACCEPTS:
            inodes.add(f"socket:[{line[6]}]")
    return inodes


def _table(name: str) -> list[list[str]]:
    try:
        lines = (_PROC / "net" / name).read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return []
    return [line.split() for line in lines[1:]]
