"""Which build runs: the modules with a ``.pxd`` compiled by Cython, or all of it as Python source."""

from __future__ import annotations

from pronghorn.wire import http1_parser

#: Whether the hot path is compiled.
compiled: bool = not http1_parser.__file__.endswith(".py")
