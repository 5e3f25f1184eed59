"""Log lines that a peer can cause at will: the first ones whole, then a count, so that nobody can fill the disk.

Every refusal and every fault of a peer goes through here. A peer is an IPv4 address, or the /64 network of an IPv6
address, which is what one customer has (RFC 6177). Knows no clock: the time is what ``sweep`` was told last.
"""

from __future__ import annotations

import ipaddress
from typing import Any

#: Lines of one peer and level that are written whole in one interval.
MOST_WHOLE = 20
#: Seconds. A peer that goes on is a line for each interval, one that pauses for so long begins anew.
INTERVAL = 10.0
#: Peers that are counted one by one, at any time; all others share one count.
MOST_PEERS = 256

_OTHERS = "other peers"


class PeerLog:
    """Writes to ``log``, any logger with Gunicorn's methods. Call ``sweep`` often, and ``flush`` at the end.

    Each line has the ``address`` that it is counted for: a client as text, or whatever else tells it from others.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._counts: dict[tuple[str, str], _Count] = {}
        self._now = 0.0
        self._due = 0.0

    def debug(self, address: str, message: str, *args: Any) -> None:
        self._write("debug", address, message, args)

    def info(self, address: str, message: str, *args: Any) -> None:
        self._write("info", address, message, args)

    def warning(self, address: str, message: str, *args: Any) -> None:
        self._write("warning", address, message, args)

    def error(self, address: str, message: str, *args: Any) -> None:
        self._write("error", address, message, args)

    def _write(self, level: str, address: str, message: str, args: tuple[Any, ...]) -> None:
        """Levels are counted apart: lines that ``loglevel`` hides must not use up the room of those it shows."""
        count = self._count_of(level, _network_of(address))
        if count.whole < MOST_WHOLE:
            count.whole += 1
            getattr(self._log, level)(message, *args)
        else:
            count.more += 1
            count.last = message, args

    def _count_of(self, level: str, peer: str) -> _Count:
        counts = self._counts
        count = counts.get((peer, level))
        if count is None:
            if not counts:
                self._due = self._now + INTERVAL
            if len(counts) >= MOST_PEERS:
                peer = _OTHERS
                count = counts.get((peer, level))
            if count is None:
                count = counts[peer, level] = _Count(self._now)
        return count

    def sweep(self, now: float) -> None:
        """Tell what was left out in the intervals that are over. ``now``: seconds of a clock that only goes on."""
        self._now = now
        if now < self._due or not self._counts:
            return
        over = [key for key, count in self._counts.items() if now - count.since >= INTERVAL]
        for key in over:
            count = self._counts[key]
            if count.more:
                self._tell(key, count)
                count.since = now
                count.more = 0
            else:
                del self._counts[key]
        self._due = min((count.since for count in self._counts.values()), default=now) + INTERVAL

    def flush(self) -> None:
        """Tell what was left out so far, and begin anew."""
        counts, self._counts = self._counts, {}
        for key, count in counts.items():
            if count.more:
                self._tell(key, count)

    def _tell(self, key: tuple[str, str], count: _Count) -> None:
        peer, level = key
        message, args = count.last
        getattr(self._log, level)(
            "%s from %s, left out in the last %d s; the last one: %s",
            f"{count.more:,} more {'line' if count.more == 1 else 'lines'}",
            peer if peer is _OTHERS else f"ip={peer}",
            max(round(self._now - count.since), 1),
            message % args,
        )


class _Count:
    """Lines of one peer and level since the moment ``since``: ``whole`` were written, ``more`` were not."""

    __slots__ = ("last", "more", "since", "whole")

    def __init__(self, since: float) -> None:
        self.since = since
        self.whole = 0
        self.more = 0
        self.last: tuple[str, tuple[Any, ...]] = "", ()


def _network_of(address: str) -> str:
    """What is one peer: of an IPv6 address the first half, for the other half is free for the peer to choose."""
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address  # no IPv6 address: the path of a unix socket
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(whole) >> 64 << 64, 64)))
