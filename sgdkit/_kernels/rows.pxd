from cython cimport floating
from libc.stdint cimport int32_t, int64_t


cdef enum:
    # Rows that are looked at in one go, while what tells where they begin is near.
    ROWS = 64


cdef class Rows:
    cdef readonly Py_ssize_t n_rows, n_features, longest
    cdef readonly object dtype
    # Whether the indices and values have been looked at.
    cdef public bint checked
    cdef bint dense, wide, single
    # Of a dense matrix: whether no number in it is zero. Then `indices` serves every row.
    cdef bint full
    cdef const void* values
    cdef const void* indices
    cdef const void* indptr
    cdef object _X, _owners


cdef bint regular(Rows rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil


cdef inline Py_ssize_t begin(Rows rows, Py_ssize_t i) noexcept nogil:
    """Where row `i` begins among the values."""
    if rows.dense:
        return i * rows.n_features
    if rows.wide:
        return <Py_ssize_t> (<const int64_t*> rows.indptr)[i]
    return (<const int32_t*> rows.indptr)[i]


cdef inline Py_ssize_t get_row(
    Rows rows, Py_ssize_t i, floating* value_buffer, int32_t* index_buffer,
    const floating** values, const int32_t** indices,
) noexcept nogil:
    """Point `values` and `indices` at the non-zeros of row `i`, and return how many there are."""
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
    return n
