"""The shape of the source: layers point one way, configuration stays where it belongs, files and functions are short.

Each rule is a function from the modules to the lines that break it. It is applied to the package, and then to a
planted violation, so that a rule which finds nothing is known to look.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pronghorn"

#: Layers from right to left: each may import itself and what stands before it.
LAYERS = ("wire", "asgi", "net", "root")

#: What would give ``wire`` a clock, a loop, a log, threads or a descriptor.
NOT_IN_WIRE = frozenset(
    "asyncio concurrent datetime fcntl logging multiprocessing os pathlib sched select selectors signal socketserver "
    "ssl subprocess sys tempfile threading time".split()
)
#: Names of modules that ``wire`` uses a pure function of, and which.
PURE_IN_WIRE = {"socket": {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"}}

#: Where Gunicorn's ``cfg`` may be read.
READS_CFG = frozenset(("settings.py", "worker.py", "accesslog.py", "tls.py"))

MOST_LINES_OF_FILE = 600
MOST_LINES_OF_FUNCTION = 60
#: Byte loops, which cannot be cut without a call for each byte.
MOST_LINES_OF_BYTE_LOOP = 120
BYTE_LOOPS = frozenset(
    (
        ("wire/http1_parser.py", "_read_request_line"),
        ("wire/http1_parser.py", "_read_fields"),
    )
)
MOST_LINES_OF_PXD = 100


@dataclass(frozen=True)
class Module:
    """One source file: ``path`` relative to the package, and its text."""

    path: str
    text: str

    @property
    def layer(self) -> str:
        head, _, rest = self.path.partition("/")
        return head if rest else "root"

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def name(self) -> str:
        return "pronghorn." + self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


Rule = Callable[[list[Module]], Iterator[str]]


def package() -> list[Module]:
    return [
        Module(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*"))
        if path.suffix in (".py", ".pxd", ".pyx", ".pxi")
    ]


def python(modules: Iterable[Module]) -> Iterator[Module]:
    return (module for module in modules if module.path.endswith(".py"))


# -- imports --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """An import anywhere in a module, of ``name`` out of it where it says so."""

    line: int
    module: str
    names: frozenset[str] = frozenset()

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def layer(self) -> str | None:
        """The layer of ours that is imported."""
        if self.top != "pronghorn":
            return None
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "root"


def imports_of(module: Module) -> Iterator[Import]:
    if module.path.endswith(".pxd"):
        yield from _cimports(module)
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(module, node)
        elif isinstance(node, ast.Call) and _called(node) in ("__import__", "import_module"):
            argument = node.args[0] if node.args else None
            name = argument.value if isinstance(argument, ast.Constant) else "?"
            yield Import(node.lineno, str(name))


def _from(module: Module, node: ast.ImportFrom) -> Iterator[Import]:
    origin = node.module or ""
    if node.level:
        parts = module.name.split(".")
        if not module.path.endswith("__init__.py"):
            parts.pop()
        base = parts[: len(parts) - node.level + 1]
        origin = ".".join([*base, origin] if origin else base)
    names = frozenset(alias.name for alias in node.names)
    yield Import(node.lineno, origin, names)
    for name in sorted(names):  # ``from pronghorn import net`` imports the layer
        if origin == "pronghorn" and name in LAYERS:
            yield Import(node.lineno, f"{origin}.{name}")


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _cimports(module: Module) -> Iterator[Import]:
    for number, line in enumerate(module.text.splitlines(), 1):
        words = line.split()
        if words[:1] == ["from"] and len(words) > 2:
            yield Import(number, words[1])
        elif words[:1] in (["cimport"], ["import"]):
            yield Import(number, words[1].rstrip(","))


def layers_point_one_way(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        allowed = LAYERS[: LAYERS.index(module.layer) + 1] if module.layer in LAYERS else ()
        for one in imports_of(module):
            if one.layer is not None and one.layer not in allowed:
                yield f"{module.path}:{one.line}: {module.layer} imports {one.module}"


def layers_are_known(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer not in LAYERS:
            yield f"{module.path}: not in a layer"


def wire_is_standard_library_without_clock_or_loop(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer != "wire":
            continue
        for one in imports_of(module):
            if one.top in ("pronghorn", "cython", "__future__"):
                continue
            pure = PURE_IN_WIRE.get(one.top)
            if pure is not None and one.names and one.names <= pure:
                continue
            if pure is not None or one.top in NOT_IN_WIRE or one.top not in sys.stdlib_module_names:
                yield f"{module.path}:{one.line}: wire imports {one.module}"


def only_root_knows_gunicorn_and_uvloop(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer == "root":
            continue
        for one in imports_of(module):
            if one.top not in sys.stdlib_module_names | {"pronghorn", "cython"}:
                yield f"{module.path}:{one.line}: {module.layer} imports {one.module}"


def nothing_is_imported_by_a_computed_name(modules: list[Module]) -> Iterator[str]:
    """Else the other rules could not see it."""
    for module in python(modules):
        for one in imports_of(module):
            if one.module == "?":
                yield f"{module.path}:{one.line}: imports what is computed"


# -- who knows what -------------------------------------------------------------------------------------------------


def names_of(module: Module) -> Iterator[tuple[int, str]]:
    """All names that a module uses or defines: variables, attributes, parameters."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def texts_of(module: Module) -> Iterator[tuple[int, str]]:
    """All strings, docstrings left out."""
    tree = module.tree
    docs = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr):
                docs.add(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def cfg_is_read_in_few_places(modules: list[Module]) -> Iterator[str]:
    for module in python(modules):
        if module.path in READS_CFG:
            continue
        for line, name in names_of(module):
            if name == "cfg":
                yield f"{module.path}:{line}: reads cfg"


def asgi_sees_no_transport(modules: list[Module]) -> Iterator[str]:
    """``Stream`` is its only way to the network."""
    for module in python(modules):
        if module.layer == "asgi":
            for line, name in names_of(module):
                if "transport" in name.lower():
                    yield f"{module.path}:{line}: {name}"


def net_builds_no_asgi_message(modules: list[Module]) -> Iterator[str]:
    for module in python(modules):
        if module.layer == "net":
            for line, text in texts_of(module):
                if text.startswith(("http.", "websocket.", "lifespan.")):
                    yield f"{module.path}:{line}: {text!r}"


# -- one source, two builds -----------------------------------------------------------------------------------------


def there_is_one_source(modules: list[Module]) -> Iterator[str]:
    paths = {module.path for module in modules}
    for module in modules:
        if module.path.endswith((".pyx", ".pxi")):
            yield f"{module.path}: a second source"
        if module.path.endswith(".pxd") and module.path.removesuffix("pxd") + "py" not in paths:
            yield f"{module.path}: declares a module that there is not"


def cython_is_not_needed_to_run(modules: list[Module]) -> Iterator[str]:
    for module in python(modules):
        try:
            found = [one for one in imports_of(module) if one.top.lower() in ("cython", "pyximport")]
        except SyntaxError as error:  # a cimport, for one
            yield f"{module.path}:{error.lineno}: is not Python"
            continue
        for one in found:
            yield f"{module.path}:{one.line}: imports {one.module}"


def code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def pxds_are_tables_of_contents(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.path.endswith(".pxd") and code_lines(module.text) > MOST_LINES_OF_PXD:
            yield f"{module.path}: {code_lines(module.text)} lines of code"


# -- sizes ----------------------------------------------------------------------------------------------------------


def files_are_short(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        lines = len(module.text.splitlines())
        if lines > MOST_LINES_OF_FILE:
            yield f"{module.path}: {lines} lines"


def functions_are_short(modules: list[Module]) -> Iterator[str]:
    for module in python(modules):
        for node in ast.walk(module.tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            most = MOST_LINES_OF_BYTE_LOOP if (module.path, node.name) in BYTE_LOOPS else MOST_LINES_OF_FUNCTION
            if lines > most:
                yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines"


# -- the rules, and what breaks them --------------------------------------------------------------------------------


def planted(path: str, text: str) -> list[Module]:
    modules = [Module(path, text)]
    if path.endswith(".pxd") and "alone" not in path:
        modules.append(Module(path.removesuffix("pxd") + "py", ""))
    return modules


_LONG = "def f():\n" + "    x = 1\n" * 60

RULES: dict[Rule, list[list[Module]]] = {
    layers_point_one_way: [
        planted("wire/x.py", "from pronghorn.asgi.scope import Endpoint"),
        planted("wire/x.py", "import pronghorn.settings"),
        planted("wire/x.py", "import pronghorn"),
        planted("asgi/x.py", "from pronghorn.net.http1 import Http1"),
        planted("asgi/x.py", "from pronghorn import net"),
        planted("asgi/x.py", "def f():\n    from ..net import http1"),
        planted("asgi/x.py", "from .. import settings"),
        planted("asgi/x.py", "import importlib\nimportlib.import_module('pronghorn.net.http1')"),
        planted("asgi/x.py", "__import__('pronghorn.worker')"),
        planted("asgi/x.py", "if TYPE_CHECKING:\n    import pronghorn.worker"),
        planted("net/x.py", "from pronghorn.server import Server"),
        planted("net/x.py", "from pronghorn import Options"),
        planted("net/__init__.py", "from ..worker import AsyncWorker"),
        planted("asgi/x.pxd", "from pronghorn.net.connection cimport Connection"),
        planted("wire/x.pxd", "cimport pronghorn.asgi.scope"),
    ],
    layers_are_known: [planted("utils/x.py", "")],
    wire_is_standard_library_without_clock_or_loop: [
        *(
            planted("wire/x.py", f"import {name}")
            for name in ("asyncio", "logging", "time", "gunicorn", "uvloop", "h11")
        ),
        planted("wire/x.py", "from time import monotonic"),
        planted("wire/x.py", "from datetime import datetime"),
        planted("wire/x.py", "import socket"),
        planted("wire/x.py", "from socket import socket"),
        planted("wire/x.py", "def f():\n    import asyncio.streams"),
    ],
    only_root_knows_gunicorn_and_uvloop: [
        planted("asgi/x.py", "import gunicorn"),
        planted("net/x.py", "from gunicorn.glogging import Logger"),
        planted("net/x.py", "import uvloop"),
    ],
    nothing_is_imported_by_a_computed_name: [
        planted("x.py", "import_module(name)"),
        planted("net/x.py", "importlib.import_module(f'pronghorn.{name}')"),
        planted("net/x.py", "__import__(name)"),
    ],
    cfg_is_read_in_few_places: [
        planted("server.py", "def f(cfg):\n    pass"),
        planted("server.py", "self.cfg.keepalive"),
        planted("net/x.py", "cfg.keepalive"),
        planted("asgi/settings.py", "cfg.keepalive"),
    ],
    asgi_sees_no_transport: [
        planted("asgi/x.py", "self._transport.write(b'')"),
        planted("asgi/x.py", "def f(transport):\n    pass"),
        planted("asgi/x.py", "x = Transport"),
    ],
    net_builds_no_asgi_message: [
        planted("net/x.py", "x = {'type': 'http.disconnect'}"),
        planted("net/x.py", "def f():\n    '''Doc.'''\n    return 'websocket.close'"),
    ],
    there_is_one_source: [
        planted("wire/x.pyx", ""),
        planted("wire/x.pxi", ""),
        planted("wire/alone.pxd", ""),
    ],
    cython_is_not_needed_to_run: [
        planted("wire/x.py", "import cython"),
        planted("wire/x.py", "from cython import cfunc"),
        planted("wire/x.py", "def f():\n    import Cython.Build"),
        planted("wire/x.py", "cimport cython"),
        planted("wire/x.py", "from libc.string cimport memcpy"),
    ],
    pxds_are_tables_of_contents: [planted("wire/x.pxd", "cdef int x\n" * 101)],
    files_are_short: [planted("x.py", "x = 1\n" * 601), planted("x.py", "\n" * 601)],
    functions_are_short: [
        planted("x.py", _LONG),
        planted("x.py", "class C:\n    async def f(self):\n" + "        x = 1\n" * 60),
        planted("wire/other.py", _LONG.replace("f()", "_read_fields()")),
        planted("wire/http1_parser.py", "def _read_fields():\n" + "    x = 1\n" * 120),
    ],
}

#: What the rules must let through.
HARMLESS = [
    planted("wire/x.py", "from __future__ import annotations\nimport re\nfrom pronghorn.wire.chars import table"),
    planted("wire/x.py", "from socket import AF_INET, inet_pton"),
    planted("wire/x.py", "from . import chars\nfrom .chars import table"),
    planted("wire/x.pxd", "cimport cython\n\nfrom pronghorn.wire.request cimport Request\n" + "# drawn\n" * 100),
    planted("asgi/x.py", "import asyncio, time\nfrom pronghorn.wire import errors\nfrom ..wire import chars"),
    planted("asgi/__init__.py", "from .scope import Endpoint\nfrom ..wire import chars"),
    planted("net/x.py", "'''No http.disconnect.'''\nimport asyncio\nfrom pronghorn.asgi.scope import Endpoint"),
    planted("x.py", "import gunicorn, uvloop\nfrom pronghorn.net.http1 import Http1\nfrom .wire import chars"),
    planted("settings.py", "def f(cfg):\n    return cfg.keepalive"),
    planted("x.py", "def f():\n" + "    x = 1\n" * 59),
    planted("wire/http1_parser.py", "def _read_fields():\n" + "    x = 1\n" * 119),
]


def found(rule: Rule, modules: list[Module]) -> list[str]:
    try:
        return list(rule(modules))
    except SyntaxError:
        return []  # what is not Python has a rule of its own


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule) -> None:
    assert list(rule(package())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_violation_is_found(rule: Rule) -> None:
    for modules in RULES[rule]:
        assert found(rule, modules), modules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_harmless_is_not_found(rule: Rule) -> None:
    for modules in HARMLESS:
        assert found(rule, modules) == [], modules


def test_there_is_something_to_look_at() -> None:
    modules = package()
    assert {module.layer for module in modules} == set(LAYERS)
    assert len([module for module in modules if module.path.endswith(".pxd")]) >= 10
    functions = {
        (module.path, node.name)
        for module in python(modules)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert functions >= BYTE_LOOPS, "an exception for a function that there is not"
    assert {module.path for module in modules} >= READS_CFG
