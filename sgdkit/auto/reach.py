"""How far weights reach: in a chunk, values that are far beyond those which weights were learnt from.

What rows of one order of magnitude have told of a feature may be wrong by far for values of the next. Then a single row
has a loss, and a gradient, as many together have not: its step drives weights elsewhere, through an exponential to
infinity, and sums of squared gradients remember it for good. So before a chunk is learnt, and after, a weight is halved
as often as it pays: as long as the loss of the chunk falls by more than that of the rows before rises, which is taken
for a parabola about the weight as it is.
"""

import numpy as np
from scipy import sparse

from sgdkit._kernels.scores import score_rows

# Values are far out that are so many times the root mean square of those before.
FAR = 6.0
# What a weight is multiplied by; the last leaves nothing of it.
SHARES = np.append(0.5 ** np.arange(16), 0.0)
# Of so many features weights are halved, those that add the most to a score.
MOST_FEATURES = 64


def retract(weights, problem, seen, *, curvature, size):
    """Halve weights that do not reach the values of a chunk, and return whether there are any.

    Parameters
    ----------
    weights : ndarray of shape (n_features + 1, n_columns)
        They are changed.
    problem : Problem
        The chunk.
    seen : callable
        It takes the numbers of some features, and returns how many values of each the rows before have had, and the sum
        of their squares.
    curvature : float or ndarray of shape (n_columns,)
        About the second derivative of the loss of a row.
    size : float
        How much a value has to add to a score, for its feature to be looked at.
    """
    X = problem.rows.merged(problem.row_indices)
    features = _that_reach_too_far(X, weights, seen, size)
    if not len(features):
        return False
    _, squares = seen(features)
    targets, row_weights = problem.targets.take(problem.indices), problem.select(problem.weights_or_ones)
    scores = score_rows(X, weights[:-1]) + weights[-1]
    values = X[:, features].toarray() if sparse.issparse(X) else X[:, features]
    changed = False
    for feature, x, sum_of_squares in zip(features, values.T, squares, strict=True):
        part, costs = np.outer(x, weights[feature]), []
        for share in SHARES:
            lost = X.dtype.type(1 - share)
            losses = problem.loss.total(scores - lost * part, targets, row_weights)
            moved = np.square(lost * weights[feature], dtype=np.float64)
            costs.append(losses + curvature * sum_of_squares / 2 * moved)
        costs = np.sum(costs, axis=1, keepdims=True) if problem.loss.coupled else np.array(costs)
        share = SHARES[np.argmin(np.where(np.isfinite(costs), costs, np.inf), axis=0)].astype(X.dtype)
        scores -= (1 - share) * part
        weights[feature] *= share
        changed |= bool((share < 1).any())
    return changed


def _that_reach_too_far(X, weights, seen, size):
    """The features of a value that is far out, and adds more than some size to a score; the most come first."""
    reach, values = np.abs(weights[:-1]).max(axis=1), np.abs(X.data if sparse.issparse(X) else X)
    largest = values.max(initial=0)
    # A value that is no larger than this is none of these. Most features have none, which takes no look at the values.
    limits = np.full(len(reach), np.inf)
    features = np.flatnonzero(reach * largest > size)
    mass, squares = seen(features)
    known = mass > 0
    features, squares = features[known], squares[known] / mass[known]
    limits[features] = np.maximum(size / reach[features], FAR * np.sqrt(squares))
    if not (limits < largest).any():
        return features[:0]
    if sparse.issparse(X):
        places = np.flatnonzero(values > limits.astype(X.dtype)[X.indices])
        features, values = X.indices[places], values[places]
    else:
        rows, features = np.nonzero(values > limits)
        values = values[rows, features]
    features, numbers = np.unique(features, return_inverse=True)
    most = np.zeros(len(features))
    np.maximum.at(most, numbers, values * reach[features[numbers]])
    return features[np.argsort(-most, kind="stable")][:MOST_FEATURES]
