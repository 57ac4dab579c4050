"""Rows that the choices look at."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from scipy.sparse import issparse

from sgdkit._kernels.arrays import move_rows
from sgdkit._kernels.rows import Rows
from sgdkit.training.problem import select


@contextmanager
def in_front(problem, indices):
    """The problem of some rows alone, in this order.

    Rows that are nobody else's are not copied: for a while, they stand where their array begins.
    """
    if not problem.rows.owned:
        yield problem.on(indices)
        return
    X, n_rows = problem.rows.X, len(indices)
    others, places = np.ones(len(X), dtype=bool), np.arange(len(X))
    others[indices] = False
    places[:n_rows] = indices
    places[indices[indices >= n_rows]] = np.flatnonzero(others[:n_rows])
    move_rows(X, places)
    try:
        targets, row_weights = problem.targets.take(indices), select(problem.row_weights, indices)
        parts = {"rows": Rows(X[:n_rows], owned=True), "targets": targets, "row_weights": row_weights}
        yield replace(problem, **parts, row_indices=None, _known={})
    finally:
        move_rows(X, np.argsort(places))


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
