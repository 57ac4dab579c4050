# Reading and stepping, made for the rule of the module that includes this.

include "sgdkit/_kernels/read.pxi"
include "sgdkit/_kernels/step.pxi"


cdef class RuleState(State):
    """A state that is read and stepped on by the rule of this module."""
    cdef Rule rule

    cdef void bring_up_to_date(self) noexcept nogil:
        if self.single:
            bring_up_to_date(self, <float*> self.data)
        else:
            bring_up_to_date(self, <double*> self.data)

    cdef void read_f32(self, const int32_t* features, const float* x, Py_ssize_t n, float* scores) noexcept nogil:
        read(self, features, x, n, scores)

    cdef void read_f64(self, const int32_t* features, const double* x, Py_ssize_t n, double* scores) noexcept nogil:
        read(self, features, x, n, scores)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)
