"""Rules 44 and 45 of the checklist: files as content, named by descriptor or by path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pronghorn.asgi.errors import EventError
from pronghorn.asgi.files import part_of
from tests.asgi.apps import Event, Receive, Scope, Send, body, sends, start
from tests.asgi.doubles import in_loop
from tests.asgi.support import Conversation

Talk = Callable[..., Conversation]

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY)
    yield number
    os.close(number)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    """Set up before the other fixtures of a test, and torn down after them."""
    before = len(os.listdir("/dev/fd"))
    yield
    assert len(os.listdir("/dev/fd")) == before


def pathsend(path: Any) -> Event:
    return {"type": "http.response.pathsend", "path": path}


def zerocopysend(file: Any, **more: Any) -> Event:
    return {"type": "http.response.zerocopysend", "file": file} | more


async def raised(talk: Talk, *events: Event, **request: Any) -> tuple[list[BaseException], Conversation]:
    """What ``send`` raises for the last of ``events``, for an application that lets it escape."""
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events[:-1]:
            await send(event)
        try:
            await send(events[-1])
        except Exception as error:
            caught.append(error)
            raise

    conversation = talk(app, **request)
    await conversation.finish()
    return caught, conversation


# -- pathsend -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["declared", "not declared"])
@in_loop
async def test_rule_45_pathsend(talk: Talk, path: Path, length: str) -> None:
    headers = [(b"content-length", b"%d" % len(CONTENT))] if length == "declared" else []
    conversation = talk(sends(start(200, *headers), pathsend(str(path))))
    answer = await conversation.finish()
    assert (answer.status, answer.body, answer.complete) == (200, CONTENT, True)
    assert answer.header(b"content-length") == b"%d" % len(CONTENT)
    assert conversation.log.entries == []


@in_loop
async def test_rule_45_empty_file(talk: Talk, path: Path) -> None:
    path.write_bytes(b"")
    answer = await talk(sends(start(), pathsend(str(path)))).finish()
    assert (answer.body, answer.complete, answer.header(b"content-length")) == (b"", True, b"0")


@pytest.mark.parametrize("length", ["declared", "not declared"])
@in_loop
async def test_rule_45_head(talk_on_the_wire: Talk, path: Path, length: str) -> None:
    headers = [(b"content-length", b"%d" % len(CONTENT))] if length == "declared" else []
    answer = await talk_on_the_wire(sends(start(200, *headers), pathsend(str(path))), "HEAD").finish()
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)
    assert answer.header(b"content-length") == (b"%d" % len(CONTENT) if headers else None)


@in_loop
async def test_rule_45_304_has_no_content(talk_on_the_wire: Talk, path: Path) -> None:
    answer = await talk_on_the_wire(sends(start(304), pathsend(str(path)))).finish()
    assert (answer.status, answer.body, answer.complete) == (304, b"", True)


@in_loop
async def test_rule_45_trailers_follow(talk_on_the_wire: Talk, path: Path) -> None:
    last = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    headers = [(b"host", b"x"), (b"te", b"trailers")]
    conversation = talk_on_the_wire(sends(start(trailers=True), pathsend(str(path)), last), headers=headers)
    answer = await conversation.finish()
    assert (answer.body, answer.trailers, answer.complete) == (CONTENT, [(b"x-sum", b"1")], True)


@in_loop
async def test_rule_45_relative_paths_and_pathlike_are_as_good(
    talk: Talk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert (await talk(sends(start(), pathsend(path.name))).finish()).body == CONTENT
    assert (await talk(sends(start(), pathsend(path))).finish()).body == CONTENT


@pytest.mark.parametrize("kind", ["missing", "a directory", "unreadable", "a pipe"])
@in_loop
async def test_rule_45_what_cannot_be_sent_is_a_clean_500(talk: Talk, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "special"
    if kind == "a directory":
        file.mkdir()
    elif kind == "a pipe":
        os.mkfifo(file)  # to open one must not wait for a writer
    elif kind == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        file.touch(mode=0)
    caught, conversation = await raised(talk, start(200, (b"content-length", b"5")), pathsend(str(file)))
    expected = {"missing": FileNotFoundError, "unreadable": PermissionError}.get(kind, EventError)
    assert [type(error) for error in caught] == [expected]
    assert conversation.status == 500
    assert conversation.answer().complete
    assert len(conversation.log.raised) == 1


@pytest.mark.parametrize("value", [None, "", 5, b"/etc/passwd", ["x"]], ids=repr)
@in_loop
async def test_rule_45_paths_that_are_none(talk: Talk, value: Any) -> None:
    caught, conversation = await raised(talk, start(), pathsend(value))
    assert isinstance(caught[0], EventError)
    assert "http.response.pathsend" in str(caught[0])
    assert "'path'" in str(caught[0])
    assert conversation.status == 500


@pytest.mark.parametrize("declared", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1])
@in_loop
async def test_rule_45_a_file_of_another_length_than_declared_is_a_clean_500(
    talk: Talk, path: Path, declared: int
) -> None:
    caught, conversation = await raised(talk, start(200, (b"content-length", b"%d" % declared)), pathsend(str(path)))
    assert isinstance(caught[0], EventError)
    assert conversation.status == 500


@pytest.mark.parametrize(
    "before",
    [[], [start(), body(b"x", True)], [start(trailers=True), body(b"x")]],
    ids=["idle", "streaming", "trailers"],
)
@in_loop
async def test_rule_45_out_of_place(talk: Talk, path: Path, before: list[Event]) -> None:
    caught, conversation = await raised(talk, *before, pathsend(str(path)))
    assert isinstance(caught[0], EventError)
    assert CONTENT not in conversation.body


@in_loop
async def test_rule_45_after_the_end_it_is_ignored(talk: Talk, path: Path) -> None:
    conversation = talk(sends(start(), pathsend(str(path)), pathsend(str(path)), body(b"more")))
    answer = await conversation.finish()
    assert (answer.body, answer.complete) == (CONTENT, True)
    assert conversation.log.entries == []


# -- zerocopysend ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (None, None, CONTENT),
        (0, None, CONTENT),
        (5, None, CONTENT[5:]),
        (5, 10, CONTENT[5:15]),
        (None, 10, CONTENT[:10]),
        (len(CONTENT), None, b""),
        (len(CONTENT) + 5, 5, b""),
        (len(CONTENT) - 3, 100, CONTENT[-3:]),
        (0, 0, b""),
    ],
)
@in_loop
async def test_rule_44_offset_and_count(
    talk: Talk, fd: int, offset: int | None, count: int | None, expected: bytes
) -> None:
    more = {name: value for name, value in (("offset", offset), ("count", count)) if value is not None}
    conversation = talk(sends(start(), zerocopysend(fd, **more)))
    answer = await conversation.finish()
    assert (answer.body, answer.complete) == (expected, True)
    assert answer.header(b"content-length") == b"%d" % len(expected)
    assert conversation.log.entries == []


@in_loop
async def test_rule_44_beside_other_content_and_repeated(talk: Talk, path: Path) -> None:
    with path.open("rb") as file:
        conversation = talk(
            sends(
                start(),
                body(b"begin ", True),
                zerocopysend(file, offset=3, count=4, more_body=True),
                body(b" then ", True),
                zerocopysend(file, offset=0, count=2, more_body=True),
                zerocopysend(file, offset=250, count=6),
            )
        )
        answer = await conversation.finish()
    assert answer.body == b"begin " + CONTENT[3:7] + b" then " + CONTENT[:2] + CONTENT[250:256]
    assert answer.complete
    assert conversation.log.entries == []


@in_loop
async def test_rule_44_body_after_a_file(talk: Talk, fd: int) -> None:
    conversation = talk(
        sends(start(200, (b"content-length", b"13")), zerocopysend(fd, count=10, more_body=True), body(b"end"))
    )
    answer = await conversation.finish()
    assert (answer.body, answer.complete) == (CONTENT[:10] + b"end", True)
    assert conversation.log.entries == []


@in_loop
async def test_rule_44_goes_on_from_the_position_of_the_file(talk: Talk, path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(7)
        parts = [zerocopysend(file, count=5, more_body=True), zerocopysend(file, count=5)]
        answer = await talk(sends(start(), *parts)).finish()
        assert answer.body == CONTENT[7:17]
        assert file.tell() == 17


@in_loop
async def test_rule_44_the_application_closes_its_file_when_send_returns(talk: Talk, path: Path) -> None:
    files = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with path.open("rb") as file:
            await send(zerocopysend(file))
            files.append(file)
        assert file.closed

    assert (await talk(app).finish()).body == CONTENT
    assert len(files) == 1


@pytest.mark.parametrize("count", [None, 7])
@in_loop
async def test_rule_44_a_pipe_is_sent_until_its_end(talk: Talk, count: int | None) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    more = {} if count is None else {"count": count}
    try:
        conversation = talk(sends(start(), body(b"<", True), zerocopysend(reader, more_body=True, **more), body(b">")))
        answer = await conversation.finish()
    finally:
        os.close(reader)
    assert (answer.body, answer.complete) == (b"<" + b"through a pipe"[:count] + b">", True)
    assert conversation.log.entries == []


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ({}, "file"),
        ({"file": None}, "file"),
        ({"file": "name"}, "file"),
        ({"offset": -1}, "offset"),
        ({"offset": "0"}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"count": -1}, "count"),
        ({"count": 1.5}, "count"),
    ],
    ids=repr,
)
@in_loop
async def test_rule_44_invalid_events_name_the_key(talk: Talk, fd: int, event: Event, key: str) -> None:
    given = {"type": "http.response.zerocopysend"} | ({"file": fd} if key != "file" else {}) | event
    caught, conversation = await raised(talk, start(), given)
    assert isinstance(caught[0], EventError)
    assert "http.response.zerocopysend" in str(caught[0])
    assert repr(key) in str(caught[0])
    assert conversation.status == 500


@in_loop
async def test_rule_44_closed_file(talk: Talk, path: Path) -> None:
    with path.open("rb") as file:
        pass
    caught, conversation = await raised(talk, start(), zerocopysend(file))
    assert isinstance(caught[0], EventError)
    assert conversation.status == 500


@in_loop
async def test_rule_44_more_than_declared(talk_on_the_wire: Talk, fd: int) -> None:
    """Part of the content is out: nothing of the file is sent, and the response is cut off."""
    events = [start(200, (b"content-length", b"10")), body(b"12345", True), zerocopysend(fd, count=6)]
    caught, conversation = await raised(talk_on_the_wire, *events)
    assert isinstance(caught[0], RuntimeError)
    answer = conversation.answer()
    assert (answer.status, answer.body, answer.cut) == (200, b"12345", True)


# -- while a file is on its way -------------------------------------------------------------------------------------


@in_loop
async def test_rule_44_nothing_else_can_be_sent_meanwhile(talk_on_the_wire: Talk, fd: int) -> None:
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        waiting = asyncio.ensure_future(send(zerocopysend(fd, more_body=True)))
        for event in (body(b"between", True), zerocopysend(fd)):
            try:
                await send(event)
            except EventError as error:
                caught.append(error)
        await waiting
        await send(body(b"end"))

    answer = await talk_on_the_wire(app).finish()
    assert answer.body == CONTENT + b"end"
    assert len(caught) == 2


@in_loop
async def test_rule_44_cancelled_in_the_middle_cuts_the_response_off(talk_on_the_wire: Talk) -> None:
    caught: list[BaseException] = []
    reader, writer = os.pipe()  # nothing comes out of it

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        waiting = asyncio.ensure_future(send(zerocopysend(reader)))
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError as error:
            caught.append(error)
        try:
            await send(body(b"more"))
        except OSError as error:
            caught.append(error)

    try:
        answer = await talk_on_the_wire(app).finish()
    finally:
        os.close(reader)
        os.close(writer)
        await asyncio.get_running_loop().shutdown_default_executor()
    assert len(caught) == 2
    assert not answer.complete


ZEROCOPY = "http.response.zerocopysend"

# -- part_of --------------------------------------------------------------------------------------------------------


def test_a_part_owns_its_descriptor(path: Path) -> None:
    with path.open("rb") as file:
        part = part_of(zerocopysend(file), ZEROCOPY)
    assert os.pread(part.fd, 5, 0) == CONTENT[:5]
    part.close()
    part.close()
    assert part.fd == -1


def test_only_regular_files_have_a_known_length() -> None:
    reader, writer = os.pipe()
    try:
        part = part_of(zerocopysend(reader), ZEROCOPY)
        assert (part.offset, part.count) == (-1, -1)
        part.close()
        with pytest.raises(EventError, match="'offset'"):
            part_of(zerocopysend(reader, offset=0), ZEROCOPY)
    finally:
        os.close(reader)
        os.close(writer)
