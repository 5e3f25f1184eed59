"""Reads the PROXY header of an accepted socket, before TLS and before HTTP (Gunicorn's ``proxy_protocol``).

It looks at what has arrived without taking it and takes just what belongs to the header, so that whatever follows,
be it a TLS handshake, is still in the socket. The format is ``pronghorn.wire.proxy_protocol``'s.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from pronghorn.net.ends import Ends
from pronghorn.proxies import TrustList
from pronghorn.readable import Readable
from pronghorn.wire.errors import ProtocolError, printable
from pronghorn.wire.proxy_protocol import ProxyHeader, ProxyHeaderParser, State

#: Bytes looked at in one go: more than nearly all headers have.
_LOOK = 512
#: Characters of a setting's value in a log line.
_MOST_SHOWN = 100
#: Seconds that a peer still has for its header when the worker drains, for one that is already on its way.
DRAIN_PATIENCE = 0.3


@dataclass(frozen=True)
class Opening:
    """How a connection began.

    ``header``: None when none came. ``early``: bytes that were taken from the socket and are the first of what
    follows; not empty only where they might have begun a header, so never those of a TLS handshake. ``error``: what
    to answer to the peer instead of serving it.
    """

    header: ProxyHeader | None = None
    early: bytes = b""
    error: ProtocolError | None = None


class ProxyHeaderReader:
    """Reads PROXY headers as Gunicorn does: they are optional, and refused (403) from peers that may not send one.

    ``mode``: "v1", "v2" or "auto". ``allowed``: Gunicorn's ``proxy_allow_ips``. ``timeout``: seconds that a peer has
    to send its header, or whatever else it begins with; 0 for any time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, mode: str, allowed: TrustList, timeout: float) -> None:
        self._loop = loop
        self._mode = mode
        self._allowed = allowed
        self._timeout = timeout
        self._readable = Readable(loop, "PROXY header")
        self._patience: asyncio.TimerHandle | None = None

    async def read(self, sock: socket.socket, ends: Ends) -> Opening:
        """Return how the connection on ``sock`` begins; afterwards only what is behind the header is in the socket.

        ``ends``: as ``accept`` told them; who may send a header is judged by that.
        Raises asyncio.TimeoutError when the peer sent too little in time, OSError when it has left.
        """
        sock.setblocking(False)
        parser = ProxyHeaderParser(self._mode, allowed=self._allowed.trusts(ends.address()))
        deadline = self._loop.time() + self._timeout if self._timeout > 0 else 0.0
        while parser.state < State.COMPLETE:
            data = await self._readable.peek(sock, _LOOK, deadline)
            try:
                _take(sock, parser.feed(data))
            except ProtocolError as error:
                if error.status == 403:
                    error.setting = f"proxy_allow_ips={printable(self._allowed.text, _MOST_SHOWN)}"
                else:
                    error.setting = f"proxy_protocol={self._mode}"
                return Opening(error=error)
        return Opening(parser.header, parser.early)

    def drain(self) -> None:
        """The worker is about to end: wait only a moment longer for headers."""
        if self._patience is None:
            self._patience = self._loop.call_later(DRAIN_PATIENCE, self._readable.lose_patience)


def _take(sock: socket.socket, size: int) -> None:
    """Take ``size`` bytes, which are known to be there."""
    while size:
        size -= len(sock.recv(size))
