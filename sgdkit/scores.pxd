"""The scores of a row: its values times the weights of its features, for one column or several.

Training and predictions share them, and so add up in the same order.
"""

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from sgdkit.compiler cimport SGDKIT_ONE_BY_ONE, within


ctypedef fused index_t:
    int32_t
    int64_t


cdef enum:
    # So many columns are scored at a time.
    TILE = 16


cdef inline within score_tile(
    const floating* weights, const index_t* features, const floating* x, Py_ssize_t n, floating* scores,
    Py_ssize_t width, Py_ssize_t record,
) noexcept nogil:
    """The scores of at most `TILE` columns, whose sums stay in registers.

    The weights of a feature stand together, those of the next one `record` numbers on.
    """
    cdef Py_ssize_t k, c
    cdef const floating* w0
    cdef const floating* w1
    cdef const floating* w2
    cdef const floating* w3
    cdef floating sums[TILE]
    for c in range(width):
        sums[c] = 0
    # Four at a time, because each addition to a score waits for the one before.
    k = 0
    while k + 4 <= n:
        if width == 1:
            # Else the compiler shuffles indices and values for longer than it multiplies.
            SGDKIT_ONE_BY_ONE(k)
        w0 = weights + features[k] * record
        w1 = weights + features[k + 1] * record
        w2 = weights + features[k + 2] * record
        w3 = weights + features[k + 3] * record
        for c in range(width):
            sums[c] += (x[k] * w0[c] + x[k + 1] * w1[c]) + (x[k + 2] * w2[c] + x[k + 3] * w3[c])
        k += 4
    for k in range(k, n):
        if width == 1:
            SGDKIT_ONE_BY_ONE(k)
        w0 = weights + features[k] * record
        for c in range(width):
            sums[c] += x[k] * w0[c]
    for c in range(width):
        scores[c] = sums[c]
    return 0


cdef inline within score_row(
    const floating* weights, const index_t* features, const floating* x, Py_ssize_t n, floating* scores,
    Py_ssize_t m, Py_ssize_t record,
) noexcept nogil:
    """The scores of `m` columns."""
    cdef Py_ssize_t first = 0
    # With constants, the compiler drops and unrolls loops.
    if m == 1 and record == 1:
        score_tile(weights, features, x, n, scores, 1, 1)
        return 0
    if m == 1:
        score_tile(weights, features, x, n, scores, 1, record)
        return 0
    while first + TILE <= m:
        score_tile(weights + first, features, x, n, scores + first, TILE, record)
        first += TILE
    if first + TILE // 2 <= m:
        score_tile(weights + first, features, x, n, scores + first, TILE // 2, record)
        first += TILE // 2
    if first + TILE // 4 <= m:
        score_tile(weights + first, features, x, n, scores + first, TILE // 4, record)
        first += TILE // 4
    if first < m:
        score_tile(weights + first, features, x, n, scores + first, m - first, record)
    return 0
