"""CSR matrices that share what they are made of, which SciPy often copies."""

import numpy as np
from scipy import sparse

NOT_VALID = "X is not a valid CSR matrix: its indptr or indices point outside of it."


def shared_csr(X):
    """`X` as a csr_array that shares its data, but for strided indices, and those of neither 32 nor 64 bits."""
    for name in "data", "indices", "indptr":
        n_dimensions = getattr(X, name).ndim
        if n_dimensions != 1:
            raise ValueError(
                f"X is not a valid CSR matrix: its {name} has {n_dimensions} dimensions instead of one."
            )
    if len(X.indptr) != X.shape[0] + 1:
        raise ValueError(NOT_VALID)
    # Set one by one, because the constructor copies 64-bit indices to 32 bits wherever they fit, and those of mixed
    # types to 64.
    shared = sparse.csr_array(X.shape, dtype=X.dtype)
    shared.data = aligned(X.data)
    shared.indices, shared.indptr = _of_known_type(X.indices), _of_known_type(X.indptr)
    first, end = int(shared.indptr[0]), int(shared.indptr[shared.shape[0]])
    if 0 <= first <= end <= min(len(shared.data), len(shared.indices)):
        # What stands before the first row, or after the last one, is nobody's.
        shared.data, shared.indices = shared.data[first:end], shared.indices[first:end]
        shared.indptr = shared.indptr - first if first else shared.indptr
    return shared


def _of_known_type(indices):
    return aligned(indices, np.int32 if indices.dtype == np.int32 else np.int64)


def aligned(array, dtype=None):
    """A C-contiguous array whose numbers stand where the processor wants them; a copy if need be."""
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.aligned else array.copy()


def csr(values, indices, begins, n_features, cls=sparse.csr_array):
    """Rows in CSR form that share their values and indices; `begins` has 32 bits where these do.

    Set one by one, because SciPy's constructor copies indices of 32 bits to 64 if `begins` has so many.
    """
    X = cls((len(begins) - 1, n_features), dtype=values.dtype)
    X.data, X.indices = values, indices
    X.indptr = (
        begins if begins[len(begins) - 1] > np.iinfo(np.int32).max else begins.astype(np.int32, copy=False)
    )
    return X


def take_rows(X, rows):
    """``X[rows]``, for an array of row numbers or a slice.

    SciPy copies the rows of a slice, and copies all indices of `X` to 64 bits if its indptr has so many.
    """
    if not sparse.issparse(X):
        return X[rows]
    if isinstance(rows, slice):
        begin, end, step = rows.indices(X.shape[0])
        if step == 1:
            begins = X.indptr[begin : max(begin, end) + 1]
            stored = slice(begins[0], begins[len(begins) - 1])
            return csr(X.data[stored], X.indices[stored], begins - begins[0], X.shape[1], type(X))
        rows = np.arange(begin, end, step)
    if X.indices.dtype == X.indptr.dtype:
        return X[rows]
    rows = np.asarray(rows)
    counts = X.indptr[rows + 1] - X.indptr[rows]
    begins = np.append(0, np.cumsum(counts, dtype=np.int64))
    # Where a value stands among those taken comes to where it stands in `X`.
    places = np.arange(begins[len(rows)]) + (X.indptr[rows] - begins[: len(rows)]).repeat(counts)
    return csr(X.data[places], X.indices[places], begins, X.shape[1], type(X))
