"""What a valid request says is what the parser says: written to bytes and to events from one description."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.transcript import Head
from tests.properties import strategies
from tests.properties.builds import INSTALLED, Reader, transcript_of


@given(message=strategies.messages())
def test_one_message(message: strategies.Message) -> None:
    reader = Reader(INSTALLED, {})
    reader.feed(message.raw)
    assert reader.transcript == message.expected
    assert reader.parser.buffered() == 0


@given(message=strategies.pipelines)
def test_a_pipeline(message: strategies.Message) -> None:
    assert transcript_of(INSTALLED, {}, [message.raw]) == message.expected


@given(message=strategies.messages(), data=st.data())
def test_no_beginning_of_a_message_is_refused(message: strategies.Message, data: st.DataObject) -> None:
    """A prefix says a prefix of the whole, never an error: the parser does not judge what has not arrived."""
    cut = data.draw(st.integers(0, len(message.raw) - 1))
    reader = Reader(INSTALLED, {})
    reader.feed(message.raw[:cut])
    assert not reader.failed
    assert len(reader.transcript) <= len(message.expected)
    if reader.transcript:
        assert reader.transcript[0] == message.expected[0]
    reader.feed(message.raw[cut:])
    assert reader.transcript == message.expected


@given(message=strategies.messages(), settings=strategies.rules)
def test_lenient_settings_do_not_change_a_valid_message(message: strategies.Message, settings: dict) -> None:
    lenient = {name: value for name, value in settings.items() if not name.startswith("limit_")}
    assert transcript_of(INSTALLED, lenient, [message.raw]) == message.expected


@given(message=strategies.messages())
def test_limits_of_just_the_size(message: strategies.Message) -> None:
    """Limits that a message just meets let it pass; one less refuses it with the status of that limit."""
    head, _, _ = message.raw.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    exact = {
        "limit_request_line": len(line),
        "limit_request_fields": len(fields),
        "limit_request_field_size": max(len(field) + 2 for field in fields),
        "limit_request_head": len(head) + 4,
    }
    only_head = message.raw[: len(head) + 4]
    assert transcript_of(INSTALLED, exact, [only_head])[0] == message.expected[0]
    for name, status in [
        ("limit_request_line", 414),
        ("limit_request_fields", 431),
        ("limit_request_field_size", 431),
        ("limit_request_head", 431),
    ]:
        tight = {**exact, name: exact[name] - 1}
        if tight[name]:  # zero would mean no limit
            (refusal,) = transcript_of(INSTALLED, tight, [only_head])
            assert not isinstance(refusal, Head)
            assert refusal.status == status, name
