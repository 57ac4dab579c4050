# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""L-BFGS: the direction that pairs of moves and of changes of the gradient tell, and how far to go along it.

Vectors are those of a model: all its weights, one after the other. Models are independent.

References
----------
.. [1] J. Nocedal & S. Wright, "Numerical Optimization", 2nd ed., 2006, algorithm 7.4.
.. [2] W. Hager & H. Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search",
   SIAM J. Optimization, 2005: the approximate conditions of Wolfe.
"""

import numpy as np

from cython cimport floating
from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport fabs, fmax, fmin, isfinite
from libc.stdint cimport int64_t

from sgdkit._kernels.compiler cimport cloned


# The slope at the end of a step, over that at its beginning: of no less is too short a step, of more is one too long.
cdef double TOO_SHORT = 0.9, TOO_LONG = 0.8
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


def descend(
    const floating[:, :, ::1] moves, const floating[:, :, ::1] changes, const double[:, ::1] products,
    const int64_t[::1] counts, const floating[:, ::1] gradient, floating[:, ::1] direction, solve,
):
    """Write the direction of each model's next step; return the slopes of the objectives along them.

    Parameters
    ----------
    moves, changes : ndarray of shape (n_models, memory, n)
        Pairs of changes of the weights and of the gradient, in a ring.
    products : ndarray of float64 of shape (n_models, memory)
        Of the two.
    counts : ndarray of int64 of shape (n_models,)
        How many pairs there have been.
    gradient, direction : ndarray of shape (n_models, n)
    solve : callable
        Divides an array of shape (n_models, n) by the curvature to begin with, which the latest pair gives a size.

    Returns
    -------
    slopes : ndarray of float64 of shape (n_models,)
    """
    cdef Py_ssize_t n_models = gradient.shape[0], n = gradient.shape[1], memory = moves.shape[1], m, k, i, place
    cdef double[:, ::1] shares = np.empty((n_models, memory))
    slopes = np.empty(n_models)
    cdef double[::1] slope = slopes
    cdef floating[:, ::1] solved
    with nogil:
        for m in range(n_models):
            # Of a model that remembers nothing, the zeros have no part in what follows.
            for i in range(n):
                direction[m, i] = changes[m, (counts[m] - 1) % memory, i] if counts[m] > 0 else 0
    solved = solve(np.asarray(direction))
    with nogil:
        for m in range(n_models):
            slope[m] = -1
            if counts[m] > 0:
                place = (counts[m] - 1) % memory
                slope[m] = -products[m, place] / dot(&changes[m, place, 0], &solved[m, 0], n)
            for i in range(n):
                direction[m, i] = gradient[m, i]
            for k in range(min(counts[m], memory)):
                place = (counts[m] - 1 - k) % memory
                shares[m, place] = dot(&moves[m, place, 0], &direction[m, 0], n) / products[m, place]
                add_scaled(<floating> -shares[m, place], &changes[m, place, 0], &direction[m, 0], n)
    solved = solve(np.asarray(direction))
    with nogil:
        for m in range(n_models):
            for i in range(n):
                direction[m, i] = <floating> slope[m] * solved[m, i]
            for k in range(min(counts[m], memory) - 1, -1, -1):
                place = (counts[m] - 1 - k) % memory
                add_scaled(
                    <floating> (
                        -shares[m, place] - dot(&changes[m, place, 0], &direction[m, 0], n) / products[m, place]
                    ),
                    &moves[m, place, 0], &direction[m, 0], n,
                )
            slope[m] = dot(&gradient[m, 0], &direction[m, 0], n)
    return slopes


def remember(
    floating[:, :, ::1] moves, floating[:, :, ::1] changes, double[:, ::1] products, int64_t[::1] counts,
    const floating[:, ::1] start, const floating[:, ::1] end, const floating[:, ::1] gradient,
    const floating[:, ::1] end_gradient,
):
    """Add the pair of each model's last step, where the gradient has changed along it by more than rounding error.

    The first four are changed in place; see `descend`. The others have the shape (n_models, n).
    """
    cdef Py_ssize_t n = start.shape[1], memory = moves.shape[1], m, i
    cdef double product, square
    cdef floating* move
    cdef floating* change
    cdef double epsilon = FLT_EPSILON if floating is float else DBL_EPSILON
    with nogil:
        for m in range(start.shape[0]):
            move, change = &moves[m, counts[m] % memory, 0], &changes[m, counts[m] % memory, 0]
            for i in range(n):
                move[i] = end[m, i] - start[m, i]
                change[i] = end_gradient[m, i] - gradient[m, i]
            product, square = dot(move, change, n), dot(change, change, n)
            if isfinite(square) and product > epsilon * square and product > 0:
                products[m, counts[m] % memory] = product
                counts[m] += 1


def sums_of_products(const floating[:, ::1] A, const floating[:, ::1] B):
    """The sum of the products of each column of two arrays, in float64."""
    sums = np.zeros(A.shape[1])
    cdef double[::1] out = sums
    cdef Py_ssize_t i, c, m = A.shape[1]
    with nogil:
        if m == 1 and A.shape[0]:
            out[0] = dot(&A[0, 0], &B[0, 0], A.shape[0])
        else:
            for i in range(A.shape[0]):
                for c in range(m):
                    out[c] += <double> A[i, c] * B[i, c]
    return sums


cdef class Lengths:
    """How far to go along the direction of each model, found by the slope of its objective there.

    Objectives are convex, so slopes rise. A step is long enough where little of the slope is left, and not too long
    where it has not risen much above 0; and the objective, but for rounding error, has not. So small differences of
    large objectives decide nothing [2]_.

    Parameters
    ----------
    slopes : ndarray of float64 of shape (n_models,)
        At the beginning of the step. A model for which it is not below 0 stays where it is.
    objectives : ndarray of float64 of shape (n_models,)
        At the beginning.
    first : ndarray of bool of shape (n_models,)
        Whether nothing is known of the length that the direction has; then slopes are made smaller.
    single : bool
        Whether objectives are those of float32.

    Attributes
    ----------
    lengths : ndarray of float64 of shape (n_models,)
        In units of the direction; to be tried next, and in the end to be taken.
    """

    cdef readonly object lengths
    cdef const double[::1] slopes, objectives
    cdef object low, low_slope, high, high_slope, trying
    cdef double[::1] share_left
    cdef double noise
    cdef int n_tries

    def __init__(self, slopes, objectives, first, single):
        self.slopes, self.objectives = slopes, objectives
        self.trying = (slopes < 0).astype(np.uint8)
        self.lengths = np.where(slopes < 0, 1.0, 0.0)
        self.low, self.low_slope = np.zeros_like(slopes), np.array(slopes)
        self.high, self.high_slope = np.full_like(slopes, np.inf), np.full_like(slopes, np.inf)
        self.share_left = np.where(first, 0.1, TOO_SHORT)
        self.noise = NOISE * (FLT_EPSILON if single else DBL_EPSILON)

    def adjust(self, const double[::1] slopes, const double[::1] objectives):
        """Take in slopes and objectives at the lengths; change these, and return whether one is to be tried again."""
        cdef double[::1] t = self.lengths, low = self.low, high = self.high
        cdef double[::1] low_slope = self.low_slope, high_slope = self.high_slope
        cdef unsigned char[::1] trying = self.trying
        cdef double begin, slope, limit, ahead
        cdef Py_ssize_t m
        cdef bint rises, again = False
        self.n_tries += 1
        with nogil:
            for m in range(t.shape[0]):
                if not trying[m]:
                    continue
                begin, slope = self.slopes[m], slopes[m]
                limit = self.objectives[m] + self.noise * fabs(self.objectives[m])
                rises = not isfinite(slope) or slope > fmin(TOO_LONG, self.share_left[m]) * -begin
                rises = rises or not objectives[m] <= limit
                if not rises and slope >= self.share_left[m] * begin:
                    trying[m] = 0
                    continue
                if rises:
                    high[m], high_slope[m] = t[m], slope
                else:
                    # The slope falls short of 0 in a straight line from the last two.
                    ahead = t[m] - slope * (t[m] - low[m]) / (slope - low_slope[m])
                    low[m], low_slope[m] = t[m], slope
                if self.n_tries >= MOST_TRIES or low[m] >= (1 - 4 * DBL_EPSILON) * high[m]:
                    trying[m] = self.n_tries <= MOST_TRIES and t[m] != low[m]
                    t[m] = low[m]
                elif isfinite(high[m]):
                    t[m] = between(low[m], low_slope[m], high[m], high_slope[m], self.n_tries)
                else:
                    t[m] = fmin(fmax(ahead, 1.5 * t[m]), GROW * t[m]) if ahead > t[m] else GROW * t[m]
                again |= trying[m]
        return again


cdef inline double between(double low, double low_slope, double high, double high_slope, int n_tries) noexcept nogil:
    """Where the slope is 0 on a straight line, or near there; where it has overflowed, nearer to where it has not."""
    cdef double share = 0.5
    if not isfinite(high_slope):
        share = AFTER_OVERFLOW
    elif n_tries % 3 and high_slope > 0:
        share = fmin(fmax(low_slope / (low_slope - high_slope), MARGIN), 1 - MARGIN)
    return low + share * (high - low)
