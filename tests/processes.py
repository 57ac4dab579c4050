"""Code in a process of its own, since it ends it, or is to have nothing from before."""

import multiprocessing
import os
import sys
import tempfile
import types
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Where there are forks, of a process that has imported the package, which takes longer than most of what is run.
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    PROCESSES.set_forkserver_preload(["sgdkit"])


def _run(code, arguments, output):
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in sys.stdout, sys.stderr:
        os.dup2(descriptor, stream.fileno())
    os.chdir(ROOT)
    sys.argv = ["-c", *arguments]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(code, vars(main))


def run(code, *arguments):
    """As `python -c` does, at the root of the repository; returns the exit status, and all that is printed."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        process = PROCESSES.Process(target=_run, args=(code, [*map(str, arguments)], output))
        process.start()
        process.join()
        return process.exitcode, output.read_text(encoding="utf-8")
