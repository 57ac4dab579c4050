"""The version of the package, and what else a report of a fault should tell."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from threadpoolctl import threadpool_info

# As in pyproject.toml; a tree that is not installed has no other.
__version__: str = "0.1.0"

PACKAGES = ["scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl"]
OPTIONAL = [
    "pandas",
    "polars",
    "imbalanced-learn",
    "skops",
    "skl2onnx",
    "onnxruntime",
    "mlflow",
    "matplotlib",
    "dask",
    "distributed",
]


def show_versions() -> None:
    """Print the versions of Python, of the system and of the packages that matter here, for reports of faults.

    Examples
    --------
    >>> import sgdkit
    >>> sgdkit.show_versions()  # doctest: +ELLIPSIS
    <BLANKLINE>
    System:
    ...
    """
    system: dict[str, Any] = {
        "python": sys.version.replace("\n", " "),
        "executable": sys.executable,
        "machine": platform.platform(),
        "processors": os.cpu_count(),
    }
    packages: dict[str, Any] = {"sgdkit": __version__}
    packages |= {name: _version(name) for name in PACKAGES}
    packages |= {name: found for name in OPTIONAL if (found := _version(name)) is not None}
    pools: dict[str, Any] = {
        f"{pool['user_api']} ({pool['internal_api']})": f"{pool['version']}, {pool['num_threads']} threads"
        for pool in threadpool_info()
    }
    for title, rows in {"System": system, "Packages": packages, "Thread pools": pools}.items():
        print(f"\n{title}:")
        for name, value in rows.items():
            print(f"{name:>18}: {value}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
