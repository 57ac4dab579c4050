"""The scores of a row: its values times the weights of its features, for one column or several.

Training and predictions share them, and so add up in the same order.
"""

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from sgdkit.compiler cimport within


ctypedef fused index_t:
    int32_t
    int64_t


cdef extern from *:
    """
    #include <string.h>
    /* The scores of `n_large` (at most 4) and `n_small` (at most 1) vectors of columns, whose sums stay in registers.
       The weights of a feature stand together, those of the next one `record` numbers on. Features are taken four at a
       time, because each addition to a score waits for the one before; and one by one where there is a single column,
       else the compiler shuffles indices and values for longer than it multiplies. */
    #define SGDKIT_SCORE_TILE(name, number, index, large, small)                                                \\
        static inline SGDKIT_ALWAYS void name(                                                                  \\
            const number *weights, const index *features, const number *x, Py_ssize_t n, number *scores,        \\
            Py_ssize_t n_large, Py_ssize_t n_small, Py_ssize_t record                                           \\
        ) {                                                                                                     \\
            large sums[4];                                                                                      \\
            small rest;                                                                                         \\
            Py_ssize_t k = 0, c;                                                                                \\
            memset(sums, 0, sizeof(sums));                                                                      \\
            memset(&rest, 0, sizeof(rest));                                                                     \\
            for (; k + 4 <= n; k += 4) {                                                                        \\
                if (sizeof(large) == sizeof(number) && n_large == 1) SGDKIT_ONE_BY_ONE(k);                      \\
                const large *w0 = (const large *) (weights + features[k] * record);                             \\
                const large *w1 = (const large *) (weights + features[k + 1] * record);                         \\
                const large *w2 = (const large *) (weights + features[k + 2] * record);                         \\
                const large *w3 = (const large *) (weights + features[k + 3] * record);                         \\
                for (c = 0; c < n_large; c++)                                                                   \\
                    sums[c] += (x[k] * w0[c] + x[k + 1] * w1[c]) + (x[k + 2] * w2[c] + x[k + 3] * w3[c]);       \\
                if (n_small) {                                                                                  \\
                    const small *v0 = (const small *) (w0 + n_large), *v1 = (const small *) (w1 + n_large);     \\
                    const small *v2 = (const small *) (w2 + n_large), *v3 = (const small *) (w3 + n_large);     \\
                    rest += (x[k] * *v0 + x[k + 1] * *v1) + (x[k + 2] * *v2 + x[k + 3] * *v3);                  \\
                }                                                                                               \\
            }                                                                                                   \\
            for (; k < n; k++) {                                                                                \\
                if (sizeof(large) == sizeof(number) && n_large == 1) SGDKIT_ONE_BY_ONE(k);                      \\
                const large *w = (const large *) (weights + features[k] * record);                              \\
                for (c = 0; c < n_large; c++)                                                                   \\
                    sums[c] += x[k] * w[c];                                                                     \\
                if (n_small)                                                                                    \\
                    rest += x[k] * *(const small *) (w + n_large);                                              \\
            }                                                                                                   \\
            for (c = 0; c < n_large; c++)                                                                       \\
                ((large *) scores)[c] = sums[c];                                                                \\
            if (n_small)                                                                                        \\
                *(small *) ((large *) scores + n_large) = rest;                                                 \\
        }
    /* Of `m` columns. Numbers of vectors are constants, so that loops over them are unrolled. */
    #define SGDKIT_CASE(count, name, n_large, n_small)                                                          \\
        case count:                                                                                             \\
            name(weights, features, x, n, scores, n_large, n_small, record);                                    \\
            break;
    #define SGDKIT_SCORE(number, index, large, small)                                                           \\
        SGDKIT_SCORE_TILE(sgdkit_score_one_##number##_##index, number, index, number, number)                   \\
        SGDKIT_SCORE_TILE(sgdkit_score_tile_##number##_##index, number, index, large, small)                    \\
        static inline SGDKIT_ALWAYS void sgdkit_score_##number##_##index(                                       \\
            const number *weights, const index *features, const number *x, Py_ssize_t n, number *scores,        \\
            Py_ssize_t m, Py_ssize_t record                                                                     \\
        ) {                                                                                                     \\
            const Py_ssize_t width = sizeof(large) / sizeof(number), half = sizeof(small) / sizeof(number);     \\
            for (; m >= 4 * width; m -= 4 * width, weights += 4 * width, scores += 4 * width)                   \\
                sgdkit_score_tile_##number##_##index(weights, features, x, n, scores, 4, 0, record);            \\
            if (half < width) {                                                                                 \\
                switch (m / half) {                                                                             \\
                    SGDKIT_CASE(1, sgdkit_score_tile_##number##_##index, 0, 1)                                  \\
                    SGDKIT_CASE(2, sgdkit_score_tile_##number##_##index, 1, 0)                                  \\
                    SGDKIT_CASE(3, sgdkit_score_tile_##number##_##index, 1, 1)                                  \\
                    SGDKIT_CASE(4, sgdkit_score_tile_##number##_##index, 2, 0)                                  \\
                    SGDKIT_CASE(5, sgdkit_score_tile_##number##_##index, 2, 1)                                  \\
                    SGDKIT_CASE(6, sgdkit_score_tile_##number##_##index, 3, 0)                                  \\
                    SGDKIT_CASE(7, sgdkit_score_tile_##number##_##index, 3, 1)                                  \\
                }                                                                                               \\
                weights += m / half * half;                                                                     \\
                scores += m / half * half;                                                                      \\
                m %= half;                                                                                      \\
            }                                                                                                   \\
            switch (m) {                                                                                        \\
                SGDKIT_CASE(1, sgdkit_score_one_##number##_##index, 1, 0)                                       \\
                SGDKIT_CASE(2, sgdkit_score_one_##number##_##index, 2, 0)                                       \\
                SGDKIT_CASE(3, sgdkit_score_one_##number##_##index, 3, 0)                                       \\
            }                                                                                                   \\
        }
    SGDKIT_SCORE(float, int32_t, sgdkit_floats8, sgdkit_floats4)
    SGDKIT_SCORE(float, int64_t, sgdkit_floats8, sgdkit_floats4)
    SGDKIT_SCORE(double, int32_t, sgdkit_doubles4, sgdkit_doubles2)
    SGDKIT_SCORE(double, int64_t, sgdkit_doubles4, sgdkit_doubles2)
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
    return 0
