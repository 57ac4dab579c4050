"""What models predict of each row that were fitted to all others: of a fit to all rows, by steps of Newton's.

With the Hessian H and the gradient G of the objective, summed over rows, and the derivative g and the second derivative
D of the loss of row x, of weight w, with respect to its scores s, a step to the minimum without this row leads to

    s - (I - w A D)^-1 (u - w A g),    A = x' H^-1 x,    u = x' H^-1 G

of these scores [1]_. So the steps need not have come to their very end; squared errors take one. Copies of a row are
left out with it.

References
----------
.. [1] K. R. Rad & A. Maleki, "A Scalable Estimate of the Out-of-Sample Prediction Error via Approximate Leave-One-Out
   Cross-Validation", JRSS B, 2020.
"""

import numpy as np

from sgdkit._kernels.quasi_newton import Lengths, parabola
from sgdkit.optimizers.blocks import with_ones

# Rows times the square of the unknowns of a model: more take longer than training on parts of the rows.
MOST_PRODUCTS = 1 << 22
# Numbers that are worked on at a time.
STRETCH = 1 << 15
# A model for which a step of Newton's lowers the objective by a larger share has not come to its end.
FINISHED = 0.02
# The share of the slope that may be left at the end of a step.
SHARE_LEFT = 0.1
# The share of the curvature that is added lest a direction should have none; and the least that is left without a row.
TINY, LEAST_LEFT = 1e-10, 1e-6


def may_leave_out(problem):
    """Whether the Hessians of a model take less time than training on parts of the rows."""
    n_outputs = problem.loss.n_outputs if problem.loss.coupled else 1
    return problem.n_rows * ((problem.rows.n_features + 1) * n_outputs) ** 2 <= MOST_PRODUCTS


class LeavingOut:
    """The rows that models are fitted to, each to be left out.

    Parameters
    ----------
    models : Problem
        Of rows in memory that all count.
    masses : ndarray of float64 of shape (n_rows,)
        The weight of each row and its copies; 0 of a row that is the copy of another.
    penalty : Penalty
    weights : ndarray of shape (n_features + 1, n_columns)
        To begin with.
    fit_intercept : bool

    Attributes
    ----------
    weights : ndarray of float64 of shape (n_features + 1, n_columns)
    unfinished : ndarray of bool of shape (n_models,)
        Whether the last step has lowered the objective much, or not at all.
    """

    def __init__(self, models, masses, penalty, weights, fit_intercept):
        self._models, self._loss, self._masses, self._penalty = models, models.loss, masses, penalty
        self.weights = weights.astype(np.float64)
        models.rows.check()
        X = with_ones(models.rows.X).astype(np.float64, copy=False)
        self._X = X if fit_intercept else X[:, :-1]
        self._W = self.weights[: self._X.shape[1]]
        self._n_outputs = models.loss.n_outputs if models.loss.coupled else 1
        self._ridge = np.zeros(self._W.shape)
        self._ridge[: models.rows.n_features] = penalty.curvature * masses.sum()
        self._scores = self._X @ self._W
        self._derivative = np.empty_like(self._scores)
        self._losses = self._loss.total(self._scores, models.targets, masses, self._derivative)
        self._penalties = masses.sum() * penalty.value(self.weights[:-1])

    def step(self):
        """Take a step of Newton's, as long as the slope of the objective tells."""
        self._bends, self._pull = self._second_derivatives(), self._derivative
        self._H, self._units = self._hessians()
        gradient = self._vectors(self._X.T @ self._pull + self._ridge * self._W)
        move = -np.linalg.solve(self._H, (gradient / self._units)[..., np.newaxis])[..., 0] / self._units
        slopes = self._of_models((move * gradient).sum(axis=1))
        move = self._columns(move)
        self._begin, self._along = self._scores, self._X @ move
        before = self._of_models(self._losses + self._penalties)
        bends = parabola(self._W, move, self._ridge[: self._models.rows.n_features])
        left = np.full(len(slopes), SHARE_LEFT)
        search = Lengths(slopes, self._losses, self._penalties, *bends, 1, left, False)
        self._scores, self._derivative = np.empty((2, *self._along.shape))
        trying = True
        while trying:
            begin, of_rows = (self._begin, self._along), (self._models.targets, self._masses)
            ahead = self._scores, self._derivative
            self._losses, slopes = self._loss.along(*begin, search.lengths, *of_rows, *ahead)
            trying = search.adjust(self._losses, slopes)
        self._penalties = search.penalties
        self._W += search.lengths * move
        after = self._of_models(self._losses + self._penalties)
        self.unfinished = ~np.isfinite(after)
        if not self._loss.quadratic:
            self.unfinished |= before - after > FINISHED * np.abs(after)

    def losses(self):
        """Those of each row by the models without it, of shape (n_rows, n_models)."""
        values = self._loss.each(self._begin + self._without(), self._models.targets)
        return values.reshape(len(values), self._models.n_models, -1).sum(axis=2)

    def _of_models(self, values):
        """The sums of what the columns, or Hessians, of each model have."""
        return values.reshape(self._models.n_models, -1).sum(axis=1)

    def _second_derivatives(self):
        """Those of losses, as much as rows weigh: (n_rows, n, n_outputs, n_outputs).

        Here and below, there are n Hessians: one for each model of a coupled loss, else one for each column.
        """
        k, scores = self._n_outputs, self._scores
        if k > 1:
            bends = self._loss.hessians(scores, self._models.targets)
        else:
            bends = self._loss.second_derivatives(scores, self._models.targets, self._masses)
        return bends.reshape(len(scores), -1, k, k) * self._masses[:, np.newaxis, np.newaxis, np.newaxis]

    def _vectors(self, columns):
        """An array of the shape of the weights as vectors of unknowns, of shape (n, n_outputs * n_features)."""
        f, k = len(columns), self._n_outputs
        return columns.reshape(f, -1, k).transpose(1, 2, 0).reshape(-1, k * f)

    def _columns(self, vectors):
        f, k = len(self._ridge), self._n_outputs
        return np.ascontiguousarray(vectors.reshape(-1, k, f).transpose(2, 0, 1)).reshape(f, -1)

    def _hessians(self):
        """Those of the objectives, summed over rows, (n, n_outputs * n_features, n_outputs * n_features); and units.

        They are those of unknowns in these units, in which each curves the objective alike.
        """
        bends = self._bends
        f, k, n_hessians = len(self._ridge), self._n_outputs, bends.shape[1]
        H, q = np.zeros((f, n_hessians * k * k * f)), k * f
        for part in self._stretches(n_hessians):
            X = self._X[part]
            H += X.T @ (bends[part].reshape(len(X), -1, 1) * X[:, np.newaxis]).reshape(len(X), -1)
        H = H.reshape(f, n_hessians, k, k, f).transpose(1, 2, 0, 3, 4).reshape(n_hessians, q, q)
        diagonal = np.einsum("iaa->ia", H)
        diagonal += self._vectors(self._ridge)
        units = np.sqrt(np.where(diagonal > 0, diagonal, 1))
        H /= units[:, np.newaxis] * units[..., np.newaxis]
        diagonal += TINY
        if k > 1 and f > self._models.rows.n_features:
            # The scores of all classes may be moved alike, and no loss tells.
            alike = units[:, f - 1 :: f] / np.linalg.norm(units[:, f - 1 :: f], axis=1, keepdims=True)
            H[:, f - 1 :: f, f - 1 :: f] += alike[:, np.newaxis] * alike[..., np.newaxis]
        return H, units

    def _without(self):
        """How far the scores of the models without each row are from those at the beginning of the last step."""
        f, k, n_hessians = len(self._ridge), self._n_outputs, len(self._H)
        inverse = np.linalg.inv(self._H) / (self._units[:, np.newaxis] * self._units[..., np.newaxis])
        flat = inverse.reshape(n_hessians, k, f, k, f).transpose(2, 0, 1, 3, 4).reshape(f, -1)
        A = np.empty((len(self._X), n_hessians * k * k))
        for part in self._stretches(n_hessians):
            X = self._X[part]
            A[part] = np.einsum("if,ijf->ij", X, (X @ flat).reshape(len(X), -1, f))
        A = A.reshape(self._bends.shape)
        pull = self._along.reshape(len(A), -1, k, 1) + A @ self._pull.reshape(len(A), -1, k, 1)
        if k == 1:
            change = pull / np.maximum(1 - A * self._bends, LEAST_LEFT)
        else:
            change = np.linalg.solve(np.eye(k) - A @ self._bends, pull)
        return change.reshape(self._along.shape)

    def _stretches(self, n_hessians):
        """Slices of rows of which there is room for the products with all pairs of outputs."""
        n_rows = max(STRETCH // (len(self._ridge) * n_hessians * self._n_outputs**2), 1)
        return [slice(begin, begin + n_rows) for begin in range(0, len(self._X), n_rows)]
