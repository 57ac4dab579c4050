"""The tests with AddressSanitizer and UndefinedBehaviorSanitizer: `python -m tests.sanitizers [arguments of pytest]`.

The modules are compiled anew, in a copy of the sources under `build/sanitizers` (a few minutes; later runs compile what
has changed), and the first fault that a sanitizer finds ends the run with its report. It needs GCC on Linux, and what
`pip install --upgrade '.[test]' cython setuptools` brings; where the compiler has no sanitizers, it says so, and its
exit status is `SKIPPED`. Without arguments it runs `TESTS`: those that reach every compiled module with every layout of
rows, and the promises of docs/reliability.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "sanitizers"
TESTS = [
    "tests/kernels/test_scores.py",
    "tests/estimators/test_structure.py",
    "tests/optimizers/test_steps.py",
    "tests/optimizers/test_state.py",
    "tests/test_promises.py",
    "tests/disk",
    # What takes long for other reasons.
    "--deselect=tests/disk/test_disk.py::test_other_processes_map_the_same_file",
    "--deselect=tests/disk/test_disk.py::test_a_killed_writer_leaves_no_rows",
]
SKIPPED = 77

SANITIZERS = "-fsanitize=address,undefined"
FLAGS = f"-O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined {SANITIZERS}"
BUILD = "from setuptools import setup; setup()"
# Python itself keeps memory until it ends, so leaks are looked for by tests of their own; and what asks for too much
# memory is to get a MemoryError.
OPTIONS = {
    # Bus errors of files that are cut off are the package's own business.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_sigbus=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # One block for each array and object, so that what lies beside it is out of bounds.
    "PYTHONMALLOC": "malloc",
}


def copy_sources():
    """Bring the copy up to date; files that are the same keep their times, so that they are not compiled again."""
    for name in "pyproject.toml", "setup.cfg", "README.md", "LICENSE", "sgdkit", "tests", "docs":
        for path in [ROOT / name, *(ROOT / name).rglob("*")]:
            other = COPY / path.relative_to(ROOT)
            if path.is_file() and path.suffix not in (".c", ".so", ".pyc"):
                other.parent.mkdir(parents=True, exist_ok=True)
                if not other.exists() or other.read_bytes() != path.read_bytes():
                    shutil.copyfile(path, other)


def library(name):
    """The path of one of the compiler's libraries."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def available():
    """Whether a program can be compiled with the sanitizers, and runs."""
    if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "try.c"), Path(folder, "try")
        source.write_text("int main(void) { return 0; }\n")
        command = ["gcc", *SANITIZERS.split(), str(source), "-o", str(program)]
        return not subprocess.run(command).returncode and not subprocess.run([program]).returncode


def main(arguments):
    if not available():
        print("The sanitizers are not run: they need GCC on Linux, with libasan and libubsan.")
        return SKIPPED
    copy_sources()
    environment = {**os.environ, "SGDKIT_CFLAGS": FLAGS, "LDFLAGS": SANITIZERS, "PYTHONPATH": str(COPY)}
    command = [sys.executable, "-c", BUILD, "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=COPY, env=environment, check=True)
    # The sanitizers have to be there before Python is; children of tests inherit them.
    environment |= {"LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}", **OPTIONS}
    # What a sanitizer writes to the standard error is to be seen.
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "--capture=sys", *(arguments or TESTS)]
    return subprocess.run(command, cwd=COPY, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
