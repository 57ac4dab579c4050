"""The curvature of an objective along some directions: those of the features, or the principal axes of the rows.

It is about the diagonal of the Hessian in these directions. The less correlated they are, the nearer is its inverse to
that of the Hessian.
"""

from functools import cached_property

import numpy as np

from sgdkit.optimizers.blocks import with_ones

# The least curvature along an axis, as a share of the mean, since rows that are not looked at may add to it.
LEAST_SHARE = 1e-3
# Rows that are projected onto the axes at a time.
STRETCH = 1 << 9


class Features:
    """The features themselves, and the intercept: along each, losses are curved as they are in the mean.

    Parameters
    ----------
    rows : AllRows
    places : ndarray of intp
        Of the rows that tell how losses are curved.
    chosen : Block, default=None
        These rows, where they are at hand.
    """

    def __init__(self, rows, places, chosen=None):
        self._rows, self._places = rows, places
        self._chosen = rows.choose(places) if chosen is None else chosen

    @cached_property
    def _mean_squares(self):
        return self._rows.mean_squares()[:, np.newaxis]

    def _second_derivatives(self, scores):
        """Those of the losses of the chosen rows, of shape (n_chosen, n_models)."""
        return self._rows.second_derivatives(self._chosen, self._places, scores)

    def _of_losses(self, scores):
        """The mean curvature of losses along each direction; and that of losses whose second derivative is 1."""
        return self._mean_squares * self._second_derivatives(scores).mean(axis=0), self._mean_squares

    def _of_penalty(self, ridge):
        return ridge

    def metric(self, scores, penalty):
        """About the curvature of the objective along each direction, given the scores of all rows.

        It is the mean over rows of the second derivative of the loss times the square of the row's coordinate, and what
        the penalty adds. Columns that share a loss have their mean. It broadcasts against the weights.
        """
        of_losses, squares = self._of_losses(scores)
        flat = ~(of_losses.mean(axis=0) > 0)
        if flat.any():
            # No row curves the loss here, where all are far from their targets.
            of_losses[:, flat] = squares
        if of_losses.shape[1] > 1:
            of_losses = of_losses.repeat(scores.shape[1] // of_losses.shape[1], axis=1)
        bends = np.atleast_2d(penalty.curvature)
        ridge = np.zeros((len(of_losses), bends.shape[1]))
        ridge[:-1] = bends
        return positive(np.asarray(of_losses + self._of_penalty(ridge), scores.dtype))

    def divide(self, vectors, metric):
        """Divide arrays of the shape of the weights, one after the other in `vectors`, by a metric."""
        return vectors / metric


class Axes(Features):
    """The principal axes of some rows, intercepts included.

    Parameters
    ----------
    rows : AllRows
    places : ndarray of intp
        Of these rows.

    Attributes
    ----------
    vectors : ndarray of shape (n_features + 1, n_features + 1)
        Orthogonal; an axis is a column.
    """

    def __init__(self, rows, places):
        super().__init__(rows, places, rows.blocks.take(places))
        X = with_ones(self._chosen.X)
        if rows.blocks.here:
            # Scores of these rows will be among those of all.
            self._chosen.X = None
        X[:, -1] = rows.fit_intercept
        weighted = X
        if self._chosen.row_weights is not None:
            row_weights = self._chosen.row_weights.reshape(len(X), -1).mean(axis=1, keepdims=True)
            weighted = X * np.sqrt(row_weights)
        _, vectors = eigh((weighted.T @ weighted).astype(np.float64) / len(X))
        self.vectors = vectors.astype(X.dtype)
        # In the place of the rows, which are needed no more.
        for begin in range(0, len(X), STRETCH):
            part = X[begin : begin + STRETCH]
            np.square(part @ self.vectors, out=part)
        self._squares = X

    def _of_losses(self, scores):
        second = self._second_derivatives(scores)
        return at_least(self._squares.T @ second / len(second)), self._mean_squares

    @cached_property
    def _mean_squares(self):
        return at_least(self._squares.mean(axis=0)[:, np.newaxis])

    def _of_penalty(self, ridge):
        return np.square(self.vectors[:-1], dtype=np.float64).T @ ridge[:-1]

    def divide(self, vectors, metric):
        return self.vectors @ (self.vectors.T @ vectors / metric)


class GramAxes(Axes):
    """The principal axes of all rows, for squared errors, whose curvature is the same everywhere.

    Parameters
    ----------
    rows : GramRows
    """

    def __init__(self, rows):
        gram, squares, vectors = rows.gram, np.square(rows.roots), rows.vectors
        if not rows.fit_intercept:
            gram = gram.copy()
            gram[-1] = gram[:, -1] = 0
            squares, vectors = eigh(gram)
        self.vectors = vectors.astype(rows.dtype)
        self._mean_squares = at_least(squares[:, np.newaxis] / rows.n_rows)

    def _of_losses(self, scores):
        return self._mean_squares.copy(), self._mean_squares


def at_least(curvature):
    """That along axes, where it is not next to nothing beside the mean."""
    return np.maximum(curvature, LEAST_SHARE * curvature.mean(axis=0))


def positive(metric):
    """A metric with 1 in the place of what cannot be divided by."""
    if np.isinf(metric).any():
        raise ValueError(
            "The squares of features overflow. Scale them, for instance with sklearn.preprocessing.StandardScaler "
            "or MaxAbsScaler."
        )
    metric[~(metric > 0)] = 1
    return metric


def eigh(matrix):
    """The eigenvalues and eigenvectors of a positive semi-definite matrix; of the identity where it has overflowed."""
    if not np.isfinite(matrix).all():
        return np.ones(len(matrix)), np.eye(len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    return values.clip(0), vectors
