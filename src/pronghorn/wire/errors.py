"""Whose fault it is, said by the type: here, the peer's.

The application's faults are ``pronghorn.asgi.errors``; what is neither is a defect of ours and stays a traceback.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer broke HTTP, or a limit: it gets ``status``, and the log gets ``reason``.

    ``status``: int, the response status (RFC 9110 section 15.5). ``reason``: str, one clause for people, free of
    control characters. ``headers``: pairs of bytes to add to the response. ``setting``: str, the setting that asks for
    this and its value, "name=value", for the log alone; empty where none does.
    """

    def __init__(
        self, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = (), setting: str = ""
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.setting = setting

    def __str__(self) -> str:
        return self.reason

    def told(self) -> str:
        """The reason as the log has it, with the setting."""
        return f"{self.reason} ({self.setting})" if self.setting else self.reason


def printable(text: str, most: int) -> str:
    """Return ``text`` as it may stand in a log line: what is not printable ASCII is escaped, what is long is cut."""
    cut = text[:most]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in cut)
    return cut if len(text) <= most and len(cut) <= most else cut[: most - 3] + "..."


def shown(name: bytes) -> str:
    """What a peer sent as it may stand in a reason: short and printable."""
    return repr(name[:40].decode("latin-1"))
