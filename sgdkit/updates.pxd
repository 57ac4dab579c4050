from libc.stdint cimport int32_t


cdef class Update:
    cdef readonly Py_ssize_t n_features, n_columns, n_slots, n_shared
    cdef readonly bint fit_intercept, penalised, average
    cdef readonly object record, optimizer
    # Of the step to come.
    cdef double rate
    cdef const void* gradient
    cdef const void* intercept_gradient
    cdef Py_ssize_t gradient_stride
    # The lazy penalty's clock, and the lazy average's.
    cdef public double clock
    cdef public Py_ssize_t average_from, n_rows_seen, n_averaged
    # The optimizer's denominator d: `metric_scale`, times `slot 1 + epsilon` if adaptive.
    cdef bint adaptive
    # Whether a slot 1 of zero says that no gradient has come yet.
    cdef bint waits
    # Whether all options of the optimizer are off.
    cdef bint plain
    cdef double metric_scale, epsilon, smallest
    cdef Py_ssize_t record_size
    cdef void* state
    cdef void* l1
    cdef void* l2
    cdef void* scale
    cdef bint has_l1
    cdef object _vectors

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil
    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil
    cdef void catch_up_f32(self, const int32_t* features, Py_ssize_t n) noexcept nogil
    cdef void catch_up_f64(self, const int32_t* features, Py_ssize_t n) noexcept nogil
