# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""L-BFGS: the direction that pairs of moves and of changes of the gradient tell, and how far to go along it.

Arrays have the shape of the weights, (n_features + 1, n_columns). Models are independent; the columns of each stand
next to each other, and are one vector.

References
----------
.. [1] J. Nocedal & S. Wright, "Numerical Optimization", 2nd ed., 2006, algorithm 7.4.
.. [2] W. Hager & H. Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search",
   SIAM J. Optimization, 2005: the approximate conditions of Wolfe.
"""

import numpy as np

from cython cimport floating
from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport INFINITY, fabs, fmax, fmin, isfinite

from sgdkit._kernels.compiler cimport cloned


# Of the objective, what may be rounding error, in units of the last place.
cdef double NOISE = 10
# A step grows by no more at a time; and shrinks to this share where the objective has overflowed.
cdef double GROW = 5, AFTER_OVERFLOW = 0.1
# Of the bracket, so much is kept away from at both ends; every third try halves it.
cdef double MARGIN = 0.05
cdef enum:
    MOST_TRIES = 30


cdef cloned accumulate_product(const floating* a, const floating* b, Py_ssize_t n, double* result) noexcept nogil:
    """In eight parts, which the compiler puts side by side."""
    cdef double total = 0
    cdef floating parts[8]
    cdef Py_ssize_t i, k, first, last
    for first in range(0, n, 4096):
        last = min(first + 4096, n)
        for k in range(8):
            parts[k] = 0
        for i in range(first, last - 7, 8):
            for k in range(8):
                parts[k] += a[i + k] * b[i + k]
        for i in range(last - (last - first) % 8, last):
            parts[0] += a[i] * b[i]
        for k in range(8):
            total += parts[k]
    result[0] = total


cdef inline double dot(const floating* a, const floating* b, Py_ssize_t n) noexcept nogil:
    cdef double result = 0
    accumulate_product(a, b, n, &result)
    return result


cdef cloned add_scaled(floating factor, const floating* a, floating* b, Py_ssize_t n) noexcept nogil:
    """``b += factor * a``."""
    cdef Py_ssize_t i
    for i in range(n):
        b[i] += factor * a[i]


cdef void of_models(
    const floating* a, const floating* b, Py_ssize_t n, Py_ssize_t n_columns, double[::1] products, double* columns,
) noexcept nogil:
    """Write the product of each model's vectors; there is room to work in for the columns."""
    cdef Py_ssize_t n_models = products.shape[0], n_outputs = n_columns // n_models, m, c
    if n_models == 1:
        products[0] = dot(a, b, n * n_columns)
        return
    accumulate_products(a, b, n, n_columns, columns)
    for m in range(n_models):
        products[m] = 0
        for c in range(m * n_outputs, (m + 1) * n_outputs):
            products[m] += columns[c]


cdef cloned accumulate_products(
    const floating* a, const floating* b, Py_ssize_t n, Py_ssize_t n_columns, double* columns,
) noexcept nogil:
    """Column by column."""
    cdef Py_ssize_t i, c
    for c in range(n_columns):
        columns[c] = 0
    for i in range(n):
        for c in range(n_columns):
            columns[c] += <double> a[i * n_columns + c] * b[i * n_columns + c]


cdef void add_scaled_models(
    const double[::1] factors, const floating* a, floating* b, Py_ssize_t n, Py_ssize_t n_columns, floating* columns,
) noexcept nogil:
    """``b += factor * a`` with the factor of each model; there is room to work in for the columns."""
    cdef Py_ssize_t n_outputs = n_columns // factors.shape[0], c
    if n_outputs == n_columns:
        add_scaled(<floating> factors[0], a, b, n * n_columns)
        return
    for c in range(n_columns):
        columns[c] = <floating> factors[c // n_outputs]
    add_scaled_columns(columns, a, b, n, n_columns)


cdef cloned add_scaled_columns(
    const floating* factors, const floating* a, floating* b, Py_ssize_t n, Py_ssize_t n_columns,
) noexcept nogil:
    cdef Py_ssize_t i, c
    for i in range(n):
        for c in range(n_columns):
            b[i * n_columns + c] += factors[c] * a[i * n_columns + c]


def descend(
    const floating[:, :, ::1] moves, const floating[:, :, ::1] changes, const double[:, ::1] products,
    Py_ssize_t n_pairs, const floating[:, ::1] gradient, solve,
):
    """Return the direction of each model's next step, and the slopes of the objectives along them.

    Parameters
    ----------
    moves, changes : ndarray of shape (memory, n_features + 1, n_columns)
        Pairs of changes of the weights and of the gradient, in a ring.
    products : ndarray of float64 of shape (memory, n_models)
        Of the two; 0 where a model has no such pair, which then is one of zeros.
    n_pairs : int
        How many there have been.
    gradient : ndarray of shape (n_features + 1, n_columns)
    solve : callable
        Divides two arrays of the shape of the gradient, one after the other in one array, by the curvature to begin
        with, which the latest pair gives a size.

    Returns
    -------
    direction : ndarray of shape (n_features + 1, n_columns)
    slopes : ndarray of float64 of shape (n_models,)
    """
    cdef Py_ssize_t memory = moves.shape[0], n = gradient.shape[0], n_columns = gradient.shape[1]
    cdef Py_ssize_t n_models = products.shape[1], n_outputs = n_columns // n_models, n_known = min(n_pairs, memory)
    cdef Py_ssize_t m, k, i, c, place
    dtype = np.float32 if floating is float else np.float64
    both = np.empty((2, n, n_columns), dtype)
    cdef floating[:, :, ::1] parts = both, solved
    cdef double[:, ::1] shares = np.zeros((memory, n_models))
    cdef double[::1] values = np.empty(n_models), factors = np.empty(n_models), columns = np.empty(n_columns)
    cdef floating[::1] room = np.empty(n_columns, dtype)
    cdef Py_ssize_t[::1] latest = np.zeros(n_models, np.intp)
    slopes = np.empty(n_models)
    cdef double[::1] slope = slopes
    cdef floating* direction
    with nogil:
        for m in range(n_models):
            for k in range(n_known):
                latest[m] = (n_pairs - 1 - k) % memory
                if products[latest[m], m] > 0:
                    break
        for i in range(n):
            for c in range(n_columns):
                m = c // n_outputs
                # Of a model that remembers nothing, the zeros have no part in what follows.
                parts[0, i, c] = changes[latest[m], i, c] if products[latest[m], m] > 0 else 0
                parts[1, i, c] = gradient[i, c]
        for k in range(n_known):
            place = (n_pairs - 1 - k) % memory
            of_models(&moves[place, 0, 0], &parts[1, 0, 0], n, n_columns, values, &columns[0])
            for m in range(n_models):
                shares[place, m] = values[m] / products[place, m] if products[place, m] > 0 else 0
                factors[m] = -shares[place, m]
            add_scaled_models(factors, &changes[place, 0, 0], &parts[1, 0, 0], n, n_columns, &room[0])
    solved = solve(both)
    with nogil:
        of_models(&parts[0, 0, 0], &solved[0, 0, 0], n, n_columns, values, &columns[0])
        for m in range(n_models):
            factors[m] = -products[latest[m], m] / values[m] if products[latest[m], m] > 0 else -1
        direction = &parts[0, 0, 0]
        for i in range(n):
            for c in range(n_columns):
                parts[0, i, c] = <floating> factors[c // n_outputs] * solved[1, i, c]
        for k in range(n_known - 1, -1, -1):
            place = (n_pairs - 1 - k) % memory
            of_models(&changes[place, 0, 0], direction, n, n_columns, values, &columns[0])
            for m in range(n_models):
                factors[m] = 0
                if products[place, m] > 0:
                    factors[m] = -shares[place, m] - values[m] / products[place, m]
            add_scaled_models(factors, &moves[place, 0, 0], direction, n, n_columns, &room[0])
        of_models(&gradient[0, 0], direction, n, n_columns, slope, &columns[0])
    return both[0], slopes


def remember(
    floating[:, ::1] moves, floating[:, ::1] changes, double[::1] products, const floating[:, ::1] start,
    const floating[:, ::1] end, const floating[:, ::1] gradient, const floating[:, ::1] end_gradient,
):
    """Write the pair of each model's last step; zeros where its gradient has not changed by more than rounding error.

    The first three are parts of what `descend` takes. The others have the shape (n_features + 1, n_columns).
    """
    cdef Py_ssize_t n = start.shape[0], n_columns = start.shape[1], n_models = products.shape[0], m, i, c
    cdef Py_ssize_t n_outputs = n_columns // n_models
    cdef double[::1] squares = np.empty(n_models), columns = np.empty(n_columns)
    cdef double epsilon = FLT_EPSILON if floating is float else DBL_EPSILON
    with nogil:
        for i in range(n):
            for c in range(n_columns):
                moves[i, c] = end[i, c] - start[i, c]
                changes[i, c] = end_gradient[i, c] - gradient[i, c]
        of_models(&moves[0, 0], &changes[0, 0], n, n_columns, products, &columns[0])
        of_models(&changes[0, 0], &changes[0, 0], n, n_columns, squares, &columns[0])
        for m in range(n_models):
            if isfinite(squares[m]) and products[m] > epsilon * squares[m] and products[m] > 0:
                continue
            products[m] = 0
            for i in range(n):
                for c in range(m * n_outputs, (m + 1) * n_outputs):
                    moves[i, c] = changes[i, c] = 0


def parabola(const floating[:, ::1] weights, const floating[:, ::1] direction, const double[:, :] curvature):
    """How the penalty of each column, ``curvature * weight^2 / 2``, changes along a direction.

    Parameters
    ----------
    weights, direction : ndarray of shape (n_features + 1, n_columns)
    curvature : ndarray of float64 of shape (n_features, n_columns)
        The intercepts, which come last, have none.

    Returns
    -------
    slopes, curvatures : ndarray of float64 of shape (n_columns,)
        In units of the direction.
    """
    cdef Py_ssize_t n_columns = weights.shape[1], i, c
    slopes, curvatures = np.zeros((2, n_columns))
    cdef double[::1] slope = slopes, square = curvatures
    cdef double bend
    with nogil:
        for i in range(curvature.shape[0]):
            for c in range(n_columns):
                bend = curvature[i, c] * direction[i, c]
                slope[c] += bend * weights[i, c]
                square[c] += bend * direction[i, c]
    return slopes, curvatures


def sums_of_products(const floating[:, ::1] A, const floating[:, ::1] B):
    """The sum of the products of each column of two arrays, in float64."""
    sums = np.zeros(A.shape[1])
    cdef double[::1] out = sums, columns = np.empty(A.shape[1])
    if A.size:
        with nogil:
            # As if each column were a model.
            of_models(&A[0, 0], &B[0, 0], A.shape[0], A.shape[1], out, &columns[0])
    return sums


cdef class Lengths:
    """How far to go along the direction of each model, found by the slope of its objective there.

    Objectives are convex, so slopes rise. A step is long enough where little of the slope is left, and not too long
    where it has risen as little above 0; and the objective, but for rounding error, has not. So small differences of
    large objectives decide nothing [2]_.

    Parameters
    ----------
    slopes : ndarray of float64 of shape (n_models,)
        At the beginning of the step. A model for which it is not below 0 stays where it is.
    losses, penalties : ndarray of float64 of shape (n_columns,)
        The sums of losses over rows, and the penalties, at the beginning.
    penalty_slopes, penalty_curvatures : ndarray of float64 of shape (n_columns,)
        See `parabola`.
    n_rows : int
    share_left : ndarray of float64 of shape (n_models,)
        A step ends where the slope is no more than this share of that at its beginning, on either side of 0.
    single : bool
        Whether objectives are those of float32.

    Attributes
    ----------
    lengths : ndarray of float64 of shape (n_columns,)
        In units of the direction; to be tried next, and in the end to be taken.
    penalties : ndarray of float64 of shape (n_columns,)
        Those of the last try.
    """

    cdef readonly object lengths, penalties
    cdef const double[::1] slopes, begin_penalties, penalty_slopes, penalty_curvatures
    cdef const double[::1] share_left
    cdef double[::1] objectives, t, low, low_slope, high, high_slope
    cdef unsigned char[::1] trying
    cdef double noise
    cdef Py_ssize_t n_rows, n_outputs
    cdef int n_tries

    def __init__(
        self, slopes, const double[::1] losses, penalties, penalty_slopes, penalty_curvatures, n_rows,
        const double[::1] share_left, single,
    ):
        cdef Py_ssize_t n_models = slopes.shape[0], m, c
        self.slopes, self.begin_penalties, self.share_left = slopes, penalties, share_left
        self.penalty_slopes, self.penalty_curvatures = penalty_slopes, penalty_curvatures
        self.n_rows, self.n_outputs = n_rows, losses.shape[0] // n_models
        self.noise = NOISE * (FLT_EPSILON if single else DBL_EPSILON)
        self.lengths, self.penalties = np.empty((2, losses.shape[0]))
        self.trying = np.empty(n_models, np.uint8)
        self.t, self.low, self.low_slope, self.high, self.high_slope, self.objectives = np.empty((6, n_models))
        for m in range(n_models):
            self.trying[m] = self.slopes[m] < 0
            self.t[m] = self.trying[m]
            self.low[m], self.low_slope[m] = 0, self.slopes[m]
            self.high[m] = self.high_slope[m] = INFINITY
            self.objectives[m] = 0
            for c in range(m * self.n_outputs, (m + 1) * self.n_outputs):
                self.objectives[m] += losses[c] / n_rows + self.begin_penalties[c]
        self._publish()

    cdef void _publish(self):
        cdef double[::1] lengths = self.lengths
        cdef Py_ssize_t c
        for c in range(lengths.shape[0]):
            lengths[c] = self.t[c // self.n_outputs]

    def adjust(self, const double[::1] losses, const double[::1] slopes):
        """Take in what the lengths lead to; change these, and return whether one is to be tried again.

        Parameters
        ----------
        losses, slopes : ndarray of float64 of shape (n_columns,)
            The sums of losses over rows at the lengths, and their derivatives with respect to the lengths.
        """
        cdef double[::1] t = self.t, low = self.low, high = self.high, penalties = self.penalties
        cdef double[::1] low_slope = self.low_slope, high_slope = self.high_slope
        cdef double begin, slope, objective, limit, ahead
        cdef Py_ssize_t m, c
        cdef bint rises, again = False
        self.n_tries += 1
        with nogil:
            for m in range(t.shape[0]):
                slope = objective = 0
                for c in range(m * self.n_outputs, (m + 1) * self.n_outputs):
                    penalties[c] = self.begin_penalties[c] + t[m] * (
                        self.penalty_slopes[c] + t[m] * self.penalty_curvatures[c] / 2
                    )
                    objective += losses[c] / self.n_rows + penalties[c]
                    slope += slopes[c] / self.n_rows + self.penalty_slopes[c] + t[m] * self.penalty_curvatures[c]
                if not self.trying[m]:
                    continue
                begin = self.slopes[m]
                limit = self.objectives[m] + self.noise * fabs(self.objectives[m])
                rises = not isfinite(slope) or slope > self.share_left[m] * -begin
                rises = rises or not objective <= limit
                if not rises and slope >= self.share_left[m] * begin:
                    self.trying[m] = 0
                    continue
                if rises:
                    high[m], high_slope[m] = t[m], slope
                else:
                    # The slope falls short of 0 in a straight line from the last two.
                    ahead = t[m] - slope * (t[m] - low[m]) / (slope - low_slope[m])
                    low[m], low_slope[m] = t[m], slope
                if self.n_tries >= MOST_TRIES or low[m] >= (1 - 4 * DBL_EPSILON) * high[m]:
                    self.trying[m] = self.n_tries <= MOST_TRIES and t[m] != low[m]
                    t[m] = low[m]
                elif isfinite(high[m]):
                    t[m] = between(low[m], low_slope[m], high[m], high_slope[m], self.n_tries)
                else:
                    t[m] = fmin(fmax(ahead, 1.5 * t[m]), GROW * t[m]) if ahead > t[m] else GROW * t[m]
                again |= self.trying[m]
        if again:
            self._publish()
        return again


cdef inline double between(double low, double low_slope, double high, double high_slope, int n_tries) noexcept nogil:
    """Where the slope is 0 on a straight line, or near there; where it has overflowed, nearer to where it has not."""
    cdef double share = 0.5
    if not isfinite(high_slope):
        share = AFTER_OVERFLOW
    elif n_tries % 3 and high_slope > 0:
        share = fmin(fmax(low_slope / (low_slope - high_slope), MARGIN), 1 - MARGIN)
    return low + share * (high - low)
