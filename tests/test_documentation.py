"""Every block of Python code in the README and in the documentation runs as it stands."""

import re
from importlib.metadata import PackageNotFoundError, version

import pytest
from sklearn.utils.fixes import parse_version

from sgdkit.optimizers import OPTIMIZERS
from tests.processes import ROOT, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    )
]


def test_there_are_blocks():
    assert len(BLOCKS) > 1


def skip_without(package, least):
    try:
        installed = version(package)
    except PackageNotFoundError:
        pytest.skip(f"needs {package}")
    if parse_version(installed) < parse_version(least):
        pytest.skip(f"needs {package} {least}")


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_where_the_reader_stands(block):
    """In a process of its own; what a comment says of a printed line is what is printed."""
    needed = re.match(r"# Needs (\S+)(?: ([0-9.]+))?\n", block)
    if needed:
        skip_without(needed[1], needed[2] or "0")
    status, printed = run(block)
    assert status == 0, printed
    promised = re.findall(r"^print\(.*\)  # (.*)$", block, re.M)
    assert [line for line in printed.splitlines() if line in promised] == promised


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        path = page.parent / target
        if path.parent.name == "auto_examples":
            # A page that Sphinx makes of an example.
            path = ROOT / "examples" / f"{path.stem}.py"
        assert path.exists() or target == "auto_examples/index.rst", target


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_guide_has_every_optimizer(name):
    page = (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    assert f".. optimizer-figure:: {name}\n" in page
