"""Compiles the copy of lockstep_client.py beside this file into `made/`; run by the driver, in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Distribution, Extension

_DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "binding": False,
    "boundscheck": True,
    "wraparound": True,
    "cdivision": True,
}


def main() -> None:
    os.chdir(Path(__file__).parent)
    module = Extension("lockstep_client", ["lockstep_client.py"], extra_compile_args=["-O2"])
    distribution = Distribution({"ext_modules": cythonize([module], compiler_directives=_DIRECTIVES, quiet=True)})
    command = distribution.get_command_obj("build_ext")
    command.build_lib = "made"
    command.build_temp = "temporary"
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main()
