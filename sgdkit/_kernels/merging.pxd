from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from sgdkit._kernels.scores cimport index_t


cdef enum:
    # What keeps a row from being shown as it stands.
    HAS_ZEROS = 1
    HAS_DUPLICATES = 2


cdef bint any_repeated(const index_t* features, Py_ssize_t n, int32_t* table) noexcept nogil


cdef Py_ssize_t tidy(
    uint8_t flags, const floating* x, const int32_t* features, Py_ssize_t n,
    floating* values, int32_t* indices, int32_t* table,
) noexcept nogil


cdef Py_ssize_t drop_zeros(
    const floating* x, const int32_t* features, Py_ssize_t n, floating* values, int32_t* indices,
) noexcept nogil


cdef inline Py_ssize_t table_size(Py_ssize_t n) noexcept nogil:
    """The size of a hash table for `n` features: a power of 2, four to eight times as many, so that few meet."""
    cdef Py_ssize_t size = 4
    while size < 4 * n:
        size *= 2
    return size
