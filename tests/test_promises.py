"""The promises of docs/reliability.md over random cases, in child processes: if one crashes, a test has failed."""

import subprocess
import sys

import pytest

BLOCK = 150


@pytest.mark.parametrize("first", range(0, 2 * BLOCK, BLOCK))
def test_random_cases_hold_the_promises(first):
    command = [sys.executable, "-m", "tests.random_cases", str(first), str(first + BLOCK)]
    child = subprocess.run(command, capture_output=True, text=True)
    lines = child.stdout.split()
    assert child.returncode == 0, f"case {lines[-1:]}, exit status {child.returncode}: {child.stderr[-3000:]}"
    assert child.stdout.endswith("all held\n")
