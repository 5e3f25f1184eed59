"""Waits until an accepted socket has something to read, while no transport owns it yet."""

from __future__ import annotations

import asyncio
import socket


class Readable:
    """Waits for sockets of one ``loop``; ``lacking``: what the log calls what did not come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lacking: str) -> None:
        self._loop = loop
        self._lacking = lacking
        self.waiting: set[asyncio.Future[None]] = set()
        self._is_patient = True

    async def peek(self, sock: socket.socket, size: int, deadline: float) -> bytes:
        """Return at most ``size`` of the bytes that have come, and leave them in the socket, which is not blocking.

        ``deadline``: loop time until which the peer may send its first, 0 for any. Raises asyncio.TimeoutError after
        it, OSError when the peer has left.
        """
        while True:
            try:
                data = sock.recv(size, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                await self._wait(sock, deadline)
                continue
            if not data:
                raise ConnectionResetError("the peer left")
            return data

    def lose_patience(self) -> None:
        """Wait for nobody any more."""
        self._is_patient = False
        for waiter in list(self.waiting):
            self._give_up(waiter)

    async def _wait(self, sock: socket.socket, deadline: float) -> None:
        if not self._is_patient:
            raise asyncio.TimeoutError("the worker ends")
        waiter: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._give_up, waiter) if deadline else None
        self._loop.add_reader(sock, _wake, waiter)
        self.waiting.add(waiter)
        try:
            await waiter
        finally:
            self.waiting.discard(waiter)
            self._loop.remove_reader(sock)
            if timer is not None:
                timer.cancel()

    def _give_up(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(asyncio.TimeoutError(f"no {self._lacking} came in time"))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
