/* The moves of `m` columns, taken as `n_vectors` (a constant) times VECTOR, which stay in registers. */
static inline SGDKIT_ALWAYS void SGDKIT_JOIN(MOVE, _tile)(
    NUMBER *weights, const int32_t *features, const NUMBER *x, Py_ssize_t n, const NUMBER *moves,
    Py_ssize_t n_vectors, Py_ssize_t m, Py_ssize_t record
) {
    const Py_ssize_t width = sizeof(VECTOR) / sizeof(NUMBER), end = n_vectors - 1;
    VECTOR held[6];
    Py_ssize_t k, c;
    for (c = 0; c < n_vectors; c++)
        held[c] = *(const VECTOR *) (moves + sgdkit_place(c, n_vectors, m, width));
    for (k = 0; k < n; k++) {
        NUMBER *w = weights + features[k] * record;
        /* Read before the others are written, with which it may share columns. */
        VECTOR last = *(const VECTOR *) (w + m - width) - x[k] * held[end];
        for (c = 0; c < end; c++)
            *(VECTOR *) (w + c * width) -= x[k] * held[c];
        *(VECTOR *) (w + m - width) = last;
    }
}

static inline SGDKIT_ALWAYS void MOVE(
    NUMBER *weights, const int32_t *features, const NUMBER *x, Py_ssize_t n, const NUMBER *moves,
    Py_ssize_t m, Py_ssize_t record
) {
    switch ((m + sizeof(VECTOR) / sizeof(NUMBER) - 1) / (sizeof(VECTOR) / sizeof(NUMBER))) {
        case 1: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 1, m, record); break;
        case 2: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 2, m, record); break;
        case 3: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 3, m, record); break;
        case 4: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 4, m, record); break;
        case 5: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 5, m, record); break;
        case 6: SGDKIT_JOIN(MOVE, _tile)(weights, features, x, n, moves, 6, m, record); break;
    }
}

#undef VECTOR
#undef MOVE
