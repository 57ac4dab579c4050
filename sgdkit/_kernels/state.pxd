from libc.stdint cimport int32_t


cdef class State:
    cdef readonly Py_ssize_t n_features, n_columns, n_slots, n_shared
    cdef readonly bint fit_intercept, average
    # Whether the state is of float32.
    cdef bint single
    cdef readonly object record, optimizer, degrees
    # Of the step to come: its rates (`rate_stride` is 1 where each column has its own), the derivatives that multiply
    # the features' values (`gradient_stride` is 0 where all features have the same), and the rows behind it.
    cdef const double* rates
    cdef Py_ssize_t rate_stride
    cdef const void* gradient
    cdef const void* intercept_gradient
    cdef Py_ssize_t gradient_stride
    cdef Py_ssize_t n_rows
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
    # Whether the penalty waits until a feature is read, or stands in the growth of the columns; whether this is one.
    cdef bint lazy, scaled, has_l1, uniform, together
    # Whether weights are stored times their metric between a step and the next reading; and whether steps have been
    # made since the last flush.
    cdef bint products, stale
    cdef double largest_growth, largest_unit
    cdef Py_ssize_t record_size
    cdef void* data
    # One number for each column: the strengths of the penalty, alone and times the factor of the rate; ...
    cdef double* alpha_l1
    cdef double* alpha_l2
    cdef void* l1
    cdef void* l2
    cdef void* scale
    cdef void* steps
    cdef void* inverse
    cdef double* decay
    cdef double* growth
    cdef dict _vectors
    # One number for each feature: what the penalty multiplies its weights by; NULL stands for 1.
    cdef const void* units
    cdef object _units
    # Whether the records of a row are transposed before it is worked on; as many as there is room for, held here; and
    # whether they are kept there from reading a row until the step on it.
    cdef bint transposed, keeps
    cdef Py_ssize_t room
    cdef void* held
    cdef object _held
    # The features of the row to come, and whether their records are asked for one by one while a row is read.
    cdef const int32_t* coming
    cdef Py_ssize_t n_coming
    cdef bint asks

    cdef void write_penalty(self, double* values)
    cdef void* _vector(self, name, values, dtype=*) except NULL
    cdef void read_f32(self, const int32_t* features, const float* x, Py_ssize_t n, float* scores) noexcept nogil
    cdef void read_f64(self, const int32_t* features, const double* x, Py_ssize_t n, double* scores) noexcept nogil
    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil
    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil
