"""The build backend: setuptools, after a look whether there is a C compiler."""

import tempfile
from pathlib import Path

from setuptools import build_meta
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler, get_python_inc
from setuptools.build_meta import *  # noqa: F403

HELP = """
sgdkit is compiled when it is installed, and {problem}.
Install a C compiler and Python's headers, and try again:
  Debian, Ubuntu:  apt-get install build-essential python3-dev
  Fedora:          dnf install gcc python3-devel
  macOS:           xcode-select --install
  Windows:         the Build Tools for Visual Studio, with "Desktop development with C++"
  conda:           conda install c-compiler
"""


def _check_compiler():
    """Compile three lines of C, or end with help."""
    with tempfile.TemporaryDirectory() as folder:
        for line, problem in (
            ("int main(void) { return 0; }\n", "there is no working C compiler"),
            ("#include <Python.h>\n", "the C compiler does not find Python.h"),
        ):
            source = Path(folder, "try_compiler.c")
            source.write_text(line)
            try:
                compiler = new_compiler()
                customize_compiler(compiler)
                compiler.compile([str(source)], output_dir=folder, include_dirs=[get_python_inc()])
            except Exception as error:
                raise SystemExit(HELP.format(problem=f"{problem} ({error})")) from None


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _check_compiler()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _check_compiler()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
