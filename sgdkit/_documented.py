"""Where the HTML representation of an estimator leads to."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def documentation() -> str:
    """The address of the documentation that the installed package names (`project.urls`), or nothing."""
    try:
        urls = metadata("sgdkit").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "").rstrip("/")


class Documented:
    """What has a page of its own in the documentation, named after the module that it is imported from."""

    _doc_link_module = "sgdkit"
    _documented_in = "sgdkit"

    @property
    def _doc_link_template(self):
        return f"{documentation()}/generated/{self._documented_in}.{type(self).__name__}.html"

    def _get_doc_link(self):
        return super()._get_doc_link() if documentation() else ""
