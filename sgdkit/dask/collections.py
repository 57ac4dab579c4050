"""Dask's collections, as lists of parts: arrays, dataframes, and lists of delayed matrices."""

import dask.array as da
import numpy as np
from dask import is_dask_collection
from dask.delayed import Delayed, delayed
from distributed import Future
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names

from sgdkit._kernels.csr import csr
from sgdkit._kernels.rows import Rows
from sgdkit.estimators.structure import check_structure


def is_collection(X):
    """Whether something lies in parts, wherever they are."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(isinstance(part, (Delayed, Future)) for part in X)
    return is_dask_collection(X)


def parts_of(X):
    """The parts of a collection, each of some rows with all their columns, as a list of delayed objects."""
    if isinstance(X, (list, tuple)):
        return [part if isinstance(part, Delayed) else delayed(part) for part in X]
    if isinstance(X, Delayed):
        return [X]
    if isinstance(X, da.Array) and X.ndim > 1 and X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    return list(np.ravel(X.to_delayed()))


def lengths_of(X):
    """The number of rows of each part, NaN where it is not known."""
    return X.chunks[0] if isinstance(X, da.Array) else [np.nan] * len(parts_of(X))


def as_rows(part, *, check=True):
    """The rows of a part as a C-contiguous array or CSR, of float32 or float64; `check` looks for what is not finite.

    Of sparse rows, `Rows` does so.
    """
    check_structure(part)
    options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "order": "C"}
    options["ensure_all_finite"] = check and not sparse.issparse(part)
    return check_array(part, ensure_min_samples=0, input_name="X", **options)


class Description:
    """What has to be known of a part before rows are trained on.

    Attributes
    ----------
    counts : ndarray of int32 of shape (n_rows,)
        The number of non-zeros of each row.
    n_features, n_values, n_bytes : int
        `n_values` are those that are stored.
    dtype : dtype
    sparse : bool
    names : ndarray of str, or None
        Those of the features.
    """

    def __init__(self, part):
        self.names = _get_feature_names(part)
        X = as_rows(part)
        self.counts = Rows(X).counts().astype(np.int32)
        self.n_features, self.dtype, self.sparse = X.shape[1], X.dtype, sparse.issparse(X)
        arrays = [X.data, X.indices, X.indptr] if self.sparse else [X]
        self.n_values, self.n_bytes = arrays[0].size, sum(array.nbytes for array in arrays)


def described(part):
    """The description of a part, or what is wrong with it: an error that is raised would be tried again."""
    try:
        return Description(part)
    except (ValueError, TypeError) as error:
        return error


def joined(parts, dtype, as_sparse):
    """The rows of several parts that have been looked at, as one matrix."""
    parts = [as_rows(part, check=False) for part in parts if part.shape[0]]
    if as_sparse:
        return stacked([sparse.csr_array(part, dtype=dtype) for part in parts])
    return parts[0].astype(dtype, copy=False) if len(parts) == 1 else np.concatenate(parts, dtype=dtype)


def stacked(parts):
    """The rows of several CSR arrays as one, which shares its data with a single one."""
    if len(parts) == 1:
        return parts[0]
    # An array may be longer than its rows.
    values = np.concatenate([part.data[: part.indptr[-1]] for part in parts])
    indices = np.concatenate([part.indices[: part.indptr[-1]] for part in parts])
    counts = np.concatenate([np.diff(part.indptr) for part in parts])
    return csr(values, indices, np.append(0, np.cumsum(counts, dtype=np.int64)), parts[0].shape[1])


def brought_here(client, values, retries):
    """What is given for each row, as an array in this process; what is here already stays what it is."""
    if not is_collection(values):
        return values
    parts = client.gather(client.compute(parts_of(values), retries=retries))
    parts = [part.toarray() if sparse.issparse(part) else np.asarray(part) for part in parts]
    return np.concatenate([part for part in parts if len(part)] or parts[:1])
