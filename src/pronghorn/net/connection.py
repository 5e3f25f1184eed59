"""One accepted socket: reads, writes, flow control. The protocol on it is ``net/http1``'s, its end ``net/closing``'s.

Knows transports and addresses; builds neither a scope nor a response.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import termios
from collections.abc import Callable
from typing import Any

from pronghorn.asgi.context import Context
from pronghorn.asgi.scope import address_of, endpoint_for
from pronghorn.asgi.stream import Exchange
from pronghorn.net.closing import Closing, State, shut_down_sending
from pronghorn.net.ends import UNKNOWN, Ends
from pronghorn.net.reaper import Reaper
from pronghorn.net.turn import Turn, TurnTaker

_SERVING = int(State.SERVING)
_DRAINING = int(State.DRAINING)
_LINGERING = int(State.LINGERING)
_CLOSED = int(State.CLOSED)

_NONE_UNREAD = bytes(4)
#: Told by poll(2) whatever is asked for, but for the first, which only Linux knows.
_HAS_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
#: A batch of parts is joined up to this size; in a larger one, parts from ``_LARGE`` on go out as they are.
_MOST_JOINED = 65536
_LARGE = 16384
#: Writes within responses, before it is looked at whether they wait for the peer.
_MOST_WRITES = 512


class Connection(TurnTaker):
    """An asyncio protocol that owns one transport.

    ``deadline`` float: loop time by which something must have happened, 0 for none. ``writable`` bool: the peer keeps
    up with what is written. ``endpoint``: who is on either side. ``opening``: how the connection began, where that
    was looked at (``ProxyHeaderReader``); set it before the connection is made.
    """

    __slots__ = (
        "_choose",
        "_closing",
        "_is_emptying",
        "_is_tls",
        "_protocol",
        "_reading",
        "_state",
        "_transfer",
        "_transport",
        "_writes",
        "context",
        "deadline",
        "endpoint",
        "ends",
        "opening",
        "reaper",
        "turn",
        "writable",
    )

    def __init__(self, context: Context, reaper: Reaper, turn: Turn, choose: Callable[[Any], Any]) -> None:
        self.context = context
        self.reaper = reaper
        self.turn = turn
        self._choose = choose
        self._transport: Any = None
        self._protocol: Any = None
        self.endpoint: Any = None
        self.ends: Ends = UNKNOWN
        self.opening: Any = None
        self._state = _SERVING
        self._reading = True
        self._closing: Closing | None = None
        self._transfer: Any = None
        self._writes = 0
        self._is_emptying = False
        self._is_tls = False
        self.writable = True
        self.deadline = 0.0

    @property
    def state(self) -> State:
        return State(self._state)

    # -- what the transport tells -----------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.reaper.add(self)
        opening = self.opening
        ssl_object = transport.get_extra_info("ssl_object")
        self._is_tls = ssl_object is not None
        self.endpoint = endpoint_for(
            self.context,
            self.ends.client,
            self.ends.server,
            "https" if ssl_object is not None else "http",
            None if opening is None else opening.header,
            self.ends.address(),
        )
        if ssl_object is not None and self.context.tls_extension is not None:
            self.endpoint.tls = self.context.tls_extension(ssl_object)
        self._protocol = self._choose(self)
        if self.context.draining:
            self.drain()
        if opening is not None:
            if opening.error is not None:
                self._protocol.refuse(opening.error)
            elif opening.early:
                self.data_received(opening.early)

    def data_received(self, data: bytes) -> None:
        protocol = self._protocol  # held, for it may end the connection
        if self._state < _LINGERING:
            protocol.data_received(data)
        elif self._state == _LINGERING:
            self._ending().on_data()

    def take_turn(self) -> None:
        protocol = self._protocol
        if protocol is not None and self._state < _LINGERING:
            protocol.take_turn()

    def end_turn(self) -> None:
        protocol = self._protocol
        if protocol is not None and self._state < _LINGERING:
            protocol.flush()

    def eof_received(self) -> bool:
        if self._state >= _LINGERING:
            return False
        stays_open = bool(self._protocol.eof_received())
        if self.is_tls():
            self._ending().keep_socket()
            return False
        return stays_open

    def connection_lost(self, error: Exception | None) -> None:
        self._state = _CLOSED
        self.deadline = 0.0
        self._stop_transfer()
        protocol = self._protocol
        self._protocol = None
        if protocol is not None:
            protocol.connection_lost()
        closing = self._closing
        if closing is not None:
            closing.on_lost()
        if self._transport is not None and not self.is_tls():
            shut_down_sending(self._transport.get_extra_info("socket"))
        self._transport = None
        self._closing = None
        self.reaper.discard(self)

    def pause_writing(self) -> None:
        transfer = self._transfer
        if transfer is not None:
            transfer.pause()
            return
        self.writable = False
        self._ending().watch_writing()

    def resume_writing(self) -> None:
        if self._transport is None or (self._state < _LINGERING and self._transport.is_closing()):
            # The loop gave the buffer up because the peer is gone, and connection_lost is on its way: who was told to
            # go on now would write into nothing, as fast as it can, and never learn of it.
            return
        transfer = self._transfer
        if transfer is not None:
            transfer.resume()
            return
        if self._is_emptying:
            self._is_emptying = False
            self.set_write_marks(-1)
        self.writable = True
        self.deadline = 0.0
        if self._state >= _LINGERING:
            self._ending().on_writable()
        self.tell_writable()

    # -- what the protocol asks -------------------------------------------------------------------------------------

    def extra_info(self, name: str) -> Any:
        """What the transport knows by ``name`` (asyncio's ``get_extra_info``), None when it is gone."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def is_tls(self) -> bool:
        return self._is_tls

    def within(self, seconds: float) -> float:
        """A deadline ``seconds`` from now, or none for 0."""
        if seconds <= 0:
            return 0.0
        return self.context.clock + self.context.margin + seconds

    def write(self, out: list[bytes], last: bool = False) -> None:
        """Write the parts in ``out`` in order, as one write where they are small, and leave it empty.

        ``last``: of a response.
        """
        transport = self._transport
        if transport is None:
            out.clear()
            return
        if len(out) == 1:
            transport.write(out.pop())  # compiled, a third of what clear() takes
        else:
            size = 0
            for part in out:
                size += len(part)
            if size <= _MOST_JOINED:
                transport.write(b"".join(out))
            else:
                self._write_parts(out)
            out.clear()
        if last:
            return
        self._writes += 1
        if self._writes >= _MOST_WRITES:
            self._limit_writes()
        if transport.is_closing():
            # The write failed. The loop drops what is written from here on and tells connection_lost at its next turn,
            # which a sender that waits for nothing would not let come: not ``writable``, it has to wait.
            self.writable = False

    def _limit_writes(self) -> None:
        """Where many parts were written and something waits for the peer, wait until nothing does.

        Each part may be an object of the transport's, whose marks count bytes: those of one byte would take as many
        megabytes as the marks allow kilobytes.
        """
        self._writes = 0
        if self.writable and self.unsent():
            self._is_emptying = True
            self.set_write_marks(0)

    def _write_parts(self, out: list[bytes]) -> None:
        """Write each large part without a copy.

        Not by ``writelines``: that of CPython 3.12.0 to 3.13.1 never pauses the protocol, so that all a peer does not
        read is held, and up to 3.13.5 it buffers, and watches a descriptor, after the connection was lost.
        """
        transport = self._transport
        small: list[bytes] = []
        for part in out:
            if len(part) < _LARGE:
                small.append(part)
                continue
            if small:
                transport.write(b"".join(small))
                small.clear()
            transport.write(part)
        if small:
            transport.write(b"".join(small))

    def has_unread(self) -> bool:
        """Whether the peer has sent what the loop has not read yet: closing now would lose it."""
        sock = self.extra_info("socket")
        return sock is not None and fcntl.ioctl(sock.fileno(), termios.FIONREAD, _NONE_UNREAD) != _NONE_UNREAD

    def has_left(self) -> bool:
        """Whether the peer has ended its side, or the connection is broken: while reading is paused no loop tells."""
        sock = self.extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poller = select.poll()
        poller.register(sock.fileno(), _HAS_LEFT)
        return bool(poller.poll(0))

    def pause_reading(self) -> None:
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def tell_writable(self) -> None:
        """Let the protocol go on writing."""
        protocol = self._protocol
        if protocol is not None:
            protocol.resume_writing()

    # -- what a file on its way asks --------------------------------------------------------------------------------

    def begin_transfer(self, transfer: Any) -> None:
        """``transfer``, a FileTransfer, is the only one to write until ``end_transfer``."""
        self._transfer = transfer
        self.writable = False
        self._ending().watch_writing()

    def end_transfer(self, paused: bool) -> None:
        """Others may write again; ``paused``: when the transport's buffer has gone down."""
        self._transfer = None
        if paused:
            self._ending().watch_writing()
        elif self._transport is not None and not self._transport.is_closing():
            self.writable = True
            self.deadline = 0.0

    def _stop_transfer(self) -> None:
        """The connection ends, and the file with it."""
        transfer = self._transfer
        self._transfer = None
        if transfer is not None:
            transfer.stop()

    def can_sendfile(self) -> bool:
        """Whether the kernel can send a file to the peer by itself."""
        return self.context.sendfile and self.extra_info("socket") is not None and not self.is_tls()

    def duplicate_socket(self) -> socket.socket:
        """Return the socket under a descriptor of its own, which the loop can watch beside the transport's."""
        sock = self.extra_info("socket")
        duplicate = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
        duplicate.setblocking(False)
        return duplicate

    def set_write_marks(self, high: int) -> None:
        """Have writing paused above ``high`` bytes of buffer, and resumed below; -1: at the loop's own marks."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.set_write_buffer_limits(None if high < 0 else high)

    def unsent(self) -> int:
        """Bytes that wait in this process for the peer to read."""
        size: int = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return size if self._transfer is None else size + self._transfer.unsent()

    def waits_for_file(self) -> bool:
        """Whether a file on its way is waited for, not the peer."""
        transfer = self._transfer
        return transfer is not None and bool(transfer.is_reading())

    # -- the end ----------------------------------------------------------------------------------------------------

    def enter(self, state: int) -> None:
        """Change the ``State``."""
        self._state = state

    def _ending(self) -> Closing:
        closing = self._closing
        if closing is None:
            closing = self._closing = Closing(self, self._transport)
        return closing

    def last_call(self) -> float:
        """A deadline that holds whatever the peer does, 0 for none."""
        protocol = self._protocol
        return 0.0 if protocol is None else float(protocol.last_call())

    def tell_late(self, now: float) -> None:
        """Let the protocol judge, for its deadline has passed as well."""
        protocol = self._protocol
        if protocol is not None:
            protocol.on_deadline(now)

    def close(self) -> None:
        """Close once all that was written has been sent."""
        self._stop_transfer()
        if self._state < _CLOSED and self._transport is not None:
            self._ending().close()

    def close_idle(self) -> bool:
        """Close, unless the peer has sent what the loop has not read yet; whether it is closed.

        The transport closes at its next turn. A request that comes before that would be lost, so the peer learns of
        the end in the moment after the look.
        """
        if self.has_unread():
            return False
        if not self.is_tls():  # which says its end itself
            shut_down_sending(self.extra_info("socket"))
        self.close()
        return True

    def linger(self, sending: bool = True) -> None:
        """Close, but read and drop for a moment what the peer is still sending, so that it receives our last response.

        ``sending``: it is in the middle of something, and not just free to send more.
        """
        if self._state < _LINGERING and self._transport is not None:
            self._stop_transfer()
            self._ending().linger(sending)

    def abort(self) -> None:
        """Close at once; what has not been sent is lost."""
        self._stop_transfer()
        if self._transport is not None:
            self._state = _CLOSED
            shut_down_sending(self.extra_info("socket"))
            self._transport.abort()

    # -- what the server asks ---------------------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Something took too long."""
        self.deadline = 0.0
        protocol = self._protocol
        if self._transport is None or protocol is None:
            return
        if self._state >= _LINGERING or not self.writable:
            self._ending().on_deadline(now)
        else:
            protocol.on_deadline(now)

    def drain(self) -> None:
        """Finish what is under way, then close."""
        if self._state == _SERVING:
            self._state = _DRAINING
            if self._protocol is not None:
                self._protocol.drain()

    def wind_up(self) -> None:
        """The time for draining is almost over."""
        protocol = self._protocol
        if protocol is not None and self._state < _LINGERING:
            protocol.wind_up()

    def terminate(self) -> None:
        """The time for draining is over."""
        if self._protocol is not None and self._state < _LINGERING:
            self._protocol.terminate()
        else:
            self.abort()

    def close_if_idle(self) -> bool:
        """Close where the peer has all its answers and has asked nothing more yet; whether it is closed."""
        protocol = self._protocol
        if protocol is None or self._state != _SERVING or self.unsent():
            return False
        return bool(protocol.close_if_idle())

    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests under way, for diagnostics. May be called from another thread."""
        protocol = self._protocol
        return () if protocol is None else protocol.exchanges()

    def peer(self) -> str:
        """The peer as it stands in a log line."""
        return self.ends.peer() if self.endpoint is None else address_of(self.endpoint)
