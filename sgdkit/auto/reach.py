"""How far weights reach: a chunk may have values far beyond those that its weights were learnt from.

A weight that suits values of one order of magnitude may be far off for values of the next. Then a single row has a
larger loss, and a larger gradient, than many others together: its step throws the weights off, through an exponential
to infinity, and sums of squared gradients keep it for good. So before and after a chunk is learnt, such a weight is
halved, as long as the loss of the chunk falls by more than the loss of earlier rows rises. The latter is taken for a
parabola with its minimum at the weight as it was.

Where weights reach too short, this does not help: the gradient of a row far out may be many times that of all others
together. If the loss is an exponential, it drives weights too far; and sums of squared gradients keep it. Such a row
gets a smaller weight, if its own step would lead far beyond its minimum, or its gradient is beyond all before it.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sgdkit._kernels.arrays import features_beyond
from sgdkit._kernels.scores import score_rows

# A value is far out if it is so many times the root mean square of those before.
FAR = 6.0
# Of fewer values, nobody knows what is far out.
FEWEST_VALUES = 20
# What a weight is multiplied by; the last leaves nothing of it.
SHARES = np.append(0.5 ** np.arange(16), 0.0)
# Rows are left whose implicit step is more than this share of theirs: of squares, their own loss falls. The share is
# found by bisection of its binary logarithm, to within a hundredth.
SMALL_SHARE, SMALLEST_EXPONENT, BISECTIONS = 1 / 3, -64.0, 12
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
    features = _that_reach_too_far(problem, X, weights, seen, size)
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


def _that_reach_too_far(problem, X, weights, seen, size):
    """The features of a value that is far out, and adds more than some size to a score; the most come first."""
    # Most features have no value so large, which takes no look at the values.
    largest = problem.largest
    features = features_beyond(weights[:-1], size / largest if largest else np.inf)
    mass, squares = seen(features)
    known = mass > 0
    features, squares = features[known], squares[known] / mass[known]
    reach = np.abs(weights[features]).max(axis=1, initial=0)
    limits = np.maximum(size / reach, FAR * np.sqrt(squares))
    if not (limits < largest).any():
        return features[:0]
    of_features = np.full(X.shape[1], np.inf, X.dtype)
    of_features[features] = limits
    values = np.abs(X.data if sparse.issparse(X) else X)
    if sparse.issparse(X):
        places = np.flatnonzero(values > of_features[X.indices])
        far, values = X.indices[places], values[places]
    else:
        rows, far = np.nonzero(values > of_features)
        values = values[rows, far]
    far, numbers = np.unique(far, return_inverse=True)
    most = np.zeros(len(far))
    np.maximum.at(most, numbers, values * np.abs(weights[far]).max(axis=1)[numbers])
    return far[np.argsort(-most, kind="stable")][:MOST_FEATURES]


def temper(problem, trainer, seen):
    """Lower the weights of rows whose gradients are too large, and return the problem of these.

    Only rows that have a value far out are looked at. One whose own step would lead far beyond its minimum gets the
    weight that makes its step the implicit one: along the derivative at the step's own end, which does not lead beyond
    [1]_. Where squared gradients are summed up, a row adds at most as much as there is. So what it says is learnt, and
    neither weights nor denominators are driven away.

    Parameters
    ----------
    problem : Problem
        The chunk.
    trainer : Trainer
        That of the rows before.
    seen : callable
        As of `retract`.

    References
    ----------
    .. [1] N. Karampatziakis & J. Langford, "Online Importance Weight Aware Updates", UAI 2011.
    """
    X = problem.rows.merged(problem.row_indices)
    far = _rows_far_out(X, *seen(slice(None)))
    if not len(far):
        return problem
    indices, weights, row_weights = problem.indices[far], trainer.weights(), np.array(problem.weights_or_ones)
    X, targets, masses = sparse.csr_array(X[far]), problem.targets.take(indices), row_weights[indices]
    # Those of one step are taken for copies of each other, which lead the farthest.
    masses = masses.sum() if problem.single_batch else masses[:, np.newaxis]
    inverse = trainer.inverse_metric()
    lengths = (
        trainer.rates(trainer.n_steps + 1) / problem.batch_size * (X.multiply(X) @ inverse[:-1] + inverse[-1])
    )
    steps = _Steps(problem.loss, score_rows(X, weights[:-1]) + weights[-1], targets, lengths * masses)
    too_long = ~steps.are_shorter(np.full(len(far), SMALL_SHARE))
    shares = np.where(too_long, steps.implicit_shares(), 1.0)
    if trainer.optimizer.decays:
        gradients = np.abs(steps.derivative) * masses * _largest(X, inverse) / problem.batch_size
        shares /= np.maximum(1.0, shares * gradients.max(axis=1))
    row_weights[indices] *= shares
    return replace(problem, row_weights=row_weights)


def _rows_far_out(X, mass, squares):
    """The rows that have a value far out, given how many values of each feature there were, and their squares' sum."""
    known = mass >= FEWEST_VALUES
    limits = np.full(len(mass), np.inf)
    limits[known] = FAR * np.sqrt(squares[known] / mass[known])
    limits, values = limits.astype(X.dtype), np.abs(X.data if sparse.issparse(X) else X)
    if not values.max(initial=0) > limits.min(initial=np.inf):
        return np.empty(0, dtype=np.intp)
    if not sparse.issparse(X):
        return np.flatnonzero((values > limits).any(axis=1))
    places = np.flatnonzero(values > limits[X.indices])
    return np.unique(np.searchsorted(X.indptr, places, side="right") - 1)


def _largest(X, factors):
    """The largest of each row's absolute values times the factors of their features; (n_rows, n_columns)."""
    products = np.abs(X.data)[:, np.newaxis] * factors[X.indices]
    return np.maximum.reduceat(products, X.indptr[:-1])


class _Steps:
    """The steps of single rows, as they move their own scores."""

    def __init__(self, loss, scores, targets, lengths):
        self.loss, self.scores, self.targets, self.lengths = loss, scores, targets, lengths
        self.derivative = self._derivative(scores)
        self.moves = lengths * self.derivative
        self.squares = np.square(self.derivative).sum(axis=1)

    def _derivative(self, scores):
        derivative = np.empty_like(scores)
        self.loss.total(scores, self.targets, None, derivative)
        return derivative.astype(np.float64)

    def are_shorter(self, shares):
        """Whether shares of the steps are shorter than the implicit ones: the derivatives at their ends are larger."""
        ends = (self.scores - shares[:, np.newaxis] * self.moves).astype(self.scores.dtype)
        return (self._derivative(ends) * self.derivative).sum(axis=1) >= shares * self.squares

    def implicit_shares(self):
        """What the implicit steps are of the steps."""
        shortest, longest = np.full(len(self.scores), SMALLEST_EXPONENT), np.zeros(len(self.scores))
        for _ in range(BISECTIONS):
            middle = (shortest + longest) / 2
            shorter = self.are_shorter(np.exp2(middle))
            shortest, longest = np.where(shorter, middle, shortest), np.where(shorter, longest, middle)
        return np.exp2(shortest)
