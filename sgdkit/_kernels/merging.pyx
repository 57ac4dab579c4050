# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The non-zeros of a row, each once: features that are there twice are found, and merged, by a hash table."""

from libc.string cimport memset


cdef enum:
    # Each byte of a number that is below zero: of a slot of a hash table that holds no place.
    EMPTY = 0xff


cdef bint any_repeated(const index_t* features, Py_ssize_t n, int32_t* table) noexcept nogil:
    """Whether a feature is there twice."""
    cdef Py_ssize_t size = table_size(n), k, slot
    memset(table, EMPTY, size * sizeof(int32_t))
    for k in range(n):
        slot = slot_of(features[k], features, table, size)
        if table[slot] >= 0:
            return True
        table[slot] = <int32_t> k
    return False


cdef Py_ssize_t merge(
    const floating* x, const int32_t* features, Py_ssize_t n, floating* values, int32_t* indices, int32_t* table,
) noexcept nogil:
    """Write features, each once and with the sum of its values, and return how many there are.

    What is read may be what is written to.
    """
    cdef Py_ssize_t size = table_size(n), n_merged = 0, k, slot
    cdef int32_t feature
    memset(table, EMPTY, size * sizeof(int32_t))
    for k in range(n):
        feature = features[k]
        slot = slot_of(feature, indices, table, size)
        if table[slot] >= 0:
            values[table[slot]] += x[k]
        else:
            table[slot] = <int32_t> n_merged
            indices[n_merged], values[n_merged] = feature, x[k]
            n_merged += 1
    return n_merged


cdef Py_ssize_t tidy(
    uint8_t flags, const floating* x, const int32_t* features, Py_ssize_t n,
    floating* values, int32_t* indices, int32_t* table,
) noexcept nogil:
    """Write the non-zeros of a row, each once, and return how many there are."""
    if flags & HAS_DUPLICATES:
        n, x, features = merge(x, features, n, values, indices, table), values, indices
    return drop_zeros(x, features, n, values, indices)


cdef inline Py_ssize_t slot_of(
    int64_t feature, const index_t* features, const int32_t* table, Py_ssize_t size,
) noexcept nogil:
    """The slot that has the place of a feature among `features`, or is empty and stands for it (linear probing)."""
    cdef Py_ssize_t last = size - 1
    # The middle bits of a product with 2^64 over the golden ratio depend on all bits of the feature.
    cdef Py_ssize_t slot = <Py_ssize_t> ((<uint64_t> feature * <uint64_t> 0x9E3779B97F4A7C15) >> 32) & last
    while table[slot] >= 0 and features[table[slot]] != feature:
        slot = (slot + 1) & last
    return slot


cdef Py_ssize_t drop_zeros(
    const floating* x, const int32_t* features, Py_ssize_t n, floating* values, int32_t* indices,
) noexcept nogil:
    """Write what is not 0, and return how many that are. What is read may be what is written to."""
    cdef Py_ssize_t n_kept = 0, k
    cdef floating value
    # Without a branch: a zero is overwritten by the value that follows it.
    for k in range(n):
        value = x[k]
        values[n_kept] = value
        indices[n_kept] = features[k]
        n_kept += value != 0
    return n_kept
