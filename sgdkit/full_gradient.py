"""The full-gradient epoch. It is two matrix products, which SciPy and BLAS do best; so no compiled loop of ours."""

import numpy as np
from scipy.sparse import issparse

# The rate grows by the first before a step, by the second before the first few, in which curvature changes most; it
# shrinks by the last until the loss lies below its quadratic model.
GROW, GROW_EARLY, EARLY_STEPS, SHRINK = 1.5, 2.5, 10, 0.6
# After so many steps, scores that were summed up from step to step are computed anew.
REFRESH = 32
# The first rate rises by this factor while that holds.
RISE, LARGEST_FIRST_RATE = 8.0, 1e12


class FullGradient:
    """Accelerated proximal gradient descent at work, with the face of a compiled `Update`.

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
    """

    def __init__(self, optimizer, record, shape, dtype, *, fit_intercept=True, average_from=0):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.n_rows_seen = self.n_averaged = 0
        self.rate = None
        self._cached = None
        self.load(np.zeros((self.n_features + 1, self.n_columns), dtype) if record is None else record)

    def __getstate__(self):
        return {**self.__dict__, "_cached": None}

    def load(self, weights):
        """Go on from other weights, with no momentum and no average."""
        self.W = np.array(weights)
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
        """The update of some of the columns."""
        shape = self.n_features, len(columns)
        options = {"fit_intercept": self.fit_intercept, "average_from": self.average_from}
        other = FullGradient(self.optimizer, self.W[:, columns], shape, self.W.dtype, **options)
        other.previous = other.W if self.previous is self.W else self.previous[:, columns]
        other.total = None if self.total is None else self.total[:, columns]
        other.rate = None if self.rate is None else self.rate[columns]
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
        with np.errstate(invalid="ignore"):
            return self._penalty.value(self.W[:-1]) + 0 * self.W[-1]

    def set_columns(self, penalty, scale):
        """Set the penalty, and the factor of each column's rate."""
        self._penalty = penalty
        self.scale = np.asarray(scale, dtype=self.W.dtype)

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
        with np.errstate(over="ignore", invalid="ignore"):
            step = self._step(scores, share, rate, self.rate)
            if rate is None and share.any():
                if scores.losses is None:
                    scores.losses = scores.at(self.W)[2]
                risen = ~(self._objectives(step[0], step[2]) <= self._objectives(self.W, scores.losses))
                if risen.any():
                    self.n_accelerated = np.where(risen, 0, self.n_accelerated)
                    again = self._step(scores, np.where(risen, 0, share), rate, self.rate)
                    step = [np.where(risen, new, old) for new, old in zip(again, step, strict=True)]
        self.previous, scores.previous = self.W, scores.own
        self.W, scores.own, scores.losses, self.rate = step
        scores.n_steps += 1
        if scores.n_steps % REFRESH == 0:
            # Both, for momentum takes their difference, and would multiply an error in it.
            scores.own, scores.previous = scores.of(self.W), scores.of(self.previous)
        self.n_accelerated = self.n_accelerated + 1
        self.n_rows_seen += scores.n_rows
        if self.average_from and self.n_rows_seen >= self.average_from:
            self.total = self.total + self.W
            self.n_averaged += 1
        return scores.losses

    def _step(self, scores, share, rate, before):
        """A step from ``V = W + share * (W - previous)``: the new weights, their scores and losses, and the rates.

        `before` are the rates that backtracking had reached, of shape (n_columns,), or None.
        """
        share = share.astype(self.W.dtype)
        V = self.W + share * (self.W - self.previous) if share.any() else self.W
        scores_V = scores.own + share * (scores.own - scores.previous) if share.any() else scores.own
        losses, gradient = scores.gradient(scores_V)
        if rate is not None:
            return *scores.at(self._move(V, gradient, self.scale * self.W.dtype.type(rate))), before
        # The first rate is looked for upwards as well, in large steps.
        rises = np.full(self.n_columns, before is None)
        early = self.n_rows_seen < EARLY_STEPS * scores.n_rows
        grow = self.W.dtype.type(GROW_EARLY if early else GROW)
        numbers = np.finfo(self.W.dtype)
        # Where the gradient is 0, any rate will do.
        largest, smallest = np.sqrt(numbers.max), 1e8 * numbers.tiny
        rates = (
            np.ones(self.n_columns, self.W.dtype) if before is None else np.minimum(before * grow, largest)
        )
        slack = 10 * numbers.eps * np.abs(losses)
        ahead = self._along(scores, V, scores_V, gradient)
        while True:
            new, new_scores, new_losses = ahead(rates)
            move = (new - V).astype(np.float64, copy=False)
            model = (gradient * move + np.square(move) / (2 * rates)).sum(axis=0)
            above = ~(scores.fold(new_losses - losses - scores.n_rows * model - slack) <= 0)
            rises &= ~above & (rates < LARGEST_FIRST_RATE)
            falls = above & (rates >= smallest)
            if not (rises | falls).any():
                return new, new_scores, new_losses, rates
            rates = rates * np.where(rises, RISE, np.where(falls, SHRINK, 1)).astype(rates.dtype)

    def _along(self, scores, V, scores_V, gradient):
        """Return a function from rates to the weights after a step from V, their scores and losses.

        Where the penalty only shrinks weights, scores are linear in the gradient's, so any number of rates takes one
        product with the rows.
        """
        if np.any(self._penalty.l1):
            return lambda rates: scores.at(self._move(V, gradient, rates))
        slope, centre = scores.product(gradient[:-1]), scores_V - V[-1]

        def ahead(rates):
            new = self._move(V, gradient, rates)
            shrunk = self._penalty.prox(np.ones_like(rates), rates).astype(rates.dtype)
            own = shrunk * centre
            own -= (rates * shrunk) * slope
            own += new[-1]
            return new, own, scores.total(own)

        return ahead

    def _move(self, V, gradient, rates):
        new = V - rates * gradient
        new[:-1] = self._penalty.prox(new[:-1], rates)
        return new

    def _objectives(self, weights, losses):
        return self._cached.fold(losses / self._cached.n_rows + self._penalty.value(weights[:-1]))


class _Scores:
    """The rows that a problem visits, with the scores of the last two models: a model between them needs no product.

    Attributes
    ----------
    own, previous : ndarray of shape (n_rows, n_columns)
    losses : ndarray of shape (n_columns,) or None
        None before the first step.
    """

    def __init__(self, problem, update):
        self.problem = problem
        self.X, self.targets, self.weights = problem.rows.X, problem.targets, problem.weights
        if problem.order is not None:
            self.X, self.targets = self.X[problem.order], self.targets.take(problem.order)
            self.weights = None if self.weights is None else self.weights[problem.order]
        self.n_rows = self.X.shape[0]
        self.fit_intercept = update.fit_intercept
        self.n_steps = 0
        self.own, self.losses = self.of(update.W), None
        self.previous = self.own if update.previous is update.W else self.of(update.previous)

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
        return np.ascontiguousarray(self.X @ coef)

    def total(self, scores, derivative=None):
        """The sums of losses; their derivatives are written to the array that is given."""
        return self.problem.loss.total(scores, self.targets, self.weights, derivative)

    def gradient(self, scores):
        """The losses, and the gradient of their mean over rows with respect to the weights."""
        derivative = np.empty_like(scores)
        losses = self.problem.loss.total(np.ascontiguousarray(scores), self.targets, self.weights, derivative)
        gradient = np.empty((self.X.shape[1] + 1, scores.shape[1]), scores.dtype)
        gradient[:-1] = self.X.T @ derivative
        gradient[-1] = derivative.sum(axis=0) if self.fit_intercept else 0
        return losses, gradient / scores.dtype.type(self.n_rows)

    def fold(self, losses):
        """Of a coupled loss, each column gets the sum over the columns of its model."""
        if not self.problem.loss.coupled:
            return losses
        models = losses.reshape(-1, self.problem.loss.n_outputs)
        return np.add.reduce(models, axis=1).repeat(self.problem.loss.n_outputs)


def gathered(problem, weights, fit_intercept):
    """About the squared gradients of single rows that an epoch at some weights meets, of the shape of the weights.

    The mean square of a feature is multiplied by the sum of the squared derivatives.
    """
    shape = problem.rows.n_features, weights.shape[1]
    scores = _Scores(problem, FullGradient(None, weights, shape, weights.dtype, fit_intercept=fit_intercept))
    derivative, X = np.empty_like(scores.own), scores.X
    scores.total(scores.own, derivative)
    if issparse(X):
        squares = np.bincount(X.indices, np.square(X.data, dtype=np.float64), X.shape[1])
    else:
        squares = np.einsum("ij,ij->j", X, X, dtype=np.float64)
    return np.outer(
        np.append(squares / scores.n_rows, fit_intercept), np.square(derivative, dtype=np.float64).sum(axis=0)
    )
