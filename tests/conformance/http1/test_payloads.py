"""Pronghorn's answers to smuggling and injection payloads, one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.http1.answers import APP, answer
from tests.conformance.http1.payloads import PAYLOADS, Payload
from tests.support.server import GunicornServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    directory = tmp_path_factory.mktemp("payloads")
    with GunicornServer(APP, directory, worker_class="pronghorn.AsyncWorker") as running:
        yield running


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: f"{payload.group}: {payload.name}")
def test_payload(server: GunicornServer, payload: Payload) -> None:
    assert answer(server, payload, 15) == payload.answer


def test_there_are_enough_and_each_is_another() -> None:
    assert len(PAYLOADS) >= 100
    assert len({payload.sent for payload in PAYLOADS}) == len(PAYLOADS)
