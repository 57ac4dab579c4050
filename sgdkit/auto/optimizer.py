"""`optimizer="auto"`: full gradients where features are dense, else AdaGrad."""

import numpy as np
from scipy.sparse import issparse

from sgdkit.optimizers import GD, AdaGrad, as_optimizer

# With optimizer="auto", full gradients are for rows with at least this share of non-zeros, and for so many values or
# scores.
DENSE_SHARE, MOST_VALUES = 0.1, 10_000_000


def suited_to(problem):
    """The optimizer for a problem: full gradients where features are dense, values few, and the loss is smooth.

    There they need fewer epochs than any other; where features are rare, AdaGrad does.
    """
    rows, everything = problem.rows, problem.order is None
    visited = slice(None) if everything else problem.order
    n_values = problem.n_rows * max(rows.n_features, problem.targets.n_columns)
    if not problem.loss.smooth or n_values > MOST_VALUES:
        return AdaGrad()
    counts = np.diff(rows.X.indptr) if issparse(rows.X) else np.count_nonzero(rows.X, axis=1)
    weights = None if problem.weights is None else problem.weights[visited]
    share = np.average(counts[visited], weights=weights) / rows.n_features
    return GD() if share >= DENSE_SHARE else AdaGrad()


def numbers_together(optimizer, dtype):
    """How many numbers an optimizer holds for each weight of models that it trains together; "auto" at the most."""
    optimizer = AdaGrad() if optimizer == "auto" else as_optimizer(optimizer)
    # Full gradients train one model after the other.
    return 0 if optimizer._full_batch else optimizer._update(optimizer, None, (0, 1), dtype).n_slots
