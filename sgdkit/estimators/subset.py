"""Rows on the features that they have, where these are few among all, as hashing makes them.

Nothing is then chosen, trained or kept for the others, so a fit costs what its values do. A model that goes on from
there, on other rows, begins with all features.

Invariant: the model is the one that training on all features leads to, but for rounding errors.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sgdkit._kernels.arrays import number_features
from sgdkit._kernels.csr import csr
from sgdkit._kernels.rows import Rows
from sgdkit.training.room import Room

# With fewer features than these, it takes no time to look at all.
MANY_FEATURES = 1 << 12
# Where more than one in so many features has a value, all are taken.
FEW = 2
# Rows with more values than so many a feature are not looked at: a copy of their features would take as much memory.
VALUES_A_FEATURE = 4


@dataclass(frozen=True)
class Subset:
    """Some features, which are numbered in the order of all.

    Attributes
    ----------
    features : ndarray of int32
        Their numbers among all, which rise.
    n_features : int
        How many there are in all.
    """

    features: np.ndarray
    n_features: int

    def spread(self, values, other=0):
        """An array for all features, given one for these; `other` is for the rest, and what follows comes last."""
        n = len(self.features)
        shape = (self.n_features + len(values) - n, *values.shape[1:])
        # Pages of zeros that nobody writes to take no memory.
        whole = np.full(shape, other, values.dtype) if other else np.zeros(shape, values.dtype)
        whole[self.features], whole[self.n_features :] = values[:n], values[n:]
        return whole

    def of(self, X):
        """Sparse rows of all features on these alone."""
        return X[:, self.features]


def on_subset(rows):
    """The `Subset` of features that rows have, and the rows on these; None and the same rows where they are not few."""
    X, n_features = rows.stored, rows.n_features
    if not sparse.issparse(X) or rows.mapped or n_features < MANY_FEATURES:
        return None, rows
    if X.nnz > VALUES_A_FEATURE * n_features:
        return None, rows
    X = rows.with_valid_indices()
    numbers, bits = np.empty(len(X.indices), np.int32), Room().bits(n_features)
    features = number_features(X.indices, bits, n_features // FEW, numbers)
    if features is None:
        return None, rows
    rows = Rows(csr(X.data, numbers, X.indptr, len(features)), check=rows.checked)
    return Subset(features, n_features), rows
