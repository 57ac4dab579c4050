from libc.stdint cimport int32_t


cdef enum:
    # So many features of a single column are worked on at a time, each where a column would be.
    FEW = 4
    # So many features are brought up to date in one call at the end of an epoch.
    ROOM = 256
    # The clock of a record that has not been read since the epoch began.
    FRESH = -1


cdef enum Form:
    # What slot 0 holds: the weight; the weight times the growth of its column; the weight times its metric, from a
    # step until the next reading.
    WEIGHT
    GROWN
    PRODUCT


cdef enum Layout:
    # What the coordinates are that are worked on at once: the columns of a feature, or `FEW` features of the only
    # column, whose records are transposed for that.
    COLUMNS
    LANES


ctypedef struct Reading:
    # How coordinates are read. The first paragraph holds constants where it matters: the compiler then drops branches.
    Layout layout
    Form form
    bint has_l1
    bint has_units
    bint averages
    # Whether a root of zero says that no gradient has come yet, so that the weight has to wait.
    bint waits
    # The metric is `metric_scale * (root + epsilon)`; the average takes a change of the weight times `weight`.
    double metric_scale
    double epsilon
    double weight
    # A number for each column: the strengths of the penalty.
    const void* l1
    const void* l2
    # A number for each feature: when it was last read, the sum of the rates since, and the unit of its penalty.
    const void* clock
    const void* missed
    const void* unit


ctypedef struct Stepping:
    # How coordinates are stepped on; constants first.
    Layout layout
    Form form
    bint averages
    bint intercept
    # By so much the gradients of two features of a row are apart; 0 where all have the same.
    Py_ssize_t gradient_stride
    # The average takes a move times `weight`; `largest` is the inverse of the smallest metric.
    double weight
    double largest
    # The gradient of a coordinate is `x` times its number here.
    double x
    const void* gradient
    # A number for each column: its rate; for each feature: what `gains` has written, in rows of `FEW`.
    const void* rates
    const void* gain


cdef class State:
    cdef readonly object optimizer
    cdef readonly Py_ssize_t n_features, n_columns
    cdef readonly bint fit_intercept

    # The records: their slots after the weight, with the degree of each in the gradient; the numbers that columns
    # share; from how many numbers to how many a record begins, and where the first does.
    cdef readonly tuple slots, degrees
    cdef readonly Py_ssize_t n_slots, n_shared
    cdef readonly object record
    cdef Py_ssize_t record_size
    cdef void* data
    # Whether the state is of float32.
    cdef bint single

    # How records are worked on, and how slot 0 is to be read.
    cdef Layout layout
    cdef Form form

    # What the optimizer is: its metric is `metric_scale`, times `root + epsilon` if it is adaptive. Whether a root of
    # zero says that no gradient has come yet; whether all its options are off; whether its weight follows from the
    # other slots when it is read. The smallest number whose square is normal, and the inverse of the smallest metric.
    cdef bint waits, plain, dual
    cdef double metric_scale, epsilon, smallest, largest_inverse

    # The penalty: whether it waits until a feature is read; whether it has a part that sets weights to zero; whether
    # all columns have the same, and the same rates.
    cdef bint lazy, has_l1, uniform
    # A number for each column: its strengths; the factor of its rate; its strengths times that; the factor again.
    cdef double* alpha_l1
    cdef double* alpha_l2
    cdef double* factors
    cdef void* l1
    cdef void* l2
    cdef void* rate_factors
    # A number for each feature: what the penalty multiplies its weights by; NULL stands for 1.
    cdef const void* units

    # The clocks: the sum of the rates, and that of each column's until the last flush; the rows and the averaged
    # iterates. Whether steps have been made since the last flush.
    cdef public double clock
    cdef double* elapsed
    cdef public Py_ssize_t average_from, n_rows_seen, n_averaged
    cdef bint stale

    # The growth of each column, its inverse, and what a step at rate 1 makes it grow by; and the logarithm of what has
    # been folded into the weights since the penalty was set.
    cdef double* growth
    cdef double* grown
    cdef void* inverse
    cdef double* decay
    cdef double largest_growth, largest_unit

    # The step to come: its rates (`rate_stride` is 1 where each column has its own), the derivatives that multiply
    # the features' values (`gradient_stride` is 0 where all features have the same), and the rows behind it.
    cdef const double* rates
    cdef Py_ssize_t rate_stride
    cdef const void* gradient
    cdef const void* intercept_gradient
    cdef Py_ssize_t gradient_stride
    cdef Py_ssize_t n_rows
    # Room for a number for each column, such as its rate.
    cdef void* steps

    # The row to come: its features. Whether the step on a row comes right after its reading.
    cdef const int32_t* coming
    cdef Py_ssize_t n_coming
    cdef bint row_by_row
    # Lanes: records that are held, and how many there is room for.
    cdef void* held
    cdef Py_ssize_t room

    cdef dict _vectors
    cdef object _units, _held

    cdef void write_penalty(self, double* values)
    cdef void* _vector(self, name, values, dtype=*) except NULL
    cdef void bring_up_to_date(self) noexcept nogil
    cdef void read_f32(self, const int32_t* features, const float* x, Py_ssize_t n, float* scores) noexcept nogil
    cdef void read_f64(self, const int32_t* features, const double* x, Py_ssize_t n, double* scores) noexcept nogil
    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil
    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil


cdef inline bint averages(State u) noexcept nogil:
    """Whether the last slot corrects the weights to their average."""
    return u.average_from > 0


cdef inline bint shares_growth(State u) noexcept nogil:
    """Whether all columns grow alike."""
    return u.uniform and not u.rate_stride


cdef inline bint asks_while_reading(State u) noexcept nogil:
    """Whether the records of the next row are asked for one by one while a row is read."""
    return u.lazy and u.layout == COLUMNS
