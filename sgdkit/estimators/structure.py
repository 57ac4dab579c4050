"""Whether the parts of a sparse matrix fit together, before SciPy follows them to convert it.

SciPy looks at parts when a matrix is made, and not again: those that are set later may point anywhere, and a conversion
reads and writes there. CSR of a dtype that we take is not converted, and `Rows` looks at it on its way.
"""

import numpy as np
from scipy import sparse

# Formats of three parts, and how many dimensions their values have; those of BSR are blocks.
COMPRESSED = {"csr": 1, "csc": 1, "bsr": 3}


def check_structure(X, name="X"):
    """Raise if `X` is sparse, and its parts point outside of it; anything else passes."""
    if not sparse.issparse(X):
        return
    kind = f"{name} is not a valid {X.format.upper()} matrix"
    for part in ("data", "indices", "indptr") if X.format in COMPRESSED else ():
        n_dimensions = COMPRESSED[X.format] if part == "data" else 1
        found = getattr(X, part).ndim
        if found != n_dimensions:
            raise ValueError(f"{kind}: its {part} has {found} dimensions instead of {n_dimensions}.")
    sound = _fits(X) if X.format in COMPRESSED else X.format != "coo" or _lies_within(X)
    if not sound:
        raise ValueError(
            f"{kind}: its {'coordinates' if X.format == 'coo' else 'indptr or indices'} point outside of it."
        )


def _fits(X):
    n_major, n_minor = X.shape if X.format != "csc" else X.shape[::-1]
    if X.format == "bsr":
        n_major, n_minor = np.array(X.shape) // X.data.shape[1:]
    begins, indices = X.indptr, X.indices
    if len(begins) != n_major + 1 or begins[0] < 0 or (begins[1:] < begins[:-1]).any():
        return False
    if begins[-1] > min(len(indices), len(X.data)):
        return False
    return _all_below(indices[int(begins[0]) : int(begins[-1])], n_minor)


def _lies_within(X):
    parts = (X.data, *X.coords)
    return all(part.shape == (len(X.data),) for part in parts) and all(map(_all_below, X.coords, X.shape))


def _all_below(indices, n):
    return not len(indices) or bool(indices.min() >= 0 and indices.max() < n)


def check_here(*collections):
    """Raise if one is a dask collection, which would be brought here as a whole without a word."""
    for collection in collections:
        first = collection[0] if isinstance(collection, (list, tuple)) and collection else collection
        graph = getattr(first, "__dask_graph__", None)
        if callable(graph) and graph() is not None:
            raise TypeError(
                f"This estimator is for rows in memory or on disk, and got a {type(first).__name__} of dask. Those of "
                "sgdkit.dask fit collections; or bring the rows here by compute()."
            )
