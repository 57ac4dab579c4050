from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from sgdkit._kernels.merging cimport tidy


cdef enum:
    # Rows that are looked at in one go, while what tells where they begin is near.
    ROWS = 64


cdef class Rows:
    cdef readonly Py_ssize_t n_rows, n_features, longest
    # The numbers that an index buffer has room for: the longest row, and the table that merges its duplicates.
    cdef readonly Py_ssize_t room
    cdef readonly object dtype
    # Whether the indices and values have been looked at.
    cdef public bint checked
    # Whether a dense matrix is nobody else's, so that rows may be changed, or moved, where they are.
    cdef readonly bint owned
    cdef bint dense, single
    # Whether indices, and what tells where rows begin, are of 64 bits.
    cdef bint wide, long_begins
    # Of a dense matrix: whether no number in it is zero. Then `indices` serves every row.
    cdef readonly bint full
    cdef const void* values
    cdef const void* indices
    cdef const void* indptr
    # Of a sparse one: what each row has that is not to be shown, and whether any has, as far as they were looked at.
    cdef uint8_t* flags
    cdef bint untidy
    # For looking at rows, which is not for several threads at once: marks that find duplicates, and a table.
    cdef uint8_t* marks
    cdef uint8_t mark
    cdef uint32_t last_mark
    cdef int32_t* table
    # What multiplies the distance of a feature's values from what; NULL where values are shown as they stand, or the
    # distance is that from 0.
    cdef const void* factor
    cdef const void* shift
    cdef object _X, _owners, _scale, _sizes

    cdef Rows _share(self, Py_ssize_t n_rows)


cdef bint look(Rows rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil


cdef Py_ssize_t scale(
    Rows rows, const floating** values, const int32_t** indices, Py_ssize_t n, floating* value_buffer,
    int32_t* index_buffer,
) noexcept nogil


cdef inline Py_ssize_t begin(Rows rows, Py_ssize_t i) noexcept nogil:
    """Where row `i` begins among the values."""
    if rows.dense:
        return i * rows.n_features
    if rows.long_begins:
        return <Py_ssize_t> (<const int64_t*> rows.indptr)[i]
    return (<const int32_t*> rows.indptr)[i]


cdef inline Py_ssize_t get_row(
    Rows rows, Py_ssize_t i, floating* value_buffer, int32_t* index_buffer,
    const floating** values, const int32_t** indices,
) noexcept nogil:
    """Point `values` and `indices` at the non-zeros of row `i`, and return how many there are."""
    cdef Py_ssize_t n = get_stored(rows, i, value_buffer, index_buffer, values, indices)
    return n if rows.factor == NULL else scale(rows, values, indices, n, value_buffer, index_buffer)


cdef inline Py_ssize_t get_stored(
    Rows rows, Py_ssize_t i, floating* value_buffer, int32_t* index_buffer,
    const floating** values, const int32_t** indices,
) noexcept nogil:
    """The same for values that are not scaled."""
    cdef Py_ssize_t first = begin(rows, i), n = 0, j
    cdef const floating* x = <const floating*> rows.values + first
    cdef const int64_t* wide
    if rows.full:
        values[0] = x
        indices[0] = <const int32_t*> rows.indices
        return rows.n_features
    if rows.dense:
        # Without a branch: a zero is overwritten by the value that follows it.
        for j in range(rows.n_features):
            value_buffer[n] = x[j]
            index_buffer[n] = <int32_t> j
            n += x[j] != 0
        values[0] = value_buffer
        indices[0] = index_buffer
        return n
    n = begin(rows, i + 1) - first
    values[0] = x
    if rows.wide:
        wide = <const int64_t*> rows.indices + first
        for j in range(n):
            index_buffer[j] = <int32_t> wide[j]
        indices[0] = index_buffer
    else:
        indices[0] = <const int32_t*> rows.indices + first
    if rows.untidy and rows.flags[i]:
        n = tidy(rows.flags[i], x, indices[0], n, value_buffer, index_buffer, index_buffer + rows.longest)
        values[0], indices[0] = value_buffer, index_buffer
    return n
