"""What optimizers share whose steps take all rows. A gradient is two matrix products, which SciPy and BLAS do best."""

from copy import copy

import numpy as np

from sgdkit._kernels.arrays import combine
from sgdkit._kernels.quasi_newton import sums_of_products
from sgdkit.optimizers.blocks import Block, blocks_of
from sgdkit.optimizers.curvature import Axes, Features, GramAxes, eigh

# After so many steps, scores that were summed up from step to step are computed anew.
REFRESH = 32
# How losses are curved is looked at again after one step, and then each time after so many times as many.
LATER = 4
# Axes are those of rows with so many values, and of so many rows a feature at the least; for features of which the
# square is no more than so many times the rows.
AXES_VALUES, ROWS_A_FEATURE, MOST_SQUARES = 1 << 17, 10, 4
# Rows that tell how losses are curved, where features are many.
CURVED_ROWS = 1 << 10


class FullGradientState:
    """Weights in training by full gradients, with the face of a compiled `State`.

    Attributes
    ----------
    W : ndarray of shape (n_features + 1, n_columns)
        The weights; the last row is the intercepts'.
    rate : ndarray of shape (n_columns,) or None
        The rates that the search for them has reached; None before the first step.
    n_steps, next_look : int
        Steps since training began, and after how many the metric is to be found anew.
    curved_at : ndarray of the shape of the weights, or None
        Those at which the metric was found last; None where there is none yet.
    """

    # Of each model, by how much its objective is expected to fall in the next step; None where that is not known.
    expected_falls = None
    n_steps, next_look, curved_at = 0, 1, None
    _penalty = None

    def __init__(self, optimizer, record, shape, dtype, *, fit_intercept=True, average_from=0):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.n_rows_seen = self.n_averaged = 0
        self.rate = self._cached = None
        self.load(np.zeros((self.n_features + 1, self.n_columns), dtype) if record is None else record)

    def __getstate__(self):
        return {**self.__dict__, "_cached": None}

    def load(self, weights):
        """Go on from other weights, with no momentum and no average."""
        self.W = np.array(weights, order="C")
        self.total = np.zeros_like(self.W) if self.average_from else None
        self.n_averaged, self._cached = 0, None
        self.n_steps, self.next_look, self.curved_at = 0, 1, None

    def rescale(self, ratio, drift):
        """Go on with features whose gradients are `ratio` times what they were, with no momentum."""
        W, total, n_averaged = self.W, self.total, self.n_averaged
        for weights in [W] if total is None else [W, total]:
            weights[-1] += drift @ weights[:-1]
            weights[:-1] /= ratio[:, np.newaxis]
        self.load(W)
        self.total, self.n_averaged = total, n_averaged

    def take(self, columns):
        """The state of some of the columns."""
        shape = self.n_features, len(columns)
        options = {"fit_intercept": self.fit_intercept, "average_from": self.average_from}
        other = type(self)(self.optimizer, self.W[:, columns], shape, self.W.dtype, **options)
        other.total = None if self.total is None else self.total[:, columns]
        other.rate = None if self.rate is None else self.rate[columns]
        other._penalty = None if self._penalty is None else self._penalty.take(columns)
        other.n_rows_seen, other.n_averaged = self.n_rows_seen, self.n_averaged
        other.n_steps, other.next_look = self.n_steps, self.next_look
        other.curved_at = None if self.curved_at is None else self.curved_at[:, columns]
        return other

    def spread(self, subset):
        """The state of all features, given that of a `Subset`; momentum, and what was remembered, are of other rows."""
        whole = copy(self)
        whole.n_features = subset.n_features
        whole.load(subset.spread(self.W))
        whole.total = None if self.total is None else subset.spread(self.total)
        whole.n_averaged = self.n_averaged
        return whole

    def slot(self, number):
        return self.W

    def weights(self):
        return self.total / self.W.dtype.type(self.n_averaged) if self.n_averaged else self.W

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        if self._cached is not None and self._cached.penalties is not None:
            return self._cached.penalties
        return self._penalties(self.W)

    def _penalties(self, weights):
        with np.errstate(invalid="ignore"):
            return self._penalty.value(weights[:-1]) + 0 * weights[-1]

    def set_columns(self, penalty, rate_factors):
        """Set the penalty, and the factor of each column's rate."""
        self._penalty, self._cached = penalty, None
        self.rate_factors = np.asarray(rate_factors, dtype=self.W.dtype)

    def flush(self):
        """Nothing is put off here."""

    def release(self):
        """Let go of the data of a fit."""
        self._cached = None

    def epoch(self, problem, rate):
        """Take one step on all rows of a `Problem`, and return each column's sum of losses after it.

        `rate` is a number, or None to find it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define epoch")

    def _scores_of_metric(self, rows, scores):
        """The scores at which the metric was found last; those of the weights, where there is none yet."""
        if self.curved_at is None:
            self.curved_at = self.W
        return scores if self.curved_at is self.W else rows.of(self.curved_at)

    def _look_again(self):
        """Count a step, and return whether the metric is to be found anew, at the weights that it has led to."""
        self.n_steps += 1
        if self.n_steps != self.next_look:
            return False
        self.next_look, self.curved_at = LATER * self.next_look, self.W
        return True

    def _count(self, rows):
        """Count a step, and average."""
        self.n_rows_seen += rows.n_rows
        if self.average_from and self.n_rows_seen >= self.average_from:
            self.total = self.total + self.W
            self.n_averaged += 1


class AllRows:
    """The rows that a problem visits.

    Optimizers take scores and derivatives from here, and give them back; what these are is not their business.

    Attributes
    ----------
    n_outputs : int
        The number of columns that share a loss.
    tries : bool
        Whether several lengths are going to be tried along the next direction.
    """

    tries = False

    def __init__(self, problem, fit_intercept, blocks=None):
        self.problem, self.loss = problem, problem.loss
        self.blocks = blocks_of(problem.rows, problem) if blocks is None else blocks
        self.n_rows, self.dtype = problem.n_rows, problem.rows.dtype
        self.fit_intercept = fit_intercept
        self.n_outputs = problem.loss.n_outputs if problem.loss.coupled else 1

    def of(self, weights):
        """The scores of weights, of shape (n_features + 1, n_columns)."""
        return self.blocks.joined(lambda block: block.scores(weights), weights.shape[1])

    def combine(self, A, B, a, b):
        """The scores ``a * A + b * B``, with a number for each column in a and b."""
        zeros = np.zeros_like(a)
        return self.blocks.joined(lambda _, A, B: combine(A, B, a, b, zeros), A.shape[1], A, B)

    def total(self, scores):
        """The sum of losses of each column."""
        return self.blocks.summed(lambda block, scores: block.losses(self.loss, scores), scores)

    def differentiate(self, scores):
        """The sum of losses of each column, and their derivatives."""
        derivative = np.empty_like(scores)
        total = self.blocks.summed(lambda block, *parts: block.losses(self.loss, *parts), scores, derivative)
        return total, derivative

    def along(self, scores, direction, lengths, ahead, derivative):
        """Go along a direction of the scores: see `Loss.along`."""

        def go(block, *arrays):
            return block.along(self.loss, lengths, *arrays)

        return self.blocks.summed(go, scores, direction, ahead, derivative)

    def gradient(self, derivative):
        """The gradient of the mean loss over rows with respect to the weights, given the derivative of each loss."""
        return self._mean(self.blocks.summed(Block.gradient, derivative))

    def _mean(self, gradient):
        if not self.fit_intercept:
            gradient[-1] = 0
        gradient /= self.n_rows
        return gradient

    def check(self, gradient):
        """Have rows looked at that nobody has; where a value is not finite, no gradient of its feature is."""
        if not np.isfinite(gradient).all():
            self.problem.rows.check()

    def axes(self):
        """The `Axes` of the rows; None where they would take longer than they save."""
        if not few_features(self.problem):
            return None
        n_features = self.problem.rows.n_features
        n_rows = max(AXES_VALUES // n_features, ROWS_A_FEATURE * n_features)
        return Axes(self, spread(self.n_rows, n_rows))

    def features(self):
        """The `Features` of the rows."""
        return Features(self, spread(self.n_rows, CURVED_ROWS))

    def mean_squares(self):
        """Those of the features, and of the intercept's, of shape (n_features + 1,)."""
        return np.append(self.problem.mean_squares, 1.0)

    def choose(self, places):
        """Some rows, as a block without their values, since their scores are among those of all."""
        row_weights = None if self.blocks.row_weights is None else self.blocks.row_weights[places]
        return Block(None, self.blocks.targets.take(places), row_weights)

    def second_derivatives(self, chosen, places, scores):
        """Those of the losses of chosen rows, given the scores of all; of shape (n_chosen, n_models)."""
        return chosen.second_derivatives(self.loss, np.ascontiguousarray(scores[places]))

    def objectives(self, losses, penalties):
        """The objective of each column; of a coupled loss, of the column's model."""
        columns = losses / self.n_rows + penalties
        if self.n_outputs == 1:
            return columns
        return np.add.reduce(columns.reshape(-1, self.n_outputs), axis=1).repeat(self.n_outputs)


def _along(rows, scores, direction, lengths, ahead, derivative):
    """`AllRows.along` in one piece."""
    ahead[...] = scores + lengths.astype(scores.dtype) * direction
    totals, derivative[...] = rows.differentiate(ahead)
    return totals, sums_of_products(derivative, direction)


class GramRows(AllRows):
    """As many rows as there are features, with the same squared errors, but for a constant, as all rows of a problem.

    With the Gram matrix ``A'A = V L V'`` of the rows A, whose last feature is the intercept's, they are ``L^(1/2) V'``,
    and their targets ``L^(-1/2) V'A'y``. So a gradient takes no more than the square of the number of features.
    """

    def __init__(self, problem, fit_intercept, blocks=None):
        super().__init__(problem, fit_intercept, blocks)
        self.gram, products, squares = self.blocks.total(Block.products)
        self.roots, self.vectors = eigh(self.gram)
        self.roots = np.sqrt(self.roots)
        known = self.roots > len(self.roots) * np.finfo(np.float64).eps * self.roots.max()
        self.R = (self.roots[:, np.newaxis] * self.vectors.T).astype(self.dtype)
        self.y = np.zeros((len(known), products.shape[1]))
        self.y[known] = (self.vectors.T @ products)[known] / self.roots[known, np.newaxis]
        self.constant = np.maximum(squares - np.square(self.y).sum(axis=0), 0) / 2
        self.y = self.y.astype(self.dtype)

    def of(self, weights):
        return self.R @ weights

    def combine(self, A, B, a, b):
        return a * A + b * B

    def total(self, scores):
        return self.differentiate(scores)[0]

    def differentiate(self, scores):
        difference = scores - self.y
        return np.square(difference, dtype=np.float64).sum(axis=0) / 2 + self.constant, difference

    along = _along

    def gradient(self, derivative):
        return self._mean(self.R.T @ derivative)

    def axes(self):
        return GramAxes(self)

    def mean_squares(self):
        return np.diag(self.gram) / self.n_rows

    def second_derivatives(self, chosen, places, scores):
        return np.ones((1, 1))


class RowsElsewhere(AllRows):
    """Rows that leave nothing behind: what stands for their scores are the weights; for derivatives, their gradient.

    So a step takes two products with the rows, and one more for each length after the first: its scores lie on the line
    through those of both ends, which blocks may still know. Where several lengths are sure to be tried, they take none,
    and the gradient is asked for in the end.
    """

    # The direction along which lengths are tried, and where the first ones have led; the last lengths, and the weights
    # that they begin at, where no gradient is known.
    _direction = _end = _last = None

    def of(self, weights):
        return weights.copy()

    def combine(self, A, B, a, b):
        return combine(A, B, a, b, np.zeros_like(a))

    def total(self, scores):
        return self.blocks.total(Block.at, self.loss, scores)

    def differentiate(self, scores):
        self._last = None
        return self.blocks.total(Block.slopes_at, self.loss, scores)

    def along(self, scores, direction, lengths, ahead, derivative):
        if self._direction is not direction:
            # In units of the direction, first lengths are 1; or 0, and stay there.
            self._direction, self._end = direction, scores + lengths.astype(scores.dtype) * direction
            if not self.tries:
                return _along(self, scores, direction, lengths, ahead, derivative)
        ahead[...] = scores + lengths.astype(scores.dtype) * direction
        if self.tries:
            self._last = lengths.copy(), scores
            return self.blocks.total(Block.losses_between, self.loss, *self._last, self._end)
        totals, derivative[...] = self.blocks.total(
            Block.slopes_between, self.loss, lengths, scores, self._end
        )
        return totals, sums_of_products(derivative, direction)

    def gradient(self, derivative):
        if self._last is not None:
            _, derivative[...] = self.blocks.total(Block.slopes_between, self.loss, *self._last, self._end)
            self._last = None
        return self._mean(derivative.copy())

    def choose(self, places):
        return self.blocks.take(places)

    def second_derivatives(self, chosen, places, scores):
        return chosen.second_derivatives(self.loss, chosen.scores(scores))


def all_rows(problem, fit_intercept):
    """The rows of a problem, few of them where that is possible."""
    blocks = blocks_of(problem.rows, problem)
    if takes_gram(problem):
        return GramRows(problem, fit_intercept, blocks)
    return (AllRows if blocks.here else RowsElsewhere)(problem, fit_intercept, blocks)


def takes_gram(problem):
    """Whether products of the features stand for the rows."""
    few = problem.loss.quadratic and few_features(problem)
    return few and np.ndim(problem.row_weights) < 2


def few_features(problem):
    """Whether a matrix of the products of features takes no longer than a few gradients."""
    return problem.rows.n_features**2 <= MOST_SQUARES * problem.n_rows * problem.density**2


def spread(n_rows, n_chosen):
    """The indices of some rows, at even distances; of all, where there are no more."""
    if n_rows <= n_chosen:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, n_chosen).astype(np.intp)


def gathered(problem, weights, fit_intercept):
    """About the squared gradients of single rows that an epoch at some weights meets, of the shape of the weights.

    The mean square of a feature is multiplied by the sum of the squared derivatives.
    """
    rows = AllRows(problem, fit_intercept)
    _, derivative = rows.differentiate(rows.of(weights))
    squares = np.append(problem.mean_squares, fit_intercept)
    return np.outer(squares, np.square(derivative, dtype=np.float64).sum(axis=0))
