"""``readable``: the first bytes of a socket are seen and not taken, and nobody is waited for longer than told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pronghorn.readable import Readable
from tests.support.loops import Run


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


async def until_waiting(readable: Readable) -> None:
    while not readable.waiting:
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [False, True])
def test_what_is_seen_is_left(run: Run, pair: tuple[socket.socket, socket.socket], late: bool) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        readable = Readable(asyncio.get_running_loop(), "greeting")
        if not late:
            theirs.send(b"hello")
        task = asyncio.ensure_future(readable.peek(ours, 4, 0.0))
        if late:
            await until_waiting(readable)
            theirs.send(b"hello")
        assert await task == b"hell"
        assert not readable.waiting
        assert ours.recv(100) == b"hello"

    run(scenario())


def test_too_late(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        readable = Readable(loop, "greeting")
        with pytest.raises(asyncio.TimeoutError, match="no greeting came in time"):
            await readable.peek(pair[0], 4, loop.time() + 0.01)
        assert not readable.waiting

    run(scenario())


def test_a_peer_that_leaves(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        readable = Readable(asyncio.get_running_loop(), "greeting")
        task = asyncio.ensure_future(readable.peek(ours, 4, 0.0))
        await until_waiting(readable)
        theirs.close()
        with pytest.raises(ConnectionResetError, match="the peer left"):
            await task

    run(scenario())


def test_without_patience(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    """Who waits is given up, who comes now is not waited for, and what is there is still seen."""

    async def scenario() -> None:
        ours, theirs = pair
        readable = Readable(asyncio.get_running_loop(), "greeting")
        task = asyncio.ensure_future(readable.peek(ours, 4, 0.0))
        await until_waiting(readable)
        readable.lose_patience()
        for one in (task, readable.peek(ours, 4, 0.0)):
            with pytest.raises(asyncio.TimeoutError):
                await one
        theirs.send(b"hello")
        assert await readable.peek(ours, 4, 0.0) == b"hell"

    run(scenario())
