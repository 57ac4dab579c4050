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
    /* The scores of `m` columns, taken as `n_vectors` (a constant, so that loops over them are unrolled) vectors, whose
       sums stay in registers. The weights of a feature stand together, those of the next one `record` numbers on.
       Features are taken four at a time, because each addition to a score waits for the one before; and one by one
       where there is a single column, else the compiler shuffles indices and values for longer than it multiplies. */
    #define SGDKIT_SCORE_TILE(name, number, index, vector)                                                      \\
        static inline SGDKIT_ALWAYS void name(                                                                  \\
            const number *weights, const index *features, const number *x, Py_ssize_t n, number *scores,        \\
            Py_ssize_t n_vectors, Py_ssize_t m, Py_ssize_t record                                               \\
        ) {                                                                                                     \\
            static const vector zero;                                                                           \\
            vector sums[4];                                                                                     \\
            Py_ssize_t k = 0, c;                                                                                \\
            for (c = 0; c < n_vectors; c++)                                                                     \\
                sums[c] = zero;                                                                                 \\
            for (; k + 4 <= n; k += 4) {                                                                        \\
                if (sizeof(vector) == sizeof(number) && n_vectors == 1) SGDKIT_ONE_BY_ONE(k);                   \\
                const number *w0 = weights + features[k] * record, *w1 = weights + features[k + 1] * record;    \\
                const number *w2 = weights + features[k + 2] * record;                                          \\
                const number *w3 = weights + features[k + 3] * record;                                          \\
                for (c = 0; c < n_vectors; c++)                                                                 \\
                    sums[c] += (                                                                                \\
                        x[k] * SGDKIT_PART(const vector, w0, c)                                                 \\
                        + x[k + 1] * SGDKIT_PART(const vector, w1, c)                                           \\
                    ) + (                                                                                       \\
                        x[k + 2] * SGDKIT_PART(const vector, w2, c)                                             \\
                        + x[k + 3] * SGDKIT_PART(const vector, w3, c)                                           \\
                    );                                                                                          \\
            }                                                                                                   \\
            for (; k < n; k++) {                                                                                \\
                if (sizeof(vector) == sizeof(number) && n_vectors == 1) SGDKIT_ONE_BY_ONE(k);                   \\
                const number *w = weights + features[k] * record;                                               \\
                for (c = 0; c < n_vectors; c++)                                                                 \\
                    sums[c] += x[k] * SGDKIT_PART(const vector, w, c);                                          \\
            }                                                                                                   \\
            for (c = 0; c < n_vectors; c++)                                                                     \\
                SGDKIT_PART(vector, scores, c) = sums[c];                                                       \\
        }
    #define SGDKIT_SCORE_CASE(name, n_vectors)                                                                  \\
        case n_vectors:                                                                                         \\
            name(weights, features, x, n, scores, n_vectors, m, record);                                        \\
            break;
    /* After tiles of as many columns as there are registers for, the last vector begins among columns of the tile
       before, whose scores are written again. */
    #define SGDKIT_SCORE(number, index, large, small)                                                           \\
        SGDKIT_SCORE_TILE(sgdkit_score_one_##number##_##index, number, index, number)                           \\
        SGDKIT_SCORE_TILE(sgdkit_score_small_##number##_##index, number, index, small)                          \\
        SGDKIT_SCORE_TILE(sgdkit_score_large_##number##_##index, number, index, large)                          \\
        static inline SGDKIT_ALWAYS void sgdkit_score_##number##_##index(                                       \\
            const number *weights, const index *features, const number *x, Py_ssize_t n, number *scores,        \\
            Py_ssize_t m, Py_ssize_t record                                                                     \\
        ) {                                                                                                     \\
            const Py_ssize_t width = sizeof(large) / sizeof(number), half = sizeof(small) / sizeof(number);     \\
            const Py_ssize_t tile = 4 * width;                                                                  \\
            if (m < half) {                                                                                     \\
                switch (m) {                                                                                    \\
                    SGDKIT_SCORE_CASE(sgdkit_score_one_##number##_##index, 1)                                   \\
                    SGDKIT_SCORE_CASE(sgdkit_score_one_##number##_##index, 2)                                   \\
                    SGDKIT_SCORE_CASE(sgdkit_score_one_##number##_##index, 3)                                   \\
                }                                                                                               \\
                return;                                                                                         \\
            }                                                                                                   \\
            if (m < width) {                                                                                    \\
                switch ((m + half - 1) / half) {                                                                \\
                    SGDKIT_SCORE_CASE(sgdkit_score_small_##number##_##index, 1)                                 \\
                    SGDKIT_SCORE_CASE(sgdkit_score_small_##number##_##index, 2)                                 \\
                }                                                                                               \\
                return;                                                                                         \\
            }                                                                                                   \\
            for (; m > tile; m -= tile, weights += tile, scores += tile)                                        \\
                sgdkit_score_large_##number##_##index(weights, features, x, n, scores, 4, tile, record);        \\
            switch ((m + width - 1) / width) {                                                                  \\
                SGDKIT_SCORE_CASE(sgdkit_score_large_##number##_##index, 1)                                     \\
                SGDKIT_SCORE_CASE(sgdkit_score_large_##number##_##index, 2)                                     \\
                SGDKIT_SCORE_CASE(sgdkit_score_large_##number##_##index, 3)                                     \\
                SGDKIT_SCORE_CASE(sgdkit_score_large_##number##_##index, 4)                                     \\
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
