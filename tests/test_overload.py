"""``pronghorn.overload``: the limit of concurrent requests and the health answer, as plain ASGI applications."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pronghorn.overload import CALM, RETRY_AFTER, HealthAnswer, Limiter
from tests.asgi.doubles import RecordingLog, Timers


class Application:
    """Holds each request until it is let go."""

    def __init__(self) -> None:
        self.running: list[asyncio.Future[None]] = []
        self.begun = 0
        self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        gate = asyncio.get_running_loop().create_future()
        self.running.append(gate)
        self.most = max(self.most, len(self.running))
        try:
            await gate
        finally:
            self.running.remove(gate)
        await send({"type": "http.response.start", "status": 200, "headers": []})


class Request:
    def __init__(self, app: Any, path: str = "/", kind: str = "http") -> None:
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.ensure_future(app({"type": kind, "path": path}, None, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"] if self.sent else 0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(coroutine: Any) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 10))


class TestLimiter:
    def test_lets_so_many_in_and_queues_so_many(self) -> None:
        async def scenario() -> None:
            application = Application()
            limiter = Limiter(application, 2, 1, "")
            requests = [Request(limiter) for _ in range(4)]
            await settle()
            assert application.begun == 2
            assert [request.status for request in requests] == [0, 0, 0, 503]
            headers = dict(requests[3].sent[0]["headers"])
            assert headers[b"retry-after"] == str(RETRY_AFTER).encode()
            application.running[0].set_result(None)
            await settle()
            assert application.begun == 3
            while application.running:
                application.running[0].set_result(None)
                await settle()
            assert [request.status for request in requests] == [200, 200, 200, 503]
            assert application.most == 2

        run(scenario())

    def test_the_queue_is_in_order(self) -> None:
        async def scenario() -> None:
            application = Application()
            limiter = Limiter(application, 1, 3, "")
            requests = [Request(limiter) for _ in range(4)]
            for count in range(1, 5):
                await settle()
                application.running[0].set_result(None)
                await settle()
                assert [request.status for request in requests] == [200] * count + [0] * (4 - count)

        run(scenario())

    @pytest.mark.parametrize("which", range(4))
    def test_a_cancelled_request_gives_its_place_back(self, which: int) -> None:
        """Running or waiting: all others are served, and the limit stands as before."""

        async def scenario() -> None:
            application = Application()
            limiter = Limiter(application, 2, 2, "")
            requests = [Request(limiter) for _ in range(4)]
            await settle()
            requests[which].task.cancel()
            await settle()
            while application.running:
                application.running[0].set_result(None)
                await settle()
            assert [request.status for request in requests].count(200) == 3
            again = [Request(limiter) for _ in range(3)]
            await settle()
            assert len(application.running) == 2
            for request in again:
                request.task.cancel()
            await settle()

        run(scenario())

    def test_cancelled_just_after_it_got_its_place(self) -> None:
        async def scenario() -> None:
            application = Application()
            limiter = Limiter(application, 1, 2, "")
            requests = [Request(limiter) for _ in range(3)]
            await settle()
            application.running[0].set_result(None)
            while not requests[0].task.done():
                await asyncio.sleep(0)
            requests[1].task.cancel()  # its place is granted, and it has not run since
            await settle()
            assert len(application.running) == 1
            application.running[0].set_result(None)
            await settle()
            assert requests[2].status == 200

        run(scenario())

    def test_a_failing_application_gives_its_place_back(self) -> None:
        async def failing(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        async def scenario() -> None:
            limiter = Limiter(failing, 1, 0, "")
            for _ in range(3):
                request = Request(limiter)
                with pytest.raises(ValueError):
                    await request.task

        run(scenario())

    def test_health_checks_and_websockets_are_not_counted(self) -> None:
        async def scenario() -> None:
            application = Application()
            limiter = Limiter(application, 1, 0, "/health")
            requests = [Request(limiter), Request(limiter, "/health"), Request(limiter, "/", "websocket")]
            await settle()
            assert application.begun == 3
            assert Request(limiter).task is not None
            for gate in list(application.running):
                gate.set_result(None)
            await settle()
            assert [request.status for request in requests] == [200, 200, 200]

        run(scenario())


class TestLines:
    def test_an_overload_is_two_lines(self) -> None:
        async def scenario() -> None:
            log, timers, now = RecordingLog(), Timers(), 100.0
            loop = asyncio.get_running_loop()
            loop.time = lambda: now  # type: ignore[method-assign]
            application = Application()
            limiter = Limiter(application, 2, 1, "", log)
            requests = [Request(limiter) for _ in range(10)]
            await settle()
            assert log.of("warning") == [
                "Requests are refused with 503: 2 under way (max_concurrent_requests=2) and 1 waiting "
                "(max_queued_requests=1)"
            ]
            now += 1.5
            requests.append(Request(limiter))
            await settle()
            now += CALM - 1
            timers.fire()  # not over: the last was refused a second ago
            assert len(log.entries) == 1
            assert timers.delays == [1.0]
            now += 1
            timers.fire()
            assert log.of("info") == ["Requests are no longer refused: 8 got 503 in 1.5 s"]
            assert timers.pending == []
            requests.append(Request(limiter))
            await settle()
            assert len(log.of("warning")) == 2
            limiter.flush()
            limiter.flush()
            assert log.of("info")[1:] == ["Requests are no longer refused: 1 got 503 in 0.0 s"]
            for request in requests:
                request.task.cancel()

        asyncio.run(scenario())

    def test_nothing_is_said_of_those_that_wait(self) -> None:
        async def scenario() -> None:
            log = RecordingLog()
            application = Application()
            limiter = Limiter(application, 1, 5, "", log)
            requests = [Request(limiter) for _ in range(6)]
            await settle()
            limiter.flush()
            assert log.entries == []
            for request in requests:
                request.task.cancel()

        run(scenario())


class TestHealthAnswer:
    @pytest.mark.parametrize(
        ("path", "kind", "ending", "status"),
        [
            ("/health", "http", True, 503),
            ("/health", "http", False, 200),
            ("/other", "http", True, 200),
            ("/health", "websocket", True, 200),
        ],
    )
    def test_answers_for_its_path_while_ending(self, path: str, kind: str, ending: bool, status: int) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def scenario() -> None:
            request = Request(HealthAnswer(application, "/health", lambda: ending), path, kind)
            await request.task
            assert request.status == status

        run(scenario())
