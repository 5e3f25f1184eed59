"""How one connection ends, and who is given up before that because it does not read.

Knows the transport and the kernel's queues; what is spoken on the connection is ``net/protocol``'s.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pronghorn.net.connection import Connection


class State(IntEnum):
    """How long a connection lives; drawn in ``closing.pxd``."""

    SERVING = 0
    DRAINING = 1
    LINGERING = 2
    CLOSED = 3


_LINGERING = int(State.LINGERING)
_CLOSED = int(State.CLOSED)

#: Seconds during which what a peer still sends is read and dropped, so that our last response reaches it: closing a
#: socket with unread bytes resets the connection (RFC 9112 section 9.6).
LINGER = 2.0
#: Seconds for a peer to answer the close_notify of TLS once it has all that was written; it need not (RFC 8446 section
#: 6.1), and one that keeps the connection in a pool and does not look at it never does.
FAREWELL = 0.5
_ZERO = bytes(4)
#: ``struct linger``: on, for no time (socket(7)).
_RESET = struct.pack("ii", 1, 0)


class Closing:
    """The end of ``connection``, whose transport is ``transport``. Made when the end begins, or the peer reads slowly.

    Hazard: it and the connection refer to each other, which ends with ``connection_lost``.
    """

    __slots__ = ("_connection", "_kept", "_left_to_write", "_patience", "_transport")

    def __init__(self, connection: Connection, transport: Any) -> None:
        self._connection = connection
        self._transport = transport
        self._kept = -1
        self._left_to_write = 0
        self._patience = 0.0

    def close(self) -> None:
        """Close once all that was written has been sent."""
        connection = self._connection
        connection.enter(_CLOSED)
        if connection.writable or not connection.deadline:
            self.watch_writing()
        self.keep_socket()
        if not self._transport.is_closing():  # asyncio's under TLS forgets all it knows when it is closed again
            self._transport.close()
        if connection.writable and connection.is_tls():
            self._left_to_write = self._unacknowledged()
            self._patience = connection.within(connection.context.write_timeout)
            connection.deadline = connection.within(FAREWELL)

    def linger(self, sending: bool) -> None:
        """Close, but read and drop for a moment what the peer is still sending, so that it receives our last response.

        ``sending``: it is in the middle of something, and not just free to send more.
        """
        connection = self._connection
        if connection.is_tls():
            self._linger_in_tls(sending)
            return
        if not self._transport.can_write_eof():
            connection.close()
            return
        connection.enter(_LINGERING)
        connection.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # asyncio's: the peer has reset the connection, which the loop will hear of when it reads
            pass
        self._left_to_write = self._transport.get_write_buffer_size()
        connection.deadline = connection.within(LINGER)

    def keep_socket(self) -> None:
        """Under TLS the loops close the socket before they say so: what is to be shut down then is kept open."""
        connection = self._connection
        sock = connection.extra_info("socket") if connection.is_tls() else None
        if self._kept < 0 and sock is not None:
            try:
                self._kept = os.dup(sock.fileno())
            except OSError:  # it is closed already, or no descriptor is left: the close has to do
                pass

    def on_lost(self) -> None:
        """The transport has sent what it had to send, and the socket is closed, or about to be."""
        if self._kept >= 0:
            _shut_down(self._kept)
            os.close(self._kept)
            self._kept = -1

    def on_data(self) -> None:
        """The peer has sent something, which is dropped."""
        if self._patience:
            self._await_pause()

    def on_writable(self) -> None:
        """The peer has read something while the end was waited for."""
        self._connection.deadline = self._connection.within(LINGER)

    def on_deadline(self, now: float) -> None:
        """Something took too long: the peer's reading, or the end."""
        connection = self._connection
        state = connection.state
        if state == _CLOSED and connection.writable and connection.is_tls():
            self._end_tls(now)
            return
        if state == _LINGERING and self._patience:
            self._judge_pause(now)
            return
        unsent = self._transport.get_write_buffer_size()
        if state == _LINGERING and unsent:
            connection.close()
        elif not connection.writable or (state == _CLOSED and unsent):
            last_call = connection.last_call()
            if last_call and now >= last_call:
                connection.tell_late(now)
            else:
                self._judge_slow_reader()
        else:
            connection.abort()

    # -- TLS --------------------------------------------------------------------------------------------------------

    def _unacknowledged(self) -> int:
        """Bytes of TLS that the peer has not acknowledged. What is between the loop's layers cannot be seen, but while
        there is any, the kernel's queue is not empty."""
        unsent: int = self._connection.unsent()
        sock = self._connection.extra_info("socket")
        if sock is None:
            return unsent
        try:
            queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _ZERO)
        except OSError:  # a system that does not tell it of sockets
            return unsent
        return unsent + int.from_bytes(queued, sys.byteorder)

    def _end_tls(self, now: float) -> None:
        """The end of TLS was announced: wait for what was written to arrive, while it does, and for no answer."""
        connection = self._connection
        unsent = self._unacknowledged()
        if not unsent:
            connection.abort()
            return
        if unsent < self._left_to_write:
            self._left_to_write = unsent
            self._patience = connection.within(connection.context.write_timeout)
        elif self._patience and now >= self._patience:
            self._give_up_on_reader()
            return
        connection.deadline = connection.within(FAREWELL)

    def _linger_in_tls(self, sending: bool) -> None:
        """The loops cannot end one direction of TLS, and asyncio's resets a connection on which anything comes after
        its close_notify. So the end waits for a pause of the peer, which can tell from the response that it is to end;
        one that need not be sending is not kept waiting."""
        connection = self._connection
        if not sending and not connection.has_unread():
            connection.close()
            return
        connection.enter(_LINGERING)
        connection.resume_reading()
        self._patience = connection.within(LINGER)
        self._await_pause()

    def _await_pause(self) -> None:
        pause = self._connection.within(FAREWELL)
        self._connection.deadline = pause if pause < self._patience else self._patience

    def _judge_pause(self, now: float) -> None:
        """Nothing came for a moment, or the time is over; a peer that lacks our last bytes may be about to go on."""
        if now < self._patience and (self._unacknowledged() or self._connection.has_unread()):
            self._await_pause()
        else:
            self._connection.close()

    # -- a peer that does not read ----------------------------------------------------------------------------------

    def watch_writing(self) -> None:
        """Give the peer its time to read what is written, but no more than what is left for the whole."""
        connection = self._connection
        self._left_to_write = connection.unsent()
        deadline = connection.within(connection.context.write_timeout)
        last_call = connection.last_call()
        connection.deadline = last_call if last_call and (not deadline or last_call < deadline) else deadline

    def _judge_slow_reader(self) -> None:
        if self._connection.unsent() < self._left_to_write or self._connection.waits_for_file():
            self.watch_writing()
        else:
            self._give_up_on_reader()

    def _give_up_on_reader(self) -> None:
        connection = self._connection
        peer = connection.peer()
        context = connection.context
        message = "Closed connection from ip=%s: it does not read its response (write_timeout=%g)"
        context.peer_log.info(peer, message, peer, context.write_timeout)
        self._drop_unsent()
        connection.abort()

    def _drop_unsent(self) -> None:
        """Let the end be a reset: after an orderly one the kernel would hold megabytes for a peer that reads nothing,
        and offer them for minutes."""
        sock = self._connection.extra_info("socket")
        if sock is not None:
            with socket.socket(fileno=os.dup(sock.fileno())) as same:  # uvloop's own object has no setsockopt
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def shut_down_sending(sock: Any) -> None:
    """Let the peer know the end, at once: closing the socket does not, where a forked child has inherited it.

    It is also what ``write_eof`` leaves to the loop's next turn. ``sock``: what a transport calls its socket, or None.
    """
    if sock is not None:
        _shut_down(sock.fileno())


def _shut_down(fd: int) -> None:
    if fd < 0:
        return
    borrowed = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, fd)  # of whatever family: it is not looked at
    try:
        borrowed.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer has left, or this was done before
    finally:
        borrowed.detach()
