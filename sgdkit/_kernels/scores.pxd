"""The scores of a row: its values times the weights of its features, for one column or several.

Training and predictions share them, and so add up in the same order.
"""

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from sgdkit._kernels.compiler cimport within


ctypedef fused index_t:
    int32_t
    int64_t


cdef extern from *:
    """
    #define NUMBER float
    #define INDEX int32_t
    #include "score.h"
    #define NUMBER float
    #define INDEX int64_t
    #include "score.h"
    #define NUMBER double
    #define INDEX int32_t
    #include "score.h"
    #define NUMBER double
    #define INDEX int64_t
    #include "score.h"
    """
    void sgdkit_score_float_int32_t(
        const float* weights, const int32_t* features, const float* x, Py_ssize_t n, float* scores,
        Py_ssize_t m, Py_ssize_t record
    ) noexcept nogil
    void sgdkit_score_float_int64_t(
        const float* weights, const int64_t* features, const float* x, Py_ssize_t n, float* scores,
        Py_ssize_t m, Py_ssize_t record
    ) noexcept nogil
    void sgdkit_score_double_int32_t(
        const double* weights, const int32_t* features, const double* x, Py_ssize_t n, double* scores,
        Py_ssize_t m, Py_ssize_t record
    ) noexcept nogil
    void sgdkit_score_double_int64_t(
        const double* weights, const int64_t* features, const double* x, Py_ssize_t n, double* scores,
        Py_ssize_t m, Py_ssize_t record
    ) noexcept nogil


cdef inline within score_row(
    const floating* weights, const index_t* features, const floating* x, Py_ssize_t n, floating* scores,
    Py_ssize_t m, Py_ssize_t record,
) noexcept nogil:
    """The scores of `m` columns."""
    if floating is float:
        if index_t is int32_t:
            sgdkit_score_float_int32_t(weights, features, x, n, scores, m, record)
        else:
            sgdkit_score_float_int64_t(weights, features, x, n, scores, m, record)
    else:
        if index_t is int32_t:
            sgdkit_score_double_int32_t(weights, features, x, n, scores, m, record)
        else:
            sgdkit_score_double_int64_t(weights, features, x, n, scores, m, record)
