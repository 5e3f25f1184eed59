"""What ends a process elsewhere, raised by an application: a failure like others, and everybody else is served."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.support.raw import Truncated, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until
from tests.support.websocket import CLOSE, TEXT, close_code, handshake, read_frame, send_frame

Serve = Callable[..., GunicornServer]

SOURCE = '''
import asyncio, sys
from urllib.parse import parse_qs

class Other(BaseException):
    pass

KINDS = {
    "exit": SystemExit, "exit3": lambda: SystemExit(3), "exit4": lambda: SystemExit(4), "interrupt": KeyboardInterrupt,
    "close": GeneratorExit, "cancel": asyncio.CancelledError, "other": Other,
}
free = asyncio.Event()
kept = set()

def fail(kind):
    raise KINDS[kind]()

async def fail_later(kind):
    await asyncio.sleep(0)
    fail(kind)

async def reply(send, body=b"ok", more=False):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": more})

async def inner(scope, receive, send):
    place, _, kind = scope["path"][1:].partition("/")
    if place == "held":
        await free.wait()
        await reply(send)
    elif place == "free":
        free.set()
        await reply(send)
    elif place == "endpoint":
        fail(kind)
    elif place == "late":
        await fail_later(kind)
    elif place == "thread":
        await asyncio.to_thread(fail, kind)
    elif place == "awaited":
        await asyncio.create_task(fail_later(kind))
    elif place == "gathered":
        await asyncio.gather(asyncio.sleep(0.01), fail_later(kind), fail_later("other"))
    elif place == "background":
        await reply(send)
        await fail_later(kind)
    elif place == "part":
        await reply(send, more=True)
        await fail_later(kind)
    elif place == "task":
        task = asyncio.get_running_loop().create_task(fail_later(kind))
        kept.add(task)
        task.add_done_callback(kept.discard)
        await reply(send)
    elif place == "callback":
        asyncio.get_running_loop().call_soon(fail, kind)
        await reply(send)
    elif place == "accept":
        await receive()
        await fail_later(kind)
    elif place == "chat":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        fail(kind)
    else:
        await reply(send)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"].startswith("/middleware"):
        try:
            await reply(send)
        finally:
            fail(scope["path"].rpartition("/")[2])
    await inner(scope, receive, send)
'''

KINDS = ["exit", "exit3", "exit4", "interrupt", "close", "cancel", "other"]
#: Where it is raised, and what the client gets.
ANSWERED = dict.fromkeys(("endpoint", "late", "thread", "awaited", "gathered"), 500)
ANSWERED |= dict.fromkeys(("background", "middleware"), 200)
#: What leaves the loop.
LEAVES = ["exit", "exit3", "interrupt"]
WAYS = [("asyncio", "1"), ("asyncio", "0"), ("uvloop", "1"), ("uvloop", "0")]


@pytest.mark.parametrize(("loop", "eager"), WAYS)
def test_everybody_else_is_served_on(serve: Serve, loop: str, eager: str) -> None:
    server = serve(source=SOURCE, environment={"PRONGHORN_LOOP": loop, "PRONGHORN_EAGER_TASKS": eager})
    worker = server.only_worker()
    with server.connect() as held, server.connect() as kept:
        held.send(request_bytes("GET", "/held"))
        for kind in KINDS:
            for place, status in ANSWERED.items():
                assert kept.request("GET", f"/{place}/{kind}").status == status, (place, kind)
            with server.connect() as client:
                client.send(request_bytes("GET", f"/part/{kind}"))
                with pytest.raises(Truncated):
                    client.read_response()
            with server.connect() as client:
                assert handshake(client, f"/accept/{kind}").status == 500
            with server.connect() as client:
                assert handshake(client, f"/chat/{kind}").status == 101
                send_frame(client, TEXT, b"x")
                opcode, payload = read_frame(client)
                assert (opcode, close_code(payload)) == (CLOSE, 1011)
        for kind in LEAVES:
            for place in ("task", "callback"):
                assert kept.request("GET", f"/{place}/{kind}").status == 200
        assert kept.request("GET", "/free").status == 200
        assert held.read_response().status == 200
    said = "in a task or callback of the application, outside of its requests"
    wait_until(lambda: server.log().count(said) == 2 * len(LEAVES), 10, server.log)
    exceptions, places = len(KINDS) - 1, len(ANSWERED) + 3  # a cancelled task has no traceback
    assert server.log().count("Exception in ASGI application") == exceptions * places
    assert server.log().count("Traceback (most") == exceptions * places + 2 * len(LEAVES)
    assert server.only_worker() == worker
    assert server.stop() == 0


@pytest.mark.parametrize("when", ["task", "drain", "shutdown", "hook"])
def test_a_worker_that_ends_does_not_end_the_server(serve: Serve, when: str) -> None:
    """However it ends, codes 3 and 4 are for what kept it from booting: Gunicorn would stop for them."""
    server = serve(source=ENDING, config=HOOK if when == "hook" else "", environment={"WHEN": when}, graceful_timeout=3)
    worker = server.only_worker()
    assert server.get("/").status == 200
    os.kill(worker, signal.SIGQUIT if when == "hook" else signal.SIGTERM)
    server.wait_gone([worker])
    server.wait_ready()
    assert server.get("/").status == 200
    assert "failed to boot" not in server.log()
    assert server.exit_code() is None


HOOK = '''
def worker_int(worker):
    raise SystemExit(3)
'''

ENDING = '''
import asyncio, os

WHEN = os.environ["WHEN"]
kept = []

async def exits(code):
    try:
        await asyncio.sleep(60)
    finally:
        raise SystemExit(code)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if WHEN == "task":
            kept.append(asyncio.create_task(exits(3)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if WHEN == "drain":
            kept.append(asyncio.get_running_loop().call_soon(exit, 4))
            await asyncio.sleep(0)
        if WHEN == "shutdown":
            raise SystemExit(3)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
'''
