"""The loader refuses whatever README.md does not describe, and reads what it does describe as it says."""

from __future__ import annotations

import re

import pytest

from tests.corpus.loader import CorpusError, load, parse, unescape
from tests.corpus.transcript import Body, End, Error, Head

_INPUT = "```http\nGET / HTTP/1.1\nHost: a\n\n```\n"
_EVENTS = "```events\nhead GET / 1.1\nfield host: a\n```\n"
_WHY = "Because of RFC 9112 section 3.\n\n"


def _file(body: str) -> str:
    return f"# Title\n\nAn introduction.\n\n{body}"


def _one(body: str):
    (case,) = parse(_file(body), "x.md")
    return case


def test_the_corpus_is_read_and_is_large() -> None:
    cases = load()
    assert len(cases) >= 600
    assert all(
        re.search(r"RFC|ASGI|[Ss]ettings? `|Gunicorn", case.why) or case.settings
        for case in cases
        if case.file != "browsers-and-proxies.md"
    ), "a case names its source"


def test_a_plain_case() -> None:
    case = _one("## Plain\n\n" + _WHY + _INPUT + _EVENTS)
    assert case.name == "x: Plain"
    assert case.why == "Because of RFC 9112 section 3."
    assert case.input == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert case.expected == [Head("GET", b"/", "1.1", "/", b"/", b"", ((b"host", b"a"),))]
    assert case.complete
    assert case.refusal is None
    assert case.settings == {}


def test_all_attributes_of_a_head() -> None:
    events = (
        "head POST /%C3%A9?q 1.1\npath é\nraw-path /%C3%A9\nquery q\nchunked\nclose\nexpect-continue\n"
        "accepts-trailers\nupgrade websocket\nfield x: 1 2\nfield y:\n\\{field z: 3*2}\n"
        "body a\\r\\n\\xFF\ntrailer t: 1\nend\n"
    )
    case = _one("## T\n\n" + _WHY + _INPUT + f"```events\n{events}```\n")
    head = Head(
        method="POST",
        target=b"/%C3%A9?q",
        version="1.1",
        path="é",
        raw_path=b"/%C3%A9",
        query=b"q",
        fields=((b"x", b"1 2"), (b"y", b""), (b"z", b"3"), (b"z", b"3")),
        chunked=True,
        has_body=True,
        keep_alive=False,
        expect_continue=True,
        accepts_trailers=True,
        upgrade=b"websocket",
    )
    assert case.expected == [head, Body(b"a\r\n\xff"), End(((b"t", b"1"),))]


def test_defaults_depend_on_the_version() -> None:
    case = _one("## T\n\n" + _WHY + _INPUT + "```events\nhead GET /a?b 1.0\nhead GET / 1.0\nkeep-alive\n```\n")
    first, second = case.expected
    assert isinstance(first, Head)
    assert isinstance(second, Head)
    assert (first.keep_alive, second.keep_alive) == (False, True)
    assert (first.path, first.raw_path, first.query) == ("/a", b"/a", b"b")


def test_an_error_and_settings() -> None:
    settings = 'Settings: `limit_request_line=10`, `header_map="refuse"`, `forwarder_headers={"A_B", "C"}`\n\n'
    case = _one("## T\n\n" + _WHY + settings + _INPUT + "```events\nerror 414 too long\n```\n")
    assert case.settings == {
        "limit_request_line": 10,
        "header_map": "refuse",
        "forwarder_headers": frozenset({"A_B", "C"}),
    }
    assert case.refusal == Error(414, "too long")
    assert not case.complete


def test_input_that_goes_on_and_input_that_ends_in_a_backslash() -> None:
    case = _one("## T\n\n" + _WHY + "```http\na\\\nb\\\\\nc\\n\\\n```\n```events\nneed-data\n```\n")
    assert case.input == b"ab\\\r\nc\n"
    assert case.expected == []
    assert not case.complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a\r\n\t\0\\", "a\r\n\t\0\\"),
        (r"\x41\xff\u00E9", "A\xff\u00e9"),
        (r"\{ab*3}c", "abababc"),
        (r"\{\r\n*2}", "\r\n\r\n"),
        (r"\{\x20*2}\{b*1}", "  b"),
        (r"{ab*3}", "{ab*3}"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert unescape(text) == expected


@pytest.mark.parametrize("text", ["\\", r"\q", r"\x4", r"\xgg", r"\{a*0}", r"\{a*}", r"\{*3}", r"\{\{a*2}*3}"])
def test_what_is_no_escape(text: str) -> None:
    with pytest.raises(ValueError, match="begins no escape"):
        unescape(text)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "no case"),
        ("text\n```http\n```\n", "expected an introduction"),
        ("## T\n\n" + _INPUT + _EVENTS, "says why"),
        ("## T\n\nno sentence\n\n" + _INPUT + _EVENTS, "says why"),
        ("##  \n\n" + _WHY + _INPUT + _EVENTS, "white space"),
        ("## T\n\n" + _WHY + _INPUT, "one block"),
        ("## T\n\n" + _WHY + _EVENTS + _INPUT, "one block"),
        ("## T\n\n" + _WHY + _INPUT + _INPUT + _EVENTS, "one block"),
        ("## T\n\n" + _WHY + _INPUT + _EVENTS + _EVENTS, "one block"),
        ("## T\n\n" + _WHY + _INPUT + _EVENTS + "afterthought.\n", "before its settings"),
        ("## T\n\n" + _WHY + "### deeper\n" + _INPUT + _EVENTS, "level two"),
        ("## T\n\n" + _WHY + "```http\nGET\n## U\n", "fence missing"),
        ("## T\n\n" + _WHY + "```http\nGET\n", "does not end"),
        ("## T\n\n" + _WHY + "```http\nGET \n```\n" + _EVENTS, "white space"),
        ("## T\n\n" + _WHY + "```http\ncafé\n```\n" + _EVENTS, "visible ASCII"),
        ("## T\n\n" + _WHY + "```http\na\tb\n```\n" + _EVENTS, "visible ASCII"),
        ("## T\n\n" + _WHY + "```http\n\\u00E9\\u0100\n```\n" + _EVENTS, "ordinal"),
        ("## T\n\n" + _WHY + "```http\n\\q\n```\n" + _EVENTS, "no escape"),
        ("## T\n\n" + _WHY + "Settings: x=1\n\n" + _INPUT + _EVENTS, "settings are"),
        ("## T\n\n" + _WHY + "Settings: `x`\n\n" + _INPUT + _EVENTS, "settings are"),
        ("## T\n\n" + _WHY + "Settings: `x=y`\n\n" + _INPUT + _EVENTS, "not a literal"),
        ("## T\n\n" + _WHY + "Settings: `x=1`, `x=2`\n\n" + _INPUT + _EVENTS, "each once"),
        ("## T\n\n" + _WHY + "Settings: `x=1`\nSettings: `y=1`\n\n" + _INPUT + _EVENTS, "once"),
    ],
)
def test_malformed_markdown(body: str, why: str) -> None:
    with pytest.raises(CorpusError, match=why):
        parse(_file(body), "x.md")


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ("", "no events"),
        ("begin", "does not fit"),
        ("field a: b", "does not fit"),
        ("end", "does not fit"),
        ("head GET /", "a head is"),
        ("head GET / 2.0", "a head is"),
        ("head GET /%41 1.1", "not a plain path"),
        ("head GET /%41 1.1\npath /A\nquery q", "not a plain path"),
        ("head GET * 1.1", "not a plain path"),
        ("head GET / 1.1\nfield Host: a", "lower case"),
        ("head GET / 1.1\nfield host:a", "name: value"),
        ("head GET / 1.1\nfield : a", "name: value"),
        ("head GET / 1.1\nfield nonsense", "name: value"),
        ("head GET / 1.1\nlength x", "a number"),
        ("head GET / 1.1\nlength 05", "a number"),
        ("head GET / 1.1\nlength 5\nlength 6", "twice"),
        ("head GET / 1.1\nlength 5\nchunked\nneed-data", "exclude"),
        ("head GET / 1.1\nclose\nkeep-alive", "exclude"),
        ("head GET / 1.1\nclose now", "stands alone"),
        ("head GET / 1.1\nbody x", "does not fit"),
        ("head GET / 1.1\nend", "does not fit"),
        ("head GET / 1.1\nlength 5", "ends in"),
        ("head GET / 1.1\nlength 5\nhead GET / 1.1", "ends in"),
        ("head GET / 1.1\nlength 5\nbody four\nend", "4 bytes, not 5"),
        ("head GET / 1.1\nlength 5\nend", "0 bytes, not 5"),
        ("head GET / 1.1\nlength 4\nbody four\ntrailer a: 1\nend", "only a chunked body"),
        ("head GET / 1.1\nchunked\nbody \nend", "white space"),
        ("head GET / 1.1\nchunked\ntrailer a: 1\nneed-data", "only at the end"),
        ("head GET / 1.1\nchunked\nend now", "stands alone"),
        ("error 400", "an error is"),
        ("error 200 fine", "an error is"),
        ("error 400 x\nneed-data", "nothing follows"),
        ("need-data\nhead GET / 1.1", "nothing follows"),
        ("need-data soon", "stands alone"),
        ("head GET / 1.1\npath \\q", "no escape"),
    ],
)
def test_malformed_events(events: str, why: str) -> None:
    with pytest.raises(CorpusError, match=why):
        parse(_file("## T\n\n" + _WHY + _INPUT + f"```events\n{events}\n```\n"), "x.md")


def test_a_file_without_a_title() -> None:
    with pytest.raises(CorpusError, match="title of the file"):
        parse("Title\n", "x.md")


def test_an_error_names_the_line() -> None:
    with pytest.raises(CorpusError, match=r"^x\.md:15: "):
        parse(_file("## T\n\n" + _WHY + _INPUT + "```events\nnonsense\n```\n"), "x.md")


def test_titles_are_unique_within_a_file(tmp_path) -> None:
    case = "## T\n\n" + _WHY + _INPUT + _EVENTS
    (tmp_path / "x.md").write_text(_file(case + "\n" + case))
    with pytest.raises(CorpusError, match="a second case is called 'T'"):
        load(tmp_path)
    (tmp_path / "x.md").write_text(_file(case))
    (tmp_path / "y.md").write_text(_file(case))
    assert len(load(tmp_path)) == 2
