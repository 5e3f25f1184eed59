"""Applications that run the loop from within itself, with nest_asyncio: each request gets its own answer."""

from __future__ import annotations

import threading

import pytest

from tests.e2e.conftest import Serve

SOURCE = """
import asyncio, nest_asyncio

async def work(value):
    await asyncio.sleep(0.01)
    return value


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if WHEN == "startup":
            nest_asyncio.apply()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    answers = []
    for _ in range(2):
        answers.append(asyncio.get_event_loop().run_until_complete(work(scope["path"])))
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": " ".join(answers).encode()})
"""


@pytest.mark.parametrize("when", ["import", "startup"])
def test_each_request_gets_its_own_answer(serve: Serve, when: str) -> None:
    early = "import nest_asyncio\nnest_asyncio.apply()\n" if when == "import" else ""
    server = serve(source=f"{early}WHEN = {when!r}\n{SOURCE}", environment={"PRONGHORN_LOOP": "asyncio"})
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = server.get(f"/{number}").text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"/{number} /{number}" for number in range(24)}
    assert "Traceback" not in server.log()
