cdef class Loss:
    cdef readonly Py_ssize_t n_outputs
    cdef readonly object parameter
    # The number of column `c` is `numbers[c * stride]`.
    cdef const double* numbers
    cdef Py_ssize_t stride
    cdef const double[::1] _numbers

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil
    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil
