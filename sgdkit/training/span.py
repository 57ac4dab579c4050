"""The space that few rows span, where features are many.

Gradients of losses lie in it, and so do weights that begin at 0 and are all penalised alike, by an l2 norm. So training
can take place there, in as many dimensions as there are rows: scores and norms are the same.
"""

import numpy as np
from scipy.linalg import eigh

from sgdkit._kernels.rows import Rows

# Rows are so many times fewer than features, and no more than these.
FEATURES_A_ROW, MOST_ROWS = 2, 1000
# With fewer features, a product takes less time than a call.
FEWEST_FEATURES = 1000
# Values that are multiplied at a time.
STRETCH = 1 << 17


class Span:
    """Coordinates along the principal axes of the rows ``X = U S V'``, of which ``V`` is never formed.

    The products of the rows, ``X X' = U S^2 U'``, tell the coordinates of each, ``U S``, and how weights c there become
    those of features: ``V c = X' U S^-1 c``.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    squares, axes : ndarray of float64 of shape (n_rows,), (n_rows, n_rows)
        The eigenvalues of the products of rows, in rising order, and the eigenvectors, which are overwritten.

    Attributes
    ----------
    rows : Rows
        Their coordinates, of shape (n_rows, n_rows).
    """

    def __init__(self, X, squares, axes):
        known = squares > len(squares) * np.finfo(np.float64).eps * squares[-1]
        axes *= np.sqrt(np.where(known, squares, 0))
        self.rows = Rows(axes.astype(X.dtype, copy=False), owned=True)
        self._X, self._squares = X, np.where(known, squares, np.inf)[:, np.newaxis]

    def weights(self, coordinates):
        """The weights of features, given those along the axes; the intercepts come last in both."""
        back = (coordinates[:-1] / self._squares).astype(self._X.dtype)
        return np.append(self._X.T @ (self.rows.X @ back), coordinates[-1:], axis=0)

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
    with np.errstate(over="ignore", invalid="ignore"):
        products = _products(rows.X)
    if not np.isfinite(products).all():
        return None
    # In no more room than the result takes, where NumPy's function takes four times as much; transposed, it is theirs.
    squares, axes = eigh(products.T, overwrite_a=True, check_finite=False, driver="evr")
    del products
    return Span(rows.X, squares, axes)


def _products(X):
    """The products of rows, in float64."""
    if X.dtype == np.float64:
        return X @ X.T
    # Part by part, to take no room for all of them in float64.
    products, width = np.zeros((len(X), len(X))), max(STRETCH // len(X), 1)
    for begin in range(0, X.shape[1], width):
        part = X[:, begin : begin + width].astype(np.float64)
        products += part @ part.T
    return products
