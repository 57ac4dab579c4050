from cython cimport floating

from sgdkit._kernels.targets cimport Targets


# The numbers of a loss that its formula may depend on.
ctypedef struct Setting:
    # That of column `c` is `parameters[c * stride]`.
    const double* parameters
    Py_ssize_t stride
    # The columns that a model has; a coupled loss takes that many at a time.
    Py_ssize_t n_outputs


# A formula writes the values and the derivatives of `n` columns with scores `s` and targets `t`.
ctypedef void (*formula_f32)(
    const float* s, const float* t, Py_ssize_t n, float* derivative, float* value, const Setting* setting,
) noexcept nogil
ctypedef void (*formula_f64)(
    const double* s, const double* t, Py_ssize_t n, double* derivative, double* value, const Setting* setting,
) noexcept nogil


cdef class Loss:
    cdef readonly object parameter
    cdef readonly Py_ssize_t n_outputs
    # The formula of the class, which sets both when an object is made.
    cdef formula_f32 f32
    cdef formula_f64 f64
    cdef Setting setting
    cdef const double[::1] _parameters
    cdef Py_ssize_t rows_at_a_time(self, Py_ssize_t n_columns) noexcept nogil
    cdef void add_up_rows(
        self, Targets targets, Py_ssize_t first, Py_ssize_t n, const floating* scores,
        const double[:, ::1] row_weights, floating* derivatives, floating* room, double* sums,
    ) noexcept nogil


cdef inline void evaluate(
    Loss loss, const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value,
) noexcept nogil:
    if floating is float:
        loss.f32(s, t, n, derivative, value, &loss.setting)
    else:
        loss.f64(s, t, n, derivative, value, &loss.setting)
