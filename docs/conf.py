"""Sphinx: `sphinx-build docs docs/_build`, after `pip install '.[docs]'`."""

project = "sgdkit"
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
]
autosummary_generate = True
numpydoc_show_class_members = False
intersphinx_mapping = {"sklearn": ("https://scikit-learn.org/stable", None)}
sphinx_gallery_conf = {"examples_dirs": "../examples", "gallery_dirs": "auto_examples"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
