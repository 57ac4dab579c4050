"""Sphinx: `sphinx-build docs docs/_build`, after `pip install '.[docs]'`.

It reads the project's text and, unless `-D plot_gallery=0` is given, runs the examples. Nothing is fetched.
"""

import sys
import zlib
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "sgdkit"
author = "the sgdkit developers"
release = version = version_of("sgdkit")
extensions = [
    "myst_parser",
    "numpydoc",
    "registries",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "inventories"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
# The public names of a module are those of its `__all__`.
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
# A class is shown with what its docstring says of it, once.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
# Each reference leads somewhere, but for names that scikit-learn's own docstrings take for granted.
nitpicky = True
nitpick_ignore = [("py:obj", "classes_"), ("py:obj", "n_features_in_")]


def inventories():
    """The names in other projects that our text refers to, written to where intersphinx reads them; by base address.

    Each file has the header of an inventory of Sphinx, and lines that there are compressed.
    """
    folder = HERE / "_build" / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((HERE / "inventories").glob("*.txt")):
        address, *lines = path.read_text(encoding="utf-8").splitlines()
        header, names = lines[:4], lines[4:]
        compressed = zlib.compress("\n".join([*names, ""]).encode())
        target = folder / f"{path.stem}.inv"
        target.write_bytes("\n".join([*header, ""]).encode() + compressed)
        yield path.stem, (address.removeprefix("# "), str(target))


intersphinx_mapping = dict(inventories())
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sgdkit",),
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],
    "show_signature": False,
    "remove_config_comments": True,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"sgdkit {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"index": [], "changelog": [], "auto_examples/index": []}
html_theme_options = {
    "logo": {"text": f"sgdkit {version}"},
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc", "sourcelink"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_context = {"default_mode": "auto"}
copyright = "the sgdkit developers; BSD 3-Clause"
