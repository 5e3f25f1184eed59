"""Build of the compiled modules: every ``src/**/*.pxd`` names a ``.py`` beside it that Cython compiles.

All of them are compiled or none is, for compiled modules call each other in C. Where they cannot be, because there is
no compiler, no ``Python.h`` or no Cython, the same sources are installed uncompiled, and one line says so.

Environment switches:
    PRONGHORN_PURE=1              build nothing; a pure Python install
    PRONGHORN_REQUIRE_COMPILED=1  a failed compile is an error (CI, wheels), not a fall-back to pure Python
    PRONGHORN_SANITIZE=1          AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

_DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "binding": False,
    # Indexing an object is checked as in Python; byte loops index a C pointer, which no directive slows down.
    "boundscheck": True,
    "wraparound": True,
    "initializedcheck": False,
    # An application can reach compiled objects, make some that are not initialised, and pass None: it gets an
    # exception, never a signal. What Cython would add for pickle does not check what it is given.
    "nonecheck": True,
    "auto_pickle": False,
    "cdivision": True,
}


def switched_on(name):
    return os.environ.get(name, "") not in ("", "0")


def say(line):
    """Say ``line``; pip shows it with ``-v``."""
    print(f"pronghorn: {line}", file=sys.stderr, flush=True)


def say_uncompiled(reason):
    say(f"{reason}: the sources are installed uncompiled, and will run at a fraction of their speed")


def extensions():
    """The modules to compile; none where that was switched off or cannot work, which a wheel's name has to tell."""
    if switched_on("PRONGHORN_PURE"):
        return []
    lack = what_is_lacking()
    if lack and not switched_on("PRONGHORN_REQUIRE_COMPILED"):
        say_uncompiled(lack)
        return []
    sanitize = switched_on("PRONGHORN_SANITIZE")
    # Debug information would be four fifths of a wheel.
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"] if sanitize else ["-O3", "-g0"]
    link = ["-fsanitize=address,undefined"] if sanitize else []
    modules = sorted(pxd.with_suffix(".py") for pxd in Path("src").rglob("*.pxd"))
    return [
        Extension(
            ".".join(module.relative_to("src").with_suffix("").parts),
            [str(module)],
            extra_compile_args=flags,
            extra_link_args=link,
        )
        for module in modules
        if module.exists()
    ]


def what_is_lacking():
    """What keeps the modules from being compiled, "" for nothing."""
    try:
        import Cython  # noqa: F401
    except ImportError:
        return "There is no Cython"
    from distutils.ccompiler import new_compiler
    from distutils.errors import CompileError, DistutilsError
    from distutils.sysconfig import customize_compiler

    with tempfile.TemporaryDirectory() as folder:
        for include, lack in (("stddef.h", "There is no working C compiler"), ("Python.h", "There is no Python.h")):
            probe = Path(folder, "probe.c")
            probe.write_text(f"#include <{include}>\nint probe;\n")
            try:
                compiler = new_compiler()
                customize_compiler(compiler)
                paths = [sysconfig.get_path("include"), sysconfig.get_path("platinclude")]
                compiler.compile([str(probe)], output_dir=folder, include_dirs=paths)
            except (CompileError, DistutilsError, OSError) as error:
                return f"{lack} ({error})"
    return ""


def allocation(pxd):
    """What ``pxd`` says of its classes that Cython heeds in a ``.py`` only, where it would take an import."""
    text = pxd.read_text()
    freelist = re.search(r"^@cython\.freelist\((\d+)\)", text, re.MULTILINE)
    return int(freelist[1]) if freelist else 0, "\n@cython.no_gc" in text


class BuildExtensions(build_ext):
    """Translates all modules and compiles them, on all cores."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def run(self):
        if not self.extensions:
            return
        say(f"compiling {len(self.extensions)} modules, which takes about a minute; PRONGHORN_PURE=1 leaves it out")
        self.translate()
        try:
            super().run()
        except Exception as error:
            if switched_on("PRONGHORN_REQUIRE_COMPILED"):
                raise
            # Some without the others could not even be imported.
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            say_uncompiled(f"Compiling failed ({error})")

    def translate(self):
        from Cython.Build import cythonize
        from Cython.Compiler.Options import get_directive_defaults

        get_directive_defaults().update(freelist=0, no_gc=False)
        alike = {}
        for extension in self.extensions:
            alike.setdefault(allocation(Path(extension.sources[0]).with_suffix(".pxd")), []).append(extension)
        for (freelist, no_gc), group in alike.items():
            directives = {**_DIRECTIVES, "freelist": freelist, "no_gc": no_gc}
            threads = self.parallel if len(group) > 1 else 0
            translated = cythonize(
                group, build_dir="build/cython", compiler_directives=directives, quiet=True, nthreads=threads
            )
            sources = {one.name: one.sources for one in translated}
            for extension in group:
                extension.sources = sources[extension.name]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
