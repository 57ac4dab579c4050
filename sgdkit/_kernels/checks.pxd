from sgdkit._kernels.scores cimport index_t


cdef void look_at_values(
    const void* values, bint single, Py_ssize_t begin, Py_ssize_t end, bint* zeros, bint* finite,
) noexcept nogil


cdef bint look_at_indices(
    const index_t* indices, Py_ssize_t n, Py_ssize_t n_features, Py_ssize_t* falls,
) noexcept nogil
