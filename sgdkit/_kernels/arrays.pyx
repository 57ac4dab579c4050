# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""What NumPy has no call for, or several where one pass over the numbers is enough."""

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint64_t

from sgdkit._kernels.compiler cimport SGDKIT_PREFETCH, cloned
from sgdkit._kernels.rows cimport ROWS, Rows, begin, get_row, look

# The columns of `add_moments`.
N_MOMENTS = 6

cdef enum:
    # By so many non-zeros moments are asked for before their turn, of features so many that memory is waited for.
    FETCH = 32
    MANY_FEATURES = 1 << 13


def add_moments(Rows rows, const floating[::1] origin, order, const double[::1] weights, double[:, ::1] moments):
    """Add up, feature by feature, what the visited rows show of it.

    Parameters
    ----------
    rows : Rows
    origin : ndarray of shape (n_features,)
        Of the dtype of the rows; values are taken as their distance from it.
    order : ndarray of int64, or None
        The rows to visit; None stands for all.
    weights : ndarray of shape (n_rows,)
        Empty for weights of 1.
    moments : ndarray of shape (n_features, 6)
        They are increased by the number of non-zeros, the sum of their weights, their weighted sum and sum of squares;
        and by the weighted sums of the numbers of non-zeros in their rows, and of those times the squared values.

    Raises
    ------
    ValueError
        With the moments half done, where nobody had looked at the rows before, and one is not valid or not finite.
    """
    if order is not None:
        rows.check()
    values, indices = rows.buffers()
    cdef floating[::1] value_buffer = values
    cdef int32_t[::1] index_buffer = indices
    cdef const int64_t[::1] visited = np.empty(0, np.int64) if order is None else order
    cdef bint everything = order is None, looks = not rows.checked, valid = True
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, k, n, row, n_visits = rows.n_rows if everything else visited.shape[0]
    cdef double weight = 1, value
    cdef double* moment
    # Where neighbours in the matrix are neighbours in the order, but for some rows, and none is copied to be read.
    cdef bint fetches = rows.n_features > MANY_FEATURES and not rows.dense and not rows.wide
    cdef const int32_t* stored = <const int32_t*> rows.indices
    cdef Py_ssize_t ahead, n_stored = begin(rows, rows.n_rows)
    with nogil:
        for i in range(n_visits):
            if looks and i % ROWS == 0:
                valid = look(rows, i, min(i + ROWS, n_visits))
                if not valid:
                    break
            row = i if everything else visited[i]
            n = get_row(rows, row, &value_buffer[0], &index_buffer[0], &x, &features)
            if weights.shape[0]:
                weight = weights[row]
            ahead = begin(rows, row) + FETCH if fetches else n_stored
            for k in range(n):
                if ahead + k < n_stored:
                    moment = &moments[stored[ahead + k], 0]
                    SGDKIT_PREFETCH(moment)
                    SGDKIT_PREFETCH(moment + 5)
                    SGDKIT_PREFETCH(&origin[stored[ahead + k]])
                moment = &moments[features[k], 0]
                value = <double> x[k] - <double> origin[features[k]]
                moment[0] += 1
                moment[1] += weight
                moment[2] += weight * value
                moment[3] += weight * value * value
                moment[4] += weight * n
                moment[5] += weight * n * (<double> x[k]) * (<double> x[k])
    if not valid:
        rows.check()
    rows.checked = True


def combine(const floating[:, ::1] A, const floating[:, ::1] B, a, b, c):
    """``a * A + b * B + c``, with a number for each column of the arrays in a, b and c."""
    dtype = np.float32 if floating is float else np.float64
    result = np.empty((A.shape[0], A.shape[1]), dtype)
    cdef floating[:, ::1] out = result
    cdef const floating[::1] of_A = a, of_B = b, constant = c
    cdef Py_ssize_t i, k
    with nogil:
        for i in range(A.shape[0]):
            for k in range(A.shape[1]):
                out[i, k] = of_A[k] * A[i, k] + of_B[k] * B[i, k] + constant[k]
    return result


def shuffle_stretch(int32_t[:, ::1] orders, const uint64_t[:, ::1] randoms, Py_ssize_t last):
    """Draw the numbers for the places `last`, `last - 1`, ... of orders from those not yet drawn (Fisher & Yates).

    A random number of 32 bits times the number of candidates, without its lowest 32 bits, is the candidate's place
    (Lemire, 2019, without his correction of a bias that is below n / 2^32).
    """
    cdef Py_ssize_t i, k
    cdef uint64_t place
    cdef int32_t drawn
    with nogil:
        for i in range(orders.shape[0]):
            for k in range(randoms.shape[1]):
                place = ((randoms[i, k] >> 32) * <uint64_t> (last - k + 1)) >> 32
                drawn = orders[i, place]
                orders[i, place] = orders[i, last - k]
                orders[i, last - k] = drawn


def falling_rates(const double[::1] steps, const double[::1] first, const double[::1] slopes):
    """``first[c] / (1 + slopes[c] * steps[k])`` in row k and column c of a new array, in one pass over it."""
    cdef Py_ssize_t n = steps.shape[0], m = first.shape[0], k
    rates = np.empty((n, m))
    cdef double[:, ::1] view = rates
    with nogil:
        for k in range(n):
            if m:
                fall(&first[0], &slopes[0], steps[k], m, &view[k, 0])
    return rates


cdef cloned fall(const double* first, const double* slopes, double step, Py_ssize_t m, double* rates) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(m):
        rates[c] = first[c] / (1 + slopes[c] * step)
