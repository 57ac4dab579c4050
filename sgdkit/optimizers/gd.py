"""Full gradients. An epoch is two matrix products, which SciPy and BLAS do best; so no compiled loop of ours."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from sgdkit._kernels.arrays import combine
from sgdkit._kernels.backtracking import Tries
from sgdkit._kernels.scores import score_rows
from sgdkit._typing import Array
from sgdkit.optimizers.base import Optimizer

# A rate grows by no more than the first at a time, the second in the first few steps, in which curvature changes most.
GROW, GROW_EARLY, EARLY_STEPS = 1.5, 2.5, 10
# After so many steps, scores that were summed up from step to step are computed anew.
REFRESH = 32


class FullGradientState:
    """Accelerated proximal gradient descent at work, with the face of a compiled `State`.

    Attributes
    ----------
    W : ndarray of shape (n_features + 1, n_columns)
        The weights; the last row is the intercepts'.
    previous : ndarray of the same shape
        The weights before the last step.
    n_accelerated : ndarray of float of shape (n_columns,)
        Steps since the momentum was last dropped; columns of one model drop it together.
    rate : ndarray of shape (n_columns,) or None
        The rates that backtracking has reached; None before the first step.
    aim : ndarray of shape (n_columns,) or None
        The rates that the last step has found to be good.
    """

    def __init__(self, optimizer, record, shape, dtype, *, fit_intercept=True, average_from=0):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.n_rows_seen = self.n_averaged = 0
        self.rate = self.aim = None
        self._cached = None
        self.load(np.zeros((self.n_features + 1, self.n_columns), dtype) if record is None else record)

    def __getstate__(self):
        return {**self.__dict__, "_cached": None}

    def load(self, weights):
        """Go on from other weights, with no momentum and no average."""
        self.W = np.array(weights, order="C")
        self.previous = self.W
        self.total = np.zeros_like(self.W) if self.average_from else None
        self.n_averaged, self.n_accelerated = 0, np.zeros(self.n_columns, self.W.dtype)
        self._cached = None

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
        other = FullGradientState(self.optimizer, self.W[:, columns], shape, self.W.dtype, **options)
        if self.previous is not self.W:
            other.previous = np.ascontiguousarray(self.previous[:, columns])
        other.total = None if self.total is None else self.total[:, columns]
        if self.rate is not None:
            other.rate, other.aim = self.rate[columns], self.aim[columns]
        other.n_accelerated = self.n_accelerated[columns]
        for name in ("n_rows_seen", "n_averaged"):
            setattr(other, name, getattr(self, name))
        return other

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

        `rate` is a number, or None to find it by backtracking.
        """
        if self._cached is None or self._cached.problem is not problem:
            self._cached = _Scores(problem, self)
        scores = self._cached
        accelerates = self.optimizer.nesterov and problem.loss.smooth
        share = accelerates * self.n_accelerated / (self.n_accelerated + 3)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            step = self._step(scores, share, rate)
            if rate is None and share.any():
                if scores.losses is None:
                    scores.losses, scores.penalties = scores.total(scores.current), self._penalties(self.W)
                before = scores.objectives(scores.losses, scores.penalties)
                risen = ~(scores.objectives(*step[2:4]) <= before)
                if risen.any():
                    self.n_accelerated = np.where(risen, 0, self.n_accelerated)
                    again = self._step(scores, np.where(risen, 0, share), rate)
                    step = [np.where(risen, new, old) for new, old in zip(again, step, strict=True)]
        self.previous, scores.previous = self.W, scores.current
        self.W, scores.current, scores.losses, scores.penalties, self.rate, self.aim = step
        scores.n_steps += 1
        if scores.n_steps % REFRESH == 0:
            # Both, for momentum takes their difference, and would multiply an error in it.
            scores.current, scores.previous = scores.of(self.W), scores.of(self.previous)
        self.n_accelerated = self.n_accelerated + 1
        self.n_rows_seen += scores.n_rows
        if self.average_from and self.n_rows_seen >= self.average_from:
            self.total = self.total + self.W
            self.n_averaged += 1
        return scores.losses

    def _step(self, scores, share, rate):
        """A step from ``V = W + share * (W - previous)``.

        Returns the new weights, their scores, losses and penalties, the rates, and those to aim at next.
        """
        V, scores_V = self.W, scores.current
        if share.any():
            V = V + share * (V - self.previous)
            scores_V = combine(scores_V, scores.previous, 1 + share, -share, np.zeros_like(share))
        losses, gradient = scores.gradient(scores_V)
        if rate is None:
            return self._backtrack(scores, losses, gradient, V, scores_V)
        end = self._move(V, gradient, self.rate_factors * self.W.dtype.type(rate))
        return *scores.at(end), self._penalties(end), self.rate, self.aim

    def _backtrack(self, scores, losses, gradient, V, scores_V):
        """A step at rates that are low enough for the loss to lie below its quadratic model."""
        if self.rate is None:
            rates = np.ones(self.n_columns, self.W.dtype)
        else:
            early = self.n_rows_seen < EARLY_STEPS * scores.n_rows
            rates = np.minimum(self.aim, self.rate * self.W.dtype.type(GROW_EARLY if early else GROW))
        # The first rate is looked for upwards as well.
        tries = Tries(rates, self.rate is None, scores.n_rows, scores.n_outputs)
        ahead = self._along(scores, V, scores_V, gradient)
        while True:
            end, end_scores, end_losses = ahead(rates)
            if not tries.adjust(V, end, gradient, losses, end_losses):
                return end, end_scores, end_losses, self._penalties(end), rates, tries.aims

    def _along(self, scores, V, scores_V, gradient):
        """Return a function from rates to the weights after a step from V, their scores and losses.

        Where the penalty shrinks all weights alike, scores are linear in the gradient's, so any number of rates takes
        one product with the rows.
        """
        if not self._penalty.shrinks_alike:
            return lambda rates: scores.at(self._move(V, gradient, rates))
        slope = scores.product(gradient[:-1])

        def ahead(rates):
            end = V - rates * gradient
            shrunk = self._penalty.prox(1.0, rates).astype(rates.dtype, copy=False)
            end[:-1] *= shrunk
            end_scores = combine(scores_V, slope, shrunk, -rates * shrunk, end[-1] - shrunk * V[-1])
            return end, end_scores, scores.total(end_scores)

        return ahead

    def _move(self, V, gradient, rates):
        end = V - rates * gradient
        end[:-1] = self._penalty.prox(end[:-1], rates)
        return end


class _Scores:
    """The rows that a problem visits, with the scores of the last two models: a model between them needs no product.

    Attributes
    ----------
    current, previous : ndarray of shape (n_rows, n_columns)
    losses, penalties : ndarray of shape (n_columns,) or None
        Of the last model; None before the first step.
    """

    def __init__(self, problem, state):
        self.problem = problem
        self.targets, self.row_weights = problem.targets, problem.select(problem.row_weights)
        if problem.row_indices is None:
            self.X = problem.rows.with_valid_indices()
        else:
            self.X, self.targets = problem.rows.X[problem.row_indices], self.targets.take(problem.row_indices)
        self.n_rows = self.X.shape[0]
        self.fit_intercept = state.fit_intercept
        # The columns that share a loss.
        self.n_outputs = problem.loss.n_outputs if problem.loss.coupled else 1
        self.n_steps = 0
        self.current, self.losses, self.penalties = self.of(state.W), None, None
        self.previous = self.current if state.previous is state.W else self.of(state.previous)

    def at(self, weights):
        """The weights themselves, their scores and losses."""
        scores = self.of(weights)
        return weights, scores, self.total(scores)

    def of(self, weights):
        """The scores of weights."""
        if not weights[:-1].any():
            # As at the beginning of most fits.
            return np.tile(weights[-1], (self.n_rows, 1))
        scores = self.product(weights[:-1])
        scores += weights[-1]
        return scores

    def product(self, coef):
        """The rows times an array of shape (n_features, n_columns)."""
        return score_rows(self.X, coef)

    def total(self, scores, derivative=None):
        """The sums of losses; their derivatives are written to the array that is given."""
        return self.problem.loss.total(scores, self.targets, self.row_weights, derivative)

    def gradient(self, scores):
        """The losses, and the gradient of their mean over rows with respect to the weights."""
        derivative = np.empty_like(scores)
        losses = self.total(scores, derivative)
        gradient = np.empty((self.X.shape[1] + 1, scores.shape[1]), scores.dtype)
        gradient[:-1] = self.X.T @ derivative
        gradient[-1] = np.add.reduce(derivative, axis=0) if self.fit_intercept else 0
        gradient /= self.n_rows
        if not self.n_steps and not np.isfinite(gradient).all():
            # Where a value is not finite, no gradient of its feature is.
            self.problem.rows.check()
        return losses, gradient

    def objectives(self, losses, penalties):
        """The objective of each column; of a coupled loss, of the column's model."""
        columns = losses / self.n_rows + penalties
        if self.n_outputs == 1:
            return columns
        return np.add.reduce(columns.reshape(-1, self.n_outputs), axis=1).repeat(self.n_outputs)


class GD(Optimizer):
    """Proximal gradient descent on all rows, with backtracking and acceleration.

    ``W <- prox(V - eta * grad F(V))``. With `eta0="auto"` and a smooth loss, eta is found by backtracking: it is
    lowered until F lies below its quadratic model [1]_. Before each step it is raised to nearly the largest rate at
    which that would have been true of the last step, but by no more than 1.5 (by 2.5 before the first ten). With
    `nesterov` and a smooth loss, V is W plus its last move times ``(k - 1) / (k + 2)`` in step k; with backtracking, k
    begins anew when the objective would rise [2]_. Else V is W. Columns with losses of their own have rates, and k, of
    their own.

    `batch_size` has no effect; an epoch is one step.

    Parameters
    ----------
    nesterov : bool, default=True
        Whether to accelerate, where the loss is smooth.

    References
    ----------
    .. [1] A. Beck & M. Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
       SIAM J. Imaging Sciences, 2009.
    .. [2] B. O'Donoghue & E. Candès, "Adaptive Restart for Accelerated Gradient Schemes", Found. Comput. Math., 2015.

    Examples
    --------
    >>> from sgdkit.optimizers import GD
    >>> GD(nesterov=False)
    GD(nesterov=False)
    """

    full_batch: bool = True
    scales_with_gradient: bool = True
    default_tol: float = 1e-5
    _parameter_constraints: dict = {"nesterov": ["boolean"]}

    def __init__(self, *, nesterov: bool = True) -> None:
        self.nesterov = nesterov

    def default_schedule(self, loss: Any) -> str:
        return "constant" if loss.smooth else "invscaling"

    def backtracks(self, loss: Any) -> bool:
        return loss.smooth

    def make_state(self, record: Array | None, shape: tuple[int, int], dtype: Any, **settings: Any) -> Any:
        return FullGradientState(self, record, shape, dtype, **settings)


def gathered(problem, weights, fit_intercept):
    """About the squared gradients of single rows that an epoch at some weights meets, of the shape of the weights.

    The mean square of a feature is multiplied by the sum of the squared derivatives.
    """
    shape = problem.rows.n_features, weights.shape[1]
    scores = _Scores(
        problem, FullGradientState(None, weights, shape, weights.dtype, fit_intercept=fit_intercept)
    )
    derivative, X = np.empty_like(scores.current), problem.rows.merged(problem.row_indices)
    scores.total(scores.current, derivative)
    if issparse(X):
        squares = np.bincount(X.indices, np.square(X.data, dtype=np.float64), X.shape[1])
    else:
        squares = np.einsum("ij,ij->j", X, X, dtype=np.float64)
    return np.outer(
        np.append(squares / scores.n_rows, fit_intercept), np.square(derivative, dtype=np.float64).sum(axis=0)
    )
