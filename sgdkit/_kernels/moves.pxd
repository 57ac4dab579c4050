"""The moves of a row: its values times what each column moves by, taken from the weights of its features."""

from cython cimport floating
from libc.stdint cimport int32_t

from sgdkit._kernels.compiler cimport within


cdef extern from *:
    """
    #define NUMBER float
    #include "move.h"
    #define NUMBER double
    #include "move.h"
    """
    void sgdkit_move_float(
        float* weights, const int32_t* features, const float* x, Py_ssize_t n, const float* moves, Py_ssize_t m,
        Py_ssize_t record
    ) noexcept nogil
    void sgdkit_move_double(
        double* weights, const int32_t* features, const double* x, Py_ssize_t n, const double* moves, Py_ssize_t m,
        Py_ssize_t record
    ) noexcept nogil


cdef inline within move_columns(
    floating* weights, const int32_t* features, const floating* x, Py_ssize_t n, const floating* moves, Py_ssize_t m,
    Py_ssize_t record,
) noexcept nogil:
    """Take `x` times `moves` from the weights of features in `m` columns."""
    if floating is float:
        sgdkit_move_float(weights, features, x, n, moves, m, record)
    else:
        sgdkit_move_double(weights, features, x, n, moves, m, record)


cdef inline void move_features(
    floating* weights, const int32_t* features, const floating* x, Py_ssize_t n, floating move,
) noexcept nogil:
    """The same for features of a single column, of records of one number."""
    cdef Py_ssize_t k = 0
    while k + 4 <= n:
        weights[features[k]] -= x[k] * move
        weights[features[k + 1]] -= x[k + 1] * move
        weights[features[k + 2]] -= x[k + 2] * move
        weights[features[k + 3]] -= x[k + 3] * move
        k += 4
    for k in range(k, n):
        weights[features[k]] -= x[k] * move
