"""Build of the optional compiled modules: every ``src/**/*.pxd`` names a ``.py`` beside it that Cython compiles.

Environment switches:
    PRONGHORN_PURE=1              build nothing; a pure Python install
    PRONGHORN_REQUIRE_COMPILED=1  a failed compile is an error (CI, wheels), not a fall-back to pure Python
    PRONGHORN_SANITIZE=1          AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import re
from pathlib import Path

from setuptools import Extension, setup


def switched_on(name):
    return os.environ.get(name, "") not in ("", "0")


def allocation(pxd):
    """What ``pxd`` says of its classes that Cython heeds in a ``.py`` only, where it would take an import."""
    text = pxd.read_text()
    freelist = re.search(r"^@cython\.freelist\((\d+)\)", text, re.MULTILINE)
    return int(freelist[1]) if freelist else 0, "\n@cython.no_gc" in text


def extensions():
    if switched_on("PRONGHORN_PURE"):
        return []
    from Cython.Build import cythonize
    from Cython.Compiler.Options import get_directive_defaults

    sanitize = switched_on("PRONGHORN_SANITIZE")
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"] if sanitize else ["-O3"]
    link = ["-fsanitize=address,undefined"] if sanitize else []
    optional = not switched_on("PRONGHORN_REQUIRE_COMPILED")
    modules = {}
    for pxd in sorted(pxd for pxd in Path("src").rglob("*.pxd") if pxd.with_suffix(".py").exists()):
        module = Extension(
            ".".join(pxd.relative_to("src").with_suffix("").parts),
            [str(pxd.with_suffix(".py"))],
            extra_compile_args=flags,
            extra_link_args=link,
            optional=optional,
        )
        modules.setdefault(allocation(pxd), []).append(module)
    directives = {
        "language_level": 3,
        "annotation_typing": False,
        "binding": False,
        # Indexing an object is checked as in Python; byte loops index a C pointer, which no directive slows down.
        "boundscheck": True,
        "wraparound": True,
        "initializedcheck": False,
        "cdivision": True,
    }
    get_directive_defaults().update(freelist=0, no_gc=False)
    cythonized = []
    for (freelist, no_gc), alike in modules.items():
        directives |= {"freelist": freelist, "no_gc": no_gc}
        cythonized += cythonize(alike, build_dir="build/cython", compiler_directives=directives, quiet=True)
    return cythonized


setup(ext_modules=extensions())
