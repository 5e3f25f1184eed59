"""The builds of the parser that the properties run on: the installed one, and the same sources uncompiled."""

from __future__ import annotations

from pronghorn.wire import errors, http1_parser, http1_rules
from tests.corpus.transcript import Build, Reader, transcript_of
from tests.properties import pure

__all__ = ["COMPILED", "INSTALLED", "PURE", "Reader", "transcript_of"]

INSTALLED = Build.of("installed", http1_parser, http1_rules, errors)
PURE = Build.of("pure", pure.load("wire.http1_parser"), pure.load("wire.http1_rules"), pure.load("wire.errors"))

#: Whether the installed build is compiled at all.
COMPILED = not str(http1_parser.__file__).endswith(".py")
