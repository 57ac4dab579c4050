"""The space that few rows span, where features are many.

Gradients of losses lie in it, and so do weights that begin at 0 and are all penalised alike, by an l2 norm. So training
can take place there, in as many dimensions as there are rows: scores and norms are the same.
"""

import numpy as np

from sgdkit._kernels.rows import Rows

# Rows are so many times fewer than features, and no more than these.
FEATURES_A_ROW, MOST_ROWS = 2, 1000
# With fewer features, a product takes less time than a call.
FEWEST_FEATURES = 1000


class Span:
    """Coordinates along the principal axes of the rows ``X = U S V'``, of which ``V`` is never formed.

    The products of the rows, ``X X' = U S^2 U'``, tell the coordinates of each, ``U S``, and how weights c there become
    those of features: ``V c = X' U S^-1 c``.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    products : ndarray of float64 of shape (n_rows, n_rows)

    Attributes
    ----------
    rows : Rows
        Their coordinates, of shape (n_rows, n_rows).
    """

    def __init__(self, X, products):
        squares, axes = np.linalg.eigh(products)
        known = squares > len(squares) * np.finfo(np.float64).eps * squares[-1]
        sizes = np.sqrt(np.where(known, squares, 0))
        self.rows = Rows((sizes * axes).astype(X.dtype))
        self._X, self._back = X, (axes / np.where(known, sizes, np.inf)).astype(X.dtype)

    def weights(self, coordinates):
        """The weights of features, given those along the axes; the intercepts come last in both."""
        return np.append(self._X.T @ (self._back @ coordinates[:-1]), coordinates[-1:], axis=0)

    def coordinates(self, intercepts):
        """Those of weights that are 0, but for the intercepts, of shape (n_columns,)."""
        return np.append(
            np.zeros((self.rows.n_rows, len(intercepts)), intercepts.dtype), [intercepts], axis=0
        )


def span_of(rows):
    """The `Span` of dense rows in memory that are far fewer than their features; None of others."""
    if not 0 < rows.n_rows <= min(MOST_ROWS, rows.n_features / FEATURES_A_ROW):
        return None
    if rows.n_features < FEWEST_FEATURES or rows.mapped or not isinstance(rows.X, np.ndarray):
        return None
    X = rows.X.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        products = X @ X.T
    return Span(rows.X, products) if np.isfinite(products).all() else None
