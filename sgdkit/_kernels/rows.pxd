from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint32_t


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


cdef class Targets:
    cdef readonly Py_ssize_t n_rows, n_columns
    cdef readonly bint labels
    cdef readonly object values, column
    cdef const int32_t* codes
    cdef const int32_t* modelled
    cdef const double* outputs
    cdef Py_ssize_t n_outputs


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


cdef inline int32_t sign_of(int32_t code, int32_t modelled) noexcept nogil:
    """1 for the class that is modelled, else -1."""
    # The highest bit says whether they differ; of a comparison the compiler may make a branch, which guesses.
    cdef uint32_t other = <uint32_t> (modelled ^ code)
    other |= 0 - other
    return 1 - <int32_t> (other >> 31 << 1)


cdef inline void get_targets(Targets targets, Py_ssize_t i, floating* out) noexcept nogil:
    """Write the target of row `i` for every column."""
    cdef Py_ssize_t c
    cdef int32_t code
    cdef const double* y
    if targets.labels:
        code = targets.codes[i]
        for c in range(targets.n_columns):
            out[c] = <floating> sign_of(code, targets.modelled[c])
    else:
        y = targets.outputs + i * targets.n_outputs
        for c in range(targets.n_columns):
            out[c] = <floating> y[targets.modelled[c]]


cdef inline void get_block(Targets targets, Py_ssize_t first, Py_ssize_t n, floating* out) noexcept nogil:
    """Write the targets of `n` rows."""
    cdef Py_ssize_t i
    cdef int32_t modelled
    if targets.labels and targets.n_columns == 1:
        modelled = targets.modelled[0]
        for i in range(n):
            out[i] = <floating> sign_of(targets.codes[first + i], modelled)
        return
    for i in range(n):
        get_targets(targets, first + i, out + i * targets.n_columns)
