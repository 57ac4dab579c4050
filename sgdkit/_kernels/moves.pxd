"""The moves of a row: its values times what each column moves by, taken from the weights of its features."""

from cython cimport floating
from libc.stdint cimport int32_t

from sgdkit._kernels.compiler cimport within


cdef extern from *:
    """
    /* Left to the compiler, it would look, record by record, whether what is read and what is written overlap. What
       columns move by stays in registers; `n_vectors` is a constant. */
    #define SGDKIT_MOVE_TILE(name, number, vector)                                                              \\
        static inline SGDKIT_ALWAYS void name(                                                                  \\
            number *weights, const int32_t *features, const number *x, Py_ssize_t n, const number *moves,       \\
            Py_ssize_t n_vectors, Py_ssize_t m, Py_ssize_t record                                               \\
        ) {                                                                                                     \\
            vector own[6];                                                                                      \\
            Py_ssize_t k, c;                                                                                    \\
            for (c = 0; c < n_vectors; c++)                                                                     \\
                own[c] = SGDKIT_PART(const vector, moves, c);                                                   \\
            for (k = 0; k < n; k++) {                                                                           \\
                number *w = weights + features[k] * record;                                                     \\
                /* Read before the others are written, with which it may share columns. */                      \\
                vector last = SGDKIT_PART(const vector, w, n_vectors - 1) - x[k] * own[n_vectors - 1];          \\
                for (c = 0; c < n_vectors - 1; c++)                                                             \\
                    SGDKIT_PART(vector, w, c) -= x[k] * own[c];                                                 \\
                SGDKIT_PART(vector, w, n_vectors - 1) = last;                                                   \\
            }                                                                                                   \\
        }
    #define SGDKIT_MOVE_CASE(name, n_vectors)                                                                   \\
        case n_vectors:                                                                                         \\
            name(weights, features, x, n, moves, n_vectors, m, record);                                         \\
            break;
    #define SGDKIT_MOVE(number, large, small)                                                                   \\
        SGDKIT_MOVE_TILE(sgdkit_move_one_##number, number, number)                                              \\
        SGDKIT_MOVE_TILE(sgdkit_move_small_##number, number, small)                                             \\
        SGDKIT_MOVE_TILE(sgdkit_move_large_##number, number, large)                                             \\
        static inline SGDKIT_ALWAYS void sgdkit_move_##number(                                                  \\
            number *weights, const int32_t *features, const number *x, Py_ssize_t n, const number *moves,       \\
            Py_ssize_t m, Py_ssize_t record                                                                     \\
        ) {                                                                                                     \\
            const Py_ssize_t width = sizeof(large) / sizeof(number), half = sizeof(small) / sizeof(number);     \\
            if (m < half) {                                                                                     \\
                switch (m) {                                                                                    \\
                    SGDKIT_MOVE_CASE(sgdkit_move_one_##number, 1)                                               \\
                    SGDKIT_MOVE_CASE(sgdkit_move_one_##number, 2)                                               \\
                    SGDKIT_MOVE_CASE(sgdkit_move_one_##number, 3)                                               \\
                }                                                                                               \\
                return;                                                                                         \\
            }                                                                                                   \\
            if (m < width) {                                                                                    \\
                switch ((m + half - 1) / half) {                                                                \\
                    SGDKIT_MOVE_CASE(sgdkit_move_small_##number, 1)                                             \\
                    SGDKIT_MOVE_CASE(sgdkit_move_small_##number, 2)                                             \\
                }                                                                                               \\
                return;                                                                                         \\
            }                                                                                                   \\
            /* Tiles of three vectors leave those that the last one shares columns with in its own tile. */     \\
            for (; m > 6 * width; m -= 3 * width, weights += 3 * width, moves += 3 * width)                     \\
                sgdkit_move_large_##number(weights, features, x, n, moves, 3, 3 * width, record);               \\
            switch ((m + width - 1) / width) {                                                                  \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 1)                                                 \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 2)                                                 \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 3)                                                 \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 4)                                                 \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 5)                                                 \\
                SGDKIT_MOVE_CASE(sgdkit_move_large_##number, 6)                                                 \\
            }                                                                                                   \\
        }
    SGDKIT_MOVE(float, sgdkit_floats8, sgdkit_floats4)
    SGDKIT_MOVE(double, sgdkit_doubles4, sgdkit_doubles2)
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
