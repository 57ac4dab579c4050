"""Rows that the choices look at."""

import numpy as np
from scipy.sparse import issparse


def contents(problem, row_indices):
    """Yield what each row holds: the target, the features and their values, to single precision.

    Repeated rows and weighted ones are scaled by the same numbers but for their last bits.
    """
    X, targets = problem.rows.merged(row_indices), problem.targets.values
    if issparse(X):
        X.sort_indices()
    for place, row in enumerate(row_indices):
        if issparse(X):
            stored = slice(X.indptr[place], X.indptr[place + 1])
            features, values = X.indices[stored], X.data[stored]
        else:
            features = np.flatnonzero(X[place])
            values = X[place, features]
        yield (
            targets[row].tobytes(),
            features.astype(np.int64).tobytes(),
            values.astype(np.float32).tobytes(),
        )
