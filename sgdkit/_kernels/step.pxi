# The step on a row that has been read, or on a mini-batch of such rows.


cdef inline Stepping stepping_of(State u, Layout layout) noexcept nogil:
    """How records are stepped on, before anything of it is a constant."""
    cdef Stepping stepping
    stepping.layout, stepping.form, stepping.averages, stepping.intercept = layout, WEIGHT, averages(u), False
    stepping.gradient_stride = u.gradient_stride
    return stepping


cdef inline void fill_stepping(State u, Stepping* stepping) noexcept nogil:
    """Add the numbers that all features of a row share."""
    stepping.weight, stepping.largest, stepping.x = <double> u.n_averaged, u.largest_inverse, 1
    stepping.rates = u.steps


cdef inline within step_columns(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
    Py_ssize_t m, Stepping stepping,
) noexcept nogil:
    cdef Py_ssize_t record = u.record_size, n_slots = u.n_slots, stride = stepping.gradient_stride, k
    cdef floating gain[3 * FEW]
    cdef floating zero = 0
    cdef floating* slot
    cdef floating* last = NULL
    cdef Rule copied = rule[0]
    fill_stepping(u, &stepping)
    stepping.gain = gain
    for k in range(n):
        slot = <floating*> u.data + features[k] * record
        gains(&copied, slot + n_slots * m, 1, 1, gain)
        if stepping.averages:
            last = slot + (n_slots - 1) * m
        stepping.x, stepping.gradient = x[k], gradient
        step_record(&copied, slot, slot + m, slot + 2 * m, last, m, stepping, zero)
        gradient += stride


cdef inline within step_intercept(State u, const Rule* rule, floating unit, Py_ssize_t m) noexcept nogil:
    cdef int32_t intercept = <int32_t> u.n_features
    cdef Stepping stepping = stepping_of(u, COLUMNS)
    stepping.intercept = True
    step_columns(u, rule, &intercept, &unit, 1, <const floating*> u.intercept_gradient, m, stepping)


cdef inline within rates_of(State u, floating unused, Py_ssize_t m) noexcept nogil:
    """Write the rate of each column in this step."""
    cdef floating* rates = <floating*> u.steps
    cdef const floating* factors = <const floating*> u.rate_factors
    cdef Py_ssize_t c
    if u.rate_stride:
        for c in range(m):
            rates[c] = <floating> u.rates[c] * factors[c]
    else:
        for c in range(m):
            rates[c] = <floating> u.rates[0] * factors[c]


cdef inline within grown_rates(State u, floating unused, Py_ssize_t m) noexcept nogil:
    """Multiply the rates by the growth of the columns, like the weights."""
    cdef floating* rates = <floating*> u.steps
    cdef Py_ssize_t c
    if shares_growth(u):
        for c in range(m):
            rates[c] *= <floating> u.growth[0]
    else:
        for c in range(m):
            rates[c] *= <floating> u.growth[c]


cdef inline within step_of(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t m,
) noexcept nogil:
    """Move the intercept, and the weights of the features that were read, in all `m` columns."""
    cdef const floating* gradient = <const floating*> u.gradient
    cdef floating unit = 1
    cdef Rule whole = rule[0], bare = rule[0]
    cdef Stepping stepping
    whole.plain, bare.plain = False, True
    if not ADAPTIVE and rule.plain and u.gradient_stride == 0 and not averages(u):
        move(u, features, x, n, m)
        turn(u, unit, m)
        return
    rates_of(u, unit, m)
    if u.fit_intercept:
        step_intercept(u, &whole, unit, m)
    if not ADAPTIVE and u.form == GROWN:
        grown_rates(u, unit, m)
    stepping = stepping_of(u, COLUMNS)
    # With constants, the compiler drops loops and branches.
    if averages(u) or not rule.plain:
        step_columns(u, &whole, features, x, n, gradient, m, stepping)
    elif ADAPTIVE and m == 1 and u.layout == LANES:
        step_on_lanes(u, rule, features, x, n, gradient)
    elif ADAPTIVE and u.form == PRODUCT:
        stepping.form, stepping.averages = PRODUCT, False
        step_columns(u, &bare, features, x, n, gradient, m, stepping)
    else:
        stepping.averages = False
        step_columns(u, &bare, features, x, n, gradient, m, stepping)
    turn(u, unit, m)


cdef cloned step_many(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    step_of(u, rule, features, x, n, u.n_columns)


# For some float32 columns, vectors of eight would only be in the way.
cdef apart step_some(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    step_of(u, rule, features, x, n, u.n_columns)


cdef inline void step(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    """Move the weights, whose gradients are `x[k] * gradient[k]`, and turn the clocks."""
    # With constants, the compiler drops and unrolls all loops over columns.
    if u.n_columns == 1:
        step_of(u, rule, features, x, n, 1)
    elif u.n_columns == 2:
        step_of(u, rule, features, x, n, 2)
    elif u.n_columns == 3:
        step_of(u, rule, features, x, n, 3)
    elif not ADAPTIVE and u.n_columns == 4:
        step_of(u, rule, features, x, n, 4)
    elif floating is float and ADAPTIVE and u.n_columns < 8:
        step_some(u, rule, features, x, n)
    else:
        step_many(u, rule, features, x, n)
