/* The scores of `m` columns, taken as `n_vectors` (a constant, so that loops over them are unrolled) times VECTOR, whose
   sums stay in registers. The weights of a feature stand together, those of the next one `record` numbers on.

   Features are taken four at a time, because each addition to a score waits for the one before; and one by one where
   there is a single column, else the compiler shuffles indices and values for longer than it multiplies. */
static inline SGDKIT_ALWAYS void SGDKIT_JOIN(SCORE, _tile)(
    const NUMBER *weights, const INDEX *features, const NUMBER *x, Py_ssize_t n, NUMBER *scores,
    Py_ssize_t n_vectors, Py_ssize_t m, Py_ssize_t record
) {
    static const VECTOR zero;
    const Py_ssize_t width = sizeof(VECTOR) / sizeof(NUMBER);
    const int single = width == 1 && n_vectors == 1;
    VECTOR sums[4];
    Py_ssize_t k = 0, c, at;
    for (c = 0; c < n_vectors; c++)
        sums[c] = zero;
    for (; k + 4 <= n; k += 4) {
        if (single) SGDKIT_ONE_BY_ONE(k);
        const NUMBER *w0 = weights + features[k] * record, *w1 = weights + features[k + 1] * record;
        const NUMBER *w2 = weights + features[k + 2] * record, *w3 = weights + features[k + 3] * record;
        for (c = 0; c < n_vectors; c++) {
            at = sgdkit_place(c, n_vectors, m, width);
            sums[c] += (x[k] * *(const VECTOR *) (w0 + at) + x[k + 1] * *(const VECTOR *) (w1 + at))
                + (x[k + 2] * *(const VECTOR *) (w2 + at) + x[k + 3] * *(const VECTOR *) (w3 + at));
        }
    }
    for (; k < n; k++) {
        if (single) SGDKIT_ONE_BY_ONE(k);
        const NUMBER *w = weights + features[k] * record;
        for (c = 0; c < n_vectors; c++)
            sums[c] += x[k] * *(const VECTOR *) (w + sgdkit_place(c, n_vectors, m, width));
    }
    for (c = 0; c < n_vectors; c++)
        *(VECTOR *) (scores + sgdkit_place(c, n_vectors, m, width)) = sums[c];
}

static inline SGDKIT_ALWAYS void SCORE(
    const NUMBER *weights, const INDEX *features, const NUMBER *x, Py_ssize_t n, NUMBER *scores,
    Py_ssize_t m, Py_ssize_t record
) {
    switch ((m + sizeof(VECTOR) / sizeof(NUMBER) - 1) / (sizeof(VECTOR) / sizeof(NUMBER))) {
        case 1: SGDKIT_JOIN(SCORE, _tile)(weights, features, x, n, scores, 1, m, record); break;
        case 2: SGDKIT_JOIN(SCORE, _tile)(weights, features, x, n, scores, 2, m, record); break;
        case 3: SGDKIT_JOIN(SCORE, _tile)(weights, features, x, n, scores, 3, m, record); break;
        case 4: SGDKIT_JOIN(SCORE, _tile)(weights, features, x, n, scores, 4, m, record); break;
    }
}

#undef VECTOR
#undef SCORE
