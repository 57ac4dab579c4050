from cython cimport floating
from libc.stdint cimport int32_t, uint32_t


cdef class Targets:
    cdef readonly Py_ssize_t n_rows, n_columns
    cdef readonly bint labels, signs
    cdef readonly object values, column
    # The class, or the output, of each column; the class of each row; or its outputs, row by row.
    cdef const int32_t* modelled
    cdef const int32_t* codes
    cdef const double* outputs
    cdef Py_ssize_t n_outputs
    cdef const int32_t[::1] _column
    cdef const int32_t[::1] _codes
    cdef const double[:, ::1] _outputs


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
