"""Weights that are stored times the growth of their column, so that an l2 penalty shrinks all of them at once.

It is for optimizers whose metric is one constant. In a step at a rate, the growth is multiplied by `1 + rate * decay`,
and the weights are what is stored over it.
"""

from cython cimport floating
from libc.math cimport log
from libc.stdint cimport int32_t

from sgdkit._kernels.compiler cimport sole_doubles, sole_floats, sole_numbers, within
from sgdkit._kernels.moves cimport move_columns, move_features
from sgdkit._kernels.state cimport GROWN, State, averages, shares_growth


ctypedef struct Shared:
    # What all columns share.
    bint rate
    bint growth


cdef inline within moves_of(
    sole_numbers moves, sole_numbers gradient, sole_numbers rate_factors, sole_doubles growth, sole_doubles rates,
    Py_ssize_t n, Shared shared, floating unused,
) noexcept nogil:
    """Write what weights move by in `n` columns."""
    cdef floating step
    cdef Py_ssize_t c
    if (floating is float and sole_numbers is sole_floats) or (floating is double and sole_numbers is sole_doubles):
        for c in range(n):
            step = <floating> rates[0 if shared.rate else c] * rate_factors[c]
            moves[c] = step * <floating> growth[0 if shared.growth else c] * gradient[c]


cdef inline within move(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t n_columns,
) noexcept nogil:
    """Step along a gradient that is `x[k]` times the same for all features."""
    cdef floating* weights = <floating*> u.data
    cdef floating* gradient = <floating*> u.gradient
    cdef floating* moves = <floating*> u.steps
    cdef floating* factors = <floating*> u.rate_factors
    cdef double* rates = <double*> u.rates
    cdef floating unit = 1
    cdef double no_growth = 1
    cdef int32_t intercept = <int32_t> u.n_features
    cdef Shared shared
    if u.fit_intercept:
        shared.rate, shared.growth = not u.rate_stride, True
        moves_of(moves, gradient, factors, &no_growth, rates, n_columns, shared, unit)
        move_columns(weights, &intercept, &unit, 1, moves, n_columns, u.record_size)
    # With constants, the compiler drops branches.
    if shares_growth(u):
        shared.rate, shared.growth = True, True
        moves_of(moves, gradient, factors, u.growth, rates, n_columns, shared, unit)
    elif u.rate_stride:
        shared.rate, shared.growth = False, False
        moves_of(moves, gradient, factors, u.growth, rates, n_columns, shared, unit)
    else:
        shared.rate, shared.growth = True, False
        moves_of(moves, gradient, factors, u.growth, rates, n_columns, shared, unit)
    if n_columns == 1 and u.record_size == 1:
        move_features(weights, features, x, n, moves[0])
        return
    move_columns(weights, features, x, n, moves, n_columns, u.record_size)


cdef inline within turn(State u, floating unused, Py_ssize_t m) noexcept nogil:
    """Turn the clocks after a step."""
    cdef floating* inverse = <floating*> u.inverse
    u.clock += u.rates[0]
    u.n_rows_seen += u.n_rows
    if averages(u) and u.n_rows_seen >= u.average_from:
        u.n_averaged += 1
    if u.form == GROWN:
        if u.rate_stride:
            grow(u, u.rates, inverse, m, False)
        elif shares_growth(u):
            grow(u, u.rates, inverse, 1, True)
        else:
            grow(u, u.rates, inverse, m, True)


cdef inline within grow(
    State u, const double* rates, floating* inverse, Py_ssize_t n, bint shared_rate,
) noexcept nogil:
    """Let `n` columns grow in a step."""
    cdef double* growth = u.growth
    cdef const double* decay = u.decay
    cdef int large = 0
    cdef Py_ssize_t c
    for c in range(n):
        growth[c] *= 1 + rates[0 if shared_rate else c] * decay[c]
    for c in range(n):
        inverse[c] = <floating> (1 / growth[c])
    for c in range(n):
        # Not a number counts as large too.
        large |= not growth[c] < u.largest_growth
    if large:
        fold(u, inverse)


cdef inline void fold(State u, floating* inverse) noexcept nogil:
    """Store the weights as they are."""
    cdef floating* weight = <floating*> u.data
    cdef Py_ssize_t _, c
    for _ in range(u.n_features):
        for c in range(u.n_columns):
            weight[c] *= inverse[0 if shares_growth(u) else c]
        weight += u.record_size
    for c in range(u.n_columns):
        u.grown[c] += log(u.growth[0 if shares_growth(u) else c])
    for c in range(u.n_columns):
        u.growth[c] = 1
        inverse[c] = 1
