# How a record is read and stepped on where weights move along a direction, and the penalty takes its proximal step
# when a coordinate is next read: `w <- prox(w - rate * move / metric)`.


cdef inline within begin_reading(State u, Reading* reading, floating unused) noexcept nogil:
    """Get ready for reading a row; `reading` has the strengths of the penalty, and may get others."""


cdef inline within catch_up_record(
    sole_numbers w, sole_numbers root, sole_numbers others, sole_numbers average, Py_ssize_t n, Reading reading,
    floating unused,
) noexcept nogil:
    """Bring `n` coordinates up to date; `average` is NULL, or points to the last slot."""
    cdef floating epsilon = <floating> reading.epsilon, d = <floating> reading.metric_scale, scale = d
    cdef floating weight = <floating> reading.weight, of_l1, of_l2, v
    cdef const floating* l1 = <const floating*> reading.l1
    cdef const floating* l2 = <const floating*> reading.l2
    cdef const floating* clock = <const floating*> reading.clock
    cdef const floating* missed = <const floating*> reading.missed
    cdef const floating* unit = <const floating*> reading.unit
    cdef bint lanes = reading.layout == LANES
    cdef Py_ssize_t c, column, feature
    if (floating is float and sole_numbers is sole_floats) or (floating is double and sole_numbers is sole_doubles):
        for c in range(n):
            column, feature = 0 if lanes else c, c if lanes else 0
            of_l1 = of_l2 = missed[feature]
            if reading.has_units:
                of_l1 *= unit[feature]
                of_l2 *= unit[feature] * unit[feature]
            if ADAPTIVE:
                d = scale * (root[c] + epsilon)
            if reading.form == PRODUCT:
                # Of a record that has not been stepped on since the last flush, slot 0 is the weight itself.
                v = (w[c] if clock[feature] >= 0 else w[c] * d) / (d + l2[column] * of_l2)
            else:
                v = shrink(w[c], l1[column] * of_l1, l2[column] * of_l2, d, reading.has_l1)
            if reading.waits and root[c] == 0:
                # No gradient has come yet, so there is no metric; given weights are not to vanish for that.
                v = w[c]
            if lanes and reading.form != PRODUCT:
                v = w[c] if missed[feature] == 0 else v
            if average != NULL:
                average[c] += weight * (v - w[c])
            w[c] = v


cdef inline floating stepped_product(
    floating w, floating move, floating metric, floating root, floating largest,
) noexcept nogil:
    """A weight times its metric after a step; the weight, where the root in its metric is 0.

    `largest` is the inverse of what the metric then is.
    """
    return w - move * largest if root == 0 else w * metric - move


cdef inline within step_record(
    const Rule* rule, sole_numbers w, sole_numbers root, sole_numbers others, sole_numbers average, Py_ssize_t n,
    Stepping stepping, floating unused,
) noexcept nogil:
    """Step on `n` coordinates; `average` is NULL, or points to the last slot."""
    cdef floating x = <floating> stepping.x, weight = <floating> stepping.weight
    cdef floating largest = <floating> stepping.largest, change = 0, metric = 1
    cdef const floating* gradient = <const floating*> stepping.gradient
    cdef const floating* rates = <const floating*> stepping.rates
    cdef const floating* gain = <const floating*> stepping.gain
    cdef bint lanes = stepping.layout == LANES
    cdef Py_ssize_t c, column, feature
    if (floating is float and sole_numbers is sole_floats) or (floating is double and sole_numbers is sole_doubles):
        for c in range(n):
            column, feature = 0 if lanes else c, c if lanes else 0
            direction(rule, root + c, others + c, n, x * gradient[c], gain + feature, &metric, &change)
            if stepping.form == PRODUCT:
                w[c] = stepped_product(w[c], rates[column] * change, metric, root[c], largest)
                continue
            if ADAPTIVE:
                change /= metric
            change *= rates[column]
            w[c] -= change
            if average != NULL:
                average[c] -= weight * change
