"""Loads the ``.py`` sources of pronghorn a second time, uncompiled, under the name ``pronghorn_pure``.

Where the installed modules are compiled, both builds then live in one process and can be given the same
input.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

import pronghorn.wire

NAME = "pronghorn_pure"
_SOURCES = Path(pronghorn.wire.__file__).parent.parent


class _Renamed(ast.NodeTransformer):
    """Turns imports of pronghorn into imports of its uncompiled twin; positions in tracebacks stay true."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        package, dot, rest = (node.module or "").partition(".")
        if package == "pronghorn" and node.level == 0:
            node.module = NAME + dot + rest
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        assert not any(alias.name.partition(".")[0] == "pronghorn" for alias in node.names), "use from … import"
        return node


class _Loader(importlib.abc.SourceLoader):
    # No path_stats(): without it SourceLoader neither reads nor writes cached bytecode, which belongs to
    # the originals.

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return Path(str(path)).read_bytes()

    def source_to_code(self, data, path, *, _optimize: int = -1) -> CodeType:  # type: ignore[no-untyped-def,override]
        return compile(_Renamed().visit(ast.parse(data, path)), path, "exec", dont_inherit=True, optimize=_optimize)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, *rest = fullname.split(".")
        if package != NAME:
            return None
        source = _SOURCES.joinpath(*rest)
        if not rest:
            # Not pronghorn's own __init__, which would bring in the worker and gunicorn.
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(source)]
            return spec
        if source.is_dir():
            source = source / "__init__.py"
            return importlib.util.spec_from_loader(fullname, _Loader(source), is_package=True)
        return importlib.util.spec_from_loader(fullname, _Loader(source.with_suffix(".py")))


def load(module: str) -> ModuleType:
    """Return the uncompiled twin of ``pronghorn.<module>``."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return importlib.import_module(f"{NAME}.{module}")
