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
# So many features are looked at, those that add the most to a score.
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
    X = problem.rows.merged(problem.indices)
    features = _that_add(X, weights, size)
    if not len(features):
        return False
    targets, row_weights = problem.targets.take(problem.indices), problem.select(problem.weights_or_ones)
    scores = score_rows(X, weights[:-1]) + weights[-1]
    values = X[:, features].toarray() if sparse.issparse(X) else X[:, features]
    changed = False
    for feature, x, mass, squares in zip(features, values.T, *seen(features), strict=True):
        if mass * np.abs(x).max() ** 2 <= FAR**2 * squares:
            continue
        part, costs = np.outer(x, weights[feature]), []
        for share in SHARES:
            lost = X.dtype.type(1 - share)
            losses = problem.loss.total(scores - lost * part, targets, row_weights)
            costs.append(
                losses + curvature * squares / 2 * np.square(lost * weights[feature], dtype=np.float64)
            )
        costs = np.sum(costs, axis=1, keepdims=True) if problem.loss.coupled else np.array(costs)
        share = SHARES[np.argmin(np.where(np.isfinite(costs), costs, np.inf), axis=0)].astype(X.dtype)
        scores -= (1 - share) * part
        weights[feature] *= share
        changed |= bool((share < 1).any())
    return changed


def _that_add(X, weights, size):
    """The features of which a value adds more than some size to a score; those that add the most come first."""
    if sparse.issparse(X):
        parts = np.abs(X.data) * np.abs(weights[X.indices]).max(axis=1, initial=0)
        features, places = np.unique(X.indices[parts > size], return_inverse=True)
        most = np.zeros(len(features), X.dtype)
        np.maximum.at(most, places, parts[parts > size])
    else:
        most = np.maximum(X.max(axis=0), -X.min(axis=0)) * np.abs(weights[:-1]).max(axis=1)
        features = np.flatnonzero(most > size)
        most = most[features]
    return features[np.argsort(-most, kind="stable")][:MOST_FEATURES]
