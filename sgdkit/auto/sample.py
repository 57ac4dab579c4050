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
        numbers = X.indices if problem.subset is None else problem.subset.features[X.indices]
        full = np.zeros(X.shape[0], dtype=bool)
    else:
        full, all_features = X.all(axis=1), np.arange(X.shape[1]).astype(np.int64).tobytes()
    for place, row in enumerate(row_indices):
        if full[place]:
            features, values = all_features, X[place]
        elif issparse(X):
            stored = slice(X.indptr[place], X.indptr[place + 1])
            features, values = numbers[stored].astype(np.int64).tobytes(), X.data[stored]
        else:
            present = np.flatnonzero(X[place])
            features, values = present.astype(np.int64).tobytes(), X[place, present]
        yield targets[row].tobytes(), features, values.astype(np.float32).tobytes()
