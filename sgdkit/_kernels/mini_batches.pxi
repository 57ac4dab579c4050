# Mini-batches, a part of `epoch.pyx`: the touched features and their gradients are gathered before each step.


cdef inline Py_ssize_t gather(
    Pass p, const int32_t* features, Py_ssize_t n, Py_ssize_t n_touched, const floating* unused,
) noexcept nogil:
    """Give each feature that is new to the mini-batch a place, and return how many are touched by now."""
    cdef Py_ssize_t k, before = n_touched
    for k in range(n):
        if p.place[features[k]] < 0:
            p.place[features[k]] = <int32_t> n_touched
            p.touched[n_touched] = features[k]
            n_touched += 1
    for k in range(before * p.state.n_columns, n_touched * p.state.n_columns):
        (<floating*> p.gradient)[k] = 0
    return n_touched


cdef inline void accumulate(Pass p, const int32_t* features, const floating* x, Py_ssize_t n) noexcept nogil:
    """Add a row's gradient to that of its mini-batch."""
    cdef const floating* derivative = <const floating*> p.derivative
    cdef floating* gradient
    cdef Py_ssize_t k, c, m = p.state.n_columns
    for k in range(n):
        gradient = <floating*> p.gradient + p.place[features[k]] * m
        for c in range(m):
            gradient[c] += x[k] * derivative[c]
    gradient = <floating*> p.intercept_gradient
    for c in range(m):
        gradient[c] += derivative[c]


cdef void visit_batches(Pass p, State state, floating* value_buffer) noexcept nogil:
    """One step a mini-batch, whose gradient is like that of a row of ones: of the features that its rows touch."""
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t b, i, k, n, row, first, last, n_touched
    state.gradient = p.gradient
    state.gradient_stride = state.n_columns
    state.intercept_gradient = p.intercept_gradient
    for b in range(p.rates.shape[0]):
        first, last = b * p.batch_size, min((b + 1) * p.batch_size, p.n_visits)
        n_touched = 0
        for k in range(state.n_columns):
            (<floating*> p.intercept_gradient)[k] = 0
        for i in range(first, last):
            row = row_at(p, i)
            n = get_row(p.rows, row, value_buffer, p.indices, &x, &features)
            n_touched = gather(p, features, n, n_touched, x)
            get_targets(p.targets, row, <floating*> p.column_targets)
            read(state, features, x, n, <floating*> p.scores)
            derive(p, row, 1.0 / (last - first), state.n_columns, p.class_weights.shape[0] > 0, x)
            accumulate(p, features, x, n)
        step(state, p.touched, <const floating*> p.ones, n_touched, last - first, &p.rates[b, 0])
        for k in range(n_touched):
            p.place[p.touched[k]] = -1
