"""How modules are compiled: setuptools, with the flags of all of them, after a look whether there is a C compiler."""

import os
import tempfile
from pathlib import Path

from setuptools import Extension
from setuptools._distutils.sysconfig import get_python_inc
from setuptools.build_meta import *  # noqa: F403
from setuptools.command.build_ext import build_ext

# Every module is compiled against the Limited API, so that one wheel serves every CPython from 3.11.
MACROS = [("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")]
UNIX_FLAGS = [
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "--param=vect-max-version-for-alias-checks=64",
    "-g0",
]

HELP = """
sgdkit is compiled when it is installed, and {problem}.
Install a C compiler and Python's headers, and try again:
  Debian, Ubuntu:  apt-get install build-essential python3-dev
  Fedora:          dnf install gcc python3-devel
  macOS:           xcode-select --install
  Windows:         the Build Tools for Visual Studio, with "Desktop development with C++"
  conda:           conda install c-compiler
"""


class BuildExt(build_ext):
    """Compile every .pyx file with the same flags; anew where any of our headers is newer than it."""

    def finalize_options(self):
        # Here, so that a source distribution gets headers too.
        headers = [str(path) for pattern in ("*.px[di]", "*.h") for path in sorted(Path("sgdkit").rglob(pattern))]
        self.distribution.ext_modules = [
            Extension(
                ".".join(path.with_suffix("").parts),
                [str(path)],
                depends=[*headers, "sgdkit/_build/build_ext.py"],
                include_dirs=["sgdkit/_kernels"],
                define_macros=MACROS,
                py_limited_api=True,
            )
            for path in sorted(Path("sgdkit").rglob("*.pyx"))
        ]
        # So that what is included has the path that it is imported by.
        self.cython_include_dirs = "."
        super().finalize_options()

    def build_extensions(self):
        self._check_compiler()
        for extension in self.extensions:
            # CFLAGS come before ours; what is to come after them, as for sanitizers, has a variable of its own.
            flags = [*UNIX_FLAGS, *os.environ.get("SGDKIT_CFLAGS", "").split()]
            extension.extra_compile_args = flags if self.compiler.compiler_type == "unix" else []
        super().build_extensions()

    def _check_compiler(self):
        """Compile three lines of C, or end with help."""
        with tempfile.TemporaryDirectory() as folder:
            for line, problem in (
                ("int main(void) { return 0; }\n", "there is no working C compiler"),
                ("#include <Python.h>\n", "the C compiler does not find Python.h"),
            ):
                source = Path(folder, "try_compiler.c")
                source.write_text(line)
                try:
                    self.compiler.compile([str(source)], output_dir=folder, include_dirs=[get_python_inc()])
                except Exception as error:
                    raise SystemExit(HELP.format(problem=f"{problem} ({error})")) from None
