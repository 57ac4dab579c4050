"""`optimizer="auto"`: full gradients where features are dense, else AdaGrad."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone

from sgdkit.auto.rate import rate_choice
from sgdkit.optimizers import GD, AdaGrad, as_optimizer

# Full gradients are for rows with at least this share of non-zeros, and for so many values or scores.
DENSE_SHARE, MOST_VALUES = 0.1, 10_000_000


def choose_optimizer(settings, problem, *, whole=True):
    """The optimizer of a fit, as a new object; `whole` says whether the rows are all there are, and not a chunk."""
    if settings.optimizer != "auto":
        optimizer = as_optimizer(settings.optimizer)
        return clone(optimizer) if optimizer is settings.optimizer else optimizer
    # What only steps on few rows make use of.
    wanted = settings.early_stopping or settings.average or not rate_choice(settings).chosen
    wanted = wanted or settings.batch_size != "auto" or settings.learning_rate != "auto"
    return AdaGrad() if wanted or not whole else suited_to(problem)


def suited_to(problem):
    """The optimizer for a problem: full gradients where features are dense, values few, and the loss is smooth.

    There they need fewer epochs than any other; where features are rare, AdaGrad does.
    """
    rows, n_columns = problem.rows, problem.targets.n_columns
    n_values = problem.n_rows * max(rows.n_features, n_columns)
    if not problem.loss.smooth or n_values > MOST_VALUES:
        return AdaGrad()
    counts = np.diff(rows.X.indptr) if issparse(rows.X) else np.count_nonzero(rows.X, axis=1)
    row_weights = problem.select(problem.row_weights)
    share = np.average(problem.select(counts), weights=row_weights) / rows.n_features
    return GD() if share >= DENSE_SHARE else AdaGrad()


def numbers_a_weight(optimizer, dtype):
    """How many numbers an optimizer holds for each weight of models that it trains together; "auto" at the most."""
    optimizer = AdaGrad() if optimizer == "auto" else as_optimizer(optimizer)
    # Full gradients train one model after the other.
    return 0 if optimizer.full_batch else optimizer.make_state(None, (0, 1), dtype).n_slots
