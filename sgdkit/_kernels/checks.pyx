# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""One look at many numbers, as fast as memory gives them: whether they are zero, finite, small, or indices."""

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t

from sgdkit._kernels.compiler cimport cloned
from sgdkit._kernels.scores cimport index_t


ctypedef fused bits_t:
    uint32_t
    uint64_t


cdef enum:
    # Numbers that are looked at in one go.
    STRETCH = 4096


cdef void look_at_values(
    const void* values, bint single, Py_ssize_t begin, Py_ssize_t end, bint* zeros, bint* finite,
) noexcept nogil:
    """Whether there are zeros among values, and whether all are finite: not all bits of the exponent are set.

    Integers are compared as fast as memory gives them; comparisons of floating-point numbers are not vectorised.
    """
    cdef uint32_t zero = 0, odd = 0
    cdef uint64_t long_zero = 0, long_odd = 0
    if single:
        look_at((<const uint32_t*> values) + begin, end - begin, <uint32_t> 0x7f800000, &zero, &odd)
    else:
        look_at(
            (<const uint64_t*> values) + begin, end - begin, <uint64_t> 0x7ff0000000000000, &long_zero, &long_odd,
        )
    zeros[0], finite[0] = (zero | long_zero) != 0, (odd | long_odd) == 0


cdef cloned look_at(const bits_t* bits, Py_ssize_t n, bits_t exponent, bits_t* zeros, bits_t* odd) noexcept nogil:
    # In registers, until the end.
    cdef bits_t any_zero = 0, any_odd = 0
    cdef Py_ssize_t k
    for k in range(n):
        any_zero |= <bits_t> ((bits[k] << 1) == 0)
        any_odd |= <bits_t> ((bits[k] & exponent) == exponent)
    zeros[0], odd[0] = any_zero, any_odd


cdef bint look_at_indices(
    const index_t* indices, Py_ssize_t n, Py_ssize_t n_features, Py_ssize_t* falls,
) noexcept nogil:
    """Whether all of `n` indices are those of features; and how many are no higher than the one before."""
    cdef index_t outside
    count_falls(indices, n, <index_t> (n_features - 1), falls, &outside)
    return not outside


cdef cloned count_falls(
    const index_t* indices, Py_ssize_t n, index_t last, Py_ssize_t* falls, index_t* outside,
) noexcept nogil:
    """How many of `n` indices are no higher than the one before, and whether any is not one of 0, ..., last."""
    cdef Py_ssize_t k, begin = 1
    cdef int falls_here
    cdef index_t any_outside = (indices[0] < 0) | (indices[0] > last)
    falls[0] = 0
    while begin < n:
        # Counted in 32 bits, so that the compiler counts several at once.
        falls_here = 0
        for k in range(begin, min(begin + STRETCH, n)):
            falls_here += indices[k] <= indices[k - 1]
            any_outside |= <index_t> ((indices[k] < 0) | (indices[k] > last))
        falls[0] += falls_here
        begin += STRETCH
    outside[0] = any_outside


def any_outside(const index_t[::1] indices, Py_ssize_t n_features):
    """Whether an index is that of no feature."""
    cdef Py_ssize_t falls
    cdef bint valid = True
    if indices.shape[0]:
        with nogil:
            valid = look_at_indices(&indices[0], indices.shape[0], n_features, &falls)
    return not valid


def longest_row(const index_t[::1] begins):
    """The number of values that the longest row has; below 0 where a row ends before it begins."""
    cdef Py_ssize_t i, n, longest = 0
    for i in range(1, begins.shape[0]):
        n = <Py_ssize_t> begins[i] - <Py_ssize_t> begins[i - 1]
        if n < 0:
            return n
        longest = max(longest, n)
    return longest


def range_of_sizes(const floating[::1] values):
    """The smallest and the largest absolute value; infinity and 0 where there are none."""
    cdef floating lowest = INFINITY, highest = 0
    if values.shape[0]:
        with nogil:
            find_range(&values[0], values.shape[0], &lowest, &highest)
    return float(lowest), float(highest)


cdef cloned find_range(const floating* values, Py_ssize_t n, floating* lowest, floating* highest) noexcept nogil:
    # Sixteen at a time, so that the compiler compares several at once.
    cdef floating low[16]
    cdef floating high[16]
    cdef floating size
    cdef Py_ssize_t k, c, m = 0
    for c in range(16):
        low[c], high[c] = lowest[0], highest[0]
    for k in range(0, n, 16):
        m = min(16, n - k)
        if m == 16:
            for c in range(16):
                size = max(values[k + c], -values[k + c])
                low[c] = size if size < low[c] else low[c]
                high[c] = size if size > high[c] else high[c]
    for c in range(m if m < 16 else 0):
        size = max(values[n - m + c], -values[n - m + c])
        low[c], high[c] = min(low[c], size), max(high[c], size)
    for c in range(16):
        lowest[0], highest[0] = min(lowest[0], low[c]), max(highest[0], high[c])


def without_zeros(const floating[:, ::1] X):
    """Whether no number is zero; ends soon after the first that is."""
    cdef Py_ssize_t n = X.shape[0] * X.shape[1], begin = 0, n_zeros = 0
    with nogil:
        while begin < n and n_zeros == 0:
            count_zeros(&X[0, 0] + begin, min(STRETCH, n - begin), &n_zeros)
            begin += STRETCH
    return n_zeros == 0


cdef cloned count_zeros(const floating* values, Py_ssize_t n, Py_ssize_t* n_zeros) noexcept nogil:
    cdef int zeros = 0
    cdef Py_ssize_t k
    for k in range(n):
        zeros += values[k] == 0
    n_zeros[0] += zeros
