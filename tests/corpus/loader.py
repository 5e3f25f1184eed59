"""Reads the corpus: Markdown that a person can read, turned into cases that a test can run.

The format is described in README.md beside this file. The loader is strict: whatever it does not understand
is a ``CorpusError`` naming file and line, so that a typing mistake cannot turn a case into one which tests
nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tests.corpus.transcript import Body, End, Error, Head, Transcript

HTTP1 = Path(__file__).parent / "http1"


class CorpusError(Exception):
    """A corpus file is not written as README.md says."""


@dataclass(frozen=True)
class Case:
    """One case: what arrives, and all that the parser must say about it.

    ``complete``: whether the input ends where a message ends, so that the next message may follow at once.
    A case which ends in a refusal is not complete.
    """

    file: str
    line: int
    title: str
    why: str
    settings: dict[str, Any]
    input: bytes
    expected: Transcript
    complete: bool

    @property
    def name(self) -> str:
        return f"{Path(self.file).stem}: {self.title}"

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}: {self.title}"

    @property
    def refusal(self) -> Error | None:
        last = self.expected[-1] if self.expected else None
        return last if isinstance(last, Error) else None


def load(directory: Path = HTTP1) -> list[Case]:
    """Return the cases of all files in ``directory``, in the order of file name and place."""
    cases = [case for path in sorted(directory.glob("*.md")) for case in read_file(path)]
    names: set[str] = set()
    for case in cases:
        if case.name in names:
            raise CorpusError(f"{case.file}:{case.line}: a second case is called {case.title!r}")
        names.add(case.name)
    return cases


def by_file(cases: list[Case]) -> dict[str, list[Case]]:
    """Return the cases of each file, under its name without the suffix."""
    files: dict[str, list[Case]] = {}
    for case in cases:
        files.setdefault(Path(case.file).stem, []).append(case)
    return files


def read_file(path: Path) -> list[Case]:
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, file: str) -> list[Case]:
    """Return the cases of one file, given as text."""
    return [_case(section) for section in _sections(text, file)]


# --- Markdown: title, introduction, then sections of prose, settings and two fenced blocks ---


@dataclass
class _Section:
    file: str
    line: int
    title: str
    prose: list[str] = field(default_factory=list)
    settings: str | None = None
    blocks: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def refuse(self, line: int, why: str) -> NoReturn:
        raise CorpusError(f"{self.file}:{line}: {why}")


_FENCES = ("```http", "```events")


def _sections(text: str, file: str) -> Iterator[_Section]:
    lines = text.split("\n")
    if not re.fullmatch(r"# \S.*", lines[0]):
        raise CorpusError(f"{file}:1: the first line must be the title of the file, '# …'")
    section: _Section | None = None
    number = 1
    while number < len(lines):
        line = lines[number]
        number += 1
        if line != line.rstrip():
            raise CorpusError(f"{file}:{number}: a line must not end in white space, which editors remove")
        if line.startswith("## "):
            if section:
                yield section
            section = _Section(file, number, line[3:].strip())
        elif section is None:
            if line.startswith(("#", "```")):
                raise CorpusError(f"{file}:{number}: expected an introduction, then cases under '## …'")
        elif line.startswith("```"):
            number = _take_block(section, lines, number)
        elif line.startswith("#"):
            section.refuse(number, "a case is a heading of level two")
        elif line.startswith("Settings:"):
            if section.settings is not None or section.blocks:
                section.refuse(number, "settings stand once, before the blocks")
            section.settings = line.removeprefix("Settings:")
        elif line:
            if section.settings is not None or section.blocks:
                section.refuse(number, "the reason of a case stands before its settings and blocks")
            section.prose.append(line)
    if section is None:
        raise CorpusError(f"{file}: no case")
    yield section


def _take_block(section: _Section, lines: list[str], number: int) -> int:
    fence = lines[number - 1]
    if len(section.blocks) >= len(_FENCES) or fence != _FENCES[len(section.blocks)]:
        section.refuse(number, "a case has one block ```http and then one block ```events, and no other")
    start = number
    while number < len(lines) and lines[number] != "```":
        if lines[number] != lines[number].rstrip():
            section.refuse(number + 1, "a line must not end in white space: write \\x20 or \\t")
        if lines[number].startswith("## "):
            section.refuse(number + 1, "a heading inside a block: is a fence missing?")
        number += 1
    if number == len(lines):
        section.refuse(start, "this block does not end")
    section.blocks[fence] = (start + 1, lines[start:number])
    return number + 1


def _case(section: _Section) -> Case:
    if not section.title:
        section.refuse(section.line, "a case has a title")
    if len(section.blocks) < len(_FENCES):
        section.refuse(section.line, "a case has one block ```http and then one block ```events")
    why = " ".join(section.prose)
    if not why.endswith((".", "?", "!", ")", "`", '"')):
        section.refuse(section.line, "a case says why, in whole sentences")
    expected, complete = _Events(section).read()
    return Case(
        section.file,
        section.line,
        section.title,
        why,
        _settings(section),
        _input(section),
        expected,
        complete,
    )


def _settings(section: _Section) -> dict[str, Any]:
    if section.settings is None:
        return {}
    listed = re.fullmatch(r" `([^`]+(?:`, `[^`]+)*)`", section.settings)
    settings: dict[str, Any] = {}
    for item in listed[1].split("`, `") if listed else [section.settings]:
        match = re.fullmatch(r"([a-z_]+)=(.+)", item)
        if not match or match[1] in settings:
            section.refuse(section.line, f"settings are `name=value` between commas, each once: {item!r}")
        try:
            value = ast.literal_eval(match[2])
        except (ValueError, SyntaxError):
            section.refuse(section.line, f"not a literal: {match[2]}")
        settings[match[1]] = frozenset(value) if isinstance(value, set) else value
    return settings


# --- Text with escapes ---

_PLAIN = r"\\[rnt0\\]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}"
_ESCAPE = re.compile(rf"({_PLAIN})|\\\{{((?:[^\\{{}}*]|{_PLAIN})+)\*([1-9][0-9]*)\}}|(\\)")
_NAMED = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def unescape(text: str) -> str:
    """Return ``text`` with its escapes resolved. Raises ValueError for a backslash that begins none."""
    return _ESCAPE.sub(_unescape_one, text)


def _unescape_one(match: re.Match[str]) -> str:
    plain, repeated, times, stray = match.groups()
    if stray:
        raise ValueError("a backslash that begins no escape")
    if repeated is not None:
        return unescape(repeated) * int(times)
    kind = plain[1]
    return _NAMED[kind] if kind in _NAMED else chr(int(plain[2:], 16))


def _octets(section: _Section, line: int, text: str) -> bytes:
    if not all(" " <= char <= "~" for char in text):
        section.refuse(line, "only visible ASCII and spaces stand for themselves; write the rest as escapes")
    try:
        return unescape(text).encode("latin-1")
    except ValueError as error:
        section.refuse(line, str(error))


def _input(section: _Section) -> bytes:
    start, lines = section.blocks["```http"]
    pieces = []
    for number, line in enumerate(lines, start):
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pieces.append(_octets(section, number, line[:-1]))
        else:
            pieces.append(_octets(section, number, line) + b"\r\n")
    return b"".join(pieces)


# --- Expected events ---

_HEAD = re.compile(r"(\S+) (\S+) (1\.[01])")
_ERROR = re.compile(r"([45][0-9]{2}) (\S.*)")
_REPEATED_LINE = re.compile(r"\\\{(field [^\\{}*]+)\*([1-9][0-9]*)\}")
_PLAIN_TARGET = re.compile(rb"/[!\"$&-~]*")


class _Events:
    """The lines of one ``events`` block, read in order into a transcript."""

    def __init__(self, section: _Section) -> None:
        self._section = section
        start, lines = section.blocks["```events"]
        self._lines: list[tuple[int, str]] = []
        for number, line in enumerate(lines, start):
            repeated = _REPEATED_LINE.fullmatch(line)
            times = int(repeated[2]) if repeated else 1
            self._lines += [(number, repeated[1] if repeated else line)] * times if line else []
        self._at = 0

    def read(self) -> tuple[Transcript, bool]:
        """Return the transcript, and whether the input ends where a message ends."""
        transcript: Transcript = []
        while self._at < len(self._lines):
            word, text, line = self._peek()
            if word == "head":
                head = self._head()
                transcript.append(head)
                ended = not head.has_body or self._rest_of_message(head, transcript)
                if not ended and self._peek()[0] not in ("need-data", "error"):
                    self._refuse(line, "a message with a body ends in end, need-data or error")
            elif word == "error":
                match = _ERROR.fullmatch(text)
                if not match:
                    self._refuse(line, "an error is 'error STATUS fragment of the reason'")
                transcript.append(Error(int(match[1]), match[2]))
                return self._last(transcript, complete=False)
            elif word == "need-data":
                if text:
                    self._refuse(line, "need-data stands alone")
                return self._last(transcript, complete=False)
            else:
                self._refuse(line, f"{word!r} does not fit here")
        if not transcript:
            self._refuse(self._section.line, "no events are expected: say need-data")
        return transcript, True

    def _refuse(self, line: int, why: str) -> NoReturn:
        self._section.refuse(line, why)

    def _peek(self) -> tuple[str, str, int]:
        if self._at >= len(self._lines):
            return "", "", self._section.line
        number, line = self._lines[self._at]
        word, _, text = line.partition(" ")
        return word, text, number

    def _take(self) -> tuple[str, str, int]:
        taken = self._peek()
        self._at += 1
        return taken

    def _last(self, transcript: Transcript, *, complete: bool) -> tuple[Transcript, bool]:
        self._at += 1
        if self._at < len(self._lines):
            self._refuse(self._lines[self._at][0], "nothing follows an error or need-data")
        return transcript, complete

    def _bytes(self, line: int, text: str) -> bytes:
        return _octets(self._section, line, text)

    def _head(self) -> Head:
        _, text, line = self._take()
        match = _HEAD.fullmatch(text)
        if not match:
            self._refuse(line, "a head is 'head METHOD TARGET 1.1'")
        target = self._bytes(line, match[2])
        seen: dict[str, Any] = {}
        fields: list[tuple[bytes, bytes]] = []
        while self._peek()[0] in _ATTRIBUTES:
            word, text, number = self._take()
            if word == "field":
                fields.append(self._pair(number, text))
            elif word in seen:
                self._refuse(number, f"{word} stands twice")
            else:
                seen[word] = self._attribute(word, text, number)
        self._check(line, seen, target)
        raw_path, _, query = target.partition(b"?")
        chunked = "chunked" in seen
        return Head(
            match[1],
            target,
            match[3],
            seen.get("path", raw_path.decode("latin-1")),
            seen.get("raw-path", raw_path),
            seen.get("query", query),
            tuple(fields),
            seen.get("length", -1),
            chunked,
            chunked or seen.get("length", 0) > 0,
            "keep-alive" in seen if match[3] == "1.0" else "close" not in seen,
            "expect-continue" in seen,
            "accepts-trailers" in seen,
            seen.get("upgrade", b""),
        )

    def _check(self, line: int, seen: dict[str, Any], target: bytes) -> None:
        if not _PLAIN_TARGET.fullmatch(target) and not {"path", "raw-path", "query"} <= seen.keys():
            self._refuse(line, "this target is not a plain path: say path, raw-path and query")
        if "chunked" in seen and "length" in seen:
            self._refuse(line, "chunked and length exclude each other")
        if "close" in seen and "keep-alive" in seen:
            self._refuse(line, "close and keep-alive exclude each other")

    def _attribute(self, word: str, text: str, line: int) -> Any:
        if word in _FLAGS:
            if text:
                self._refuse(line, f"{word} stands alone")
            return True
        if word == "length":
            if not re.fullmatch(r"0|[1-9][0-9]*", text):
                self._refuse(line, "length is a number")
            return int(text)
        if word == "path":
            try:
                return unescape(text)
            except ValueError as error:
                self._refuse(line, str(error))
        return self._bytes(line, text)

    def _pair(self, line: int, text: str) -> tuple[bytes, bytes]:
        name, colon, value = text.partition(":")
        if not colon or not name or name != name.lower() or (value and not value.startswith(" ")):
            self._refuse(line, "a field is 'name: value' with its name in lower case")
        return self._bytes(line, name), self._bytes(line, value[1:])

    def _rest_of_message(self, head: Head, transcript: Transcript) -> bool:
        """Read body, trailers and end behind ``head``. Return whether the message came to its end."""
        data = b""
        trailers = []
        if self._peek()[0] == "body":
            _, text, line = self._take()
            data = self._bytes(line, text)
            if not data:
                self._refuse(line, "no body is expected by leaving it out")
            transcript.append(Body(data))
        while self._peek()[0] == "trailer":
            _, text, line = self._take()
            trailers.append(self._pair(line, text))
        word, text, line = self._peek()
        if word != "end":
            if trailers:
                self._refuse(line, "trailers are known only at the end")
            return False
        self._at += 1
        if text:
            self._refuse(line, "end stands alone")
        if trailers and not head.chunked:
            self._refuse(line, "only a chunked body has trailers")
        if not head.chunked and len(data) != head.length:
            self._refuse(line, f"the body has {len(data)} bytes, not {head.length}")
        transcript.append(End(tuple(trailers)))
        return True


_FLAGS = frozenset(("chunked", "close", "keep-alive", "expect-continue", "accepts-trailers"))
_ATTRIBUTES = _FLAGS | {"path", "raw-path", "query", "field", "length", "upgrade"}
