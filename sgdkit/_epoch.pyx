# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The only loop over rows: score a row, take the loss's derivative, hand the gradient to the optimizer."""

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t

from sgdkit.losses cimport Loss
from sgdkit.rows cimport Rows, Targets, begin, get_row, get_targets
from sgdkit.updates cimport Update

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    /* The empty statement is an effect; without one, GCC drops calls of functions that do nothing but prefetch. */
    #define SGDKIT_PREFETCH(address) do { __builtin_prefetch(address, 0, 3); __asm__ volatile (""); } while (0)
    #else
    #define SGDKIT_PREFETCH(address)
    #endif
    """
    void SGDKIT_PREFETCH(const void* address) noexcept nogil

# How many rows ahead of its turn a row's indices and values are fetched, and the weights that they point at.
cdef enum:
    FETCH_ROW = 8
    FETCH_WEIGHTS = 3
    LINE = 64


cdef class Pass:
    """A pass over rows: what it reads, what it changes, and what it writes to on its way.

    One is made for each call, so that threads do not meet.
    """
    cdef Rows rows
    cdef Targets targets
    cdef Loss loss
    cdef Update update
    cdef const Py_ssize_t[::1] order
    cdef const double[::1] weights
    cdef const double[::1] rates
    cdef Py_ssize_t batch_size
    cdef double[::1] sums
    # Of a row: its non-zeros; of its columns, the scores, the targets, the loss and its derivative.
    cdef void* values
    cdef int32_t* indices
    cdef void* scores
    cdef void* column_targets
    cdef void* derivative
    cdef void* value
    # Of a mini-batch: each feature's place among those touched (-1: none), the touched, their gradients, and ones.
    cdef int32_t* place
    cdef int32_t* touched
    cdef void* gradient
    cdef void* intercept_gradient
    cdef void* ones
    cdef list _arrays

    def __init__(self, Rows rows, Targets targets, Loss loss, Update update):
        self.rows, self.targets, self.loss, self.update = rows, targets, loss, update
        self._arrays = []
        m = update.n_columns
        self.sums = np.zeros(m)
        self.values = self.allocate(max(rows.longest, 1), rows.dtype)
        self.indices = <int32_t*> self.allocate(max(rows.longest, 1), np.int32)
        self.scores = self.allocate(m, rows.dtype)
        self.column_targets = self.allocate(m, rows.dtype)
        self.derivative = self.allocate(m, rows.dtype)
        self.value = self.allocate(m, rows.dtype)

    def plan(self, order, rates, weights, batch_size):
        """Set the rows to visit, and the steps to take on the way."""
        self.order, self.rates, self.batch_size = order, rates, batch_size
        self.weights = np.empty(0) if weights is None else weights
        if batch_size > 1:
            m, dtype = self.update.n_columns, self.rows.dtype
            n_touched = min(min(batch_size, len(order)) * max(self.rows.longest, 1), self.rows.n_features) + 1
            self.place = <int32_t*> self.allocate(self.rows.n_features, np.int32, fill=-1)
            self.touched = <int32_t*> self.allocate(n_touched, np.int32)
            self.gradient = self.allocate(n_touched * m, dtype)
            self.intercept_gradient = self.allocate(m, dtype)
            self.ones = self.allocate(n_touched, dtype, fill=1)

    cdef void* allocate(self, size, dtype, fill=None) except? NULL:
        array = np.empty(size, dtype) if fill is None else np.full(size, fill, dtype)
        self._arrays.append(array)
        return <void*> <size_t> array.__array_interface__["data"][0]

    cdef double weight(self, Py_ssize_t row) noexcept nogil:
        return self.weights[row] if self.weights.shape[0] else 1.0


cdef inline void fetch_lines(const char* address, Py_ssize_t n_bytes) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n_bytes // LINE + 1):
        SGDKIT_PREFETCH(address + k * LINE)


cdef inline void fetch(Pass p, Py_ssize_t i, floating* unused) noexcept nogil:
    """Ask for the weights of a row that is soon to come, and for the indices and values of a later one."""
    cdef Py_ssize_t last = p.order.shape[0] - 1, size = sizeof(floating), width = 8 if p.rows.wide else 4
    cdef Py_ssize_t row, first, end, k, record = p.update.record_size * size
    cdef const char* state = <const char*> p.update.state
    cdef const int32_t* features
    if p.rows.dense:
        return
    row = p.order[min(i + FETCH_ROW, last)]
    first, end = begin(p.rows, row), begin(p.rows, row + 1)
    fetch_lines(<const char*> p.rows.values + first * size, (end - first) * size)
    fetch_lines(<const char*> p.rows.indices + first * width, (end - first) * width)
    if not p.rows.wide:
        features = <const int32_t*> p.rows.indices
        row = p.order[min(i + FETCH_WEIGHTS, last)]
        for k in range(begin(p.rows, row), begin(p.rows, row + 1)):
            SGDKIT_PREFETCH(state + features[k] * record)


cdef inline void catch_up(
    Update update, const int32_t* features, Py_ssize_t n, const floating* unused,
) noexcept nogil:
    if not update.penalised:
        return
    if floating is float:
        update.catch_up_f32(features, n)
    else:
        update.catch_up_f64(features, n)


cdef inline void score_columns(
    Pass p, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t n_columns,
) noexcept nogil:
    cdef const floating* state = <const floating*> p.update.state
    cdef Py_ssize_t record = p.update.record_size, k, c
    cdef const floating* w0 = state + p.update.n_features * record
    cdef const floating* w1
    cdef const floating* w2
    cdef const floating* w3
    cdef floating* scores = <floating*> p.scores
    for c in range(n_columns):
        scores[c] = w0[c]
    # Four at a time, because each addition to a score waits for the one before.
    for k in range(0, n - 3, 4):
        w0 = state + features[k] * record
        w1 = state + features[k + 1] * record
        w2 = state + features[k + 2] * record
        w3 = state + features[k + 3] * record
        for c in range(n_columns):
            scores[c] += (x[k] * w0[c] + x[k + 1] * w1[c]) + (x[k + 2] * w2[c] + x[k + 3] * w3[c])
    for k in range(n - n % 4, n):
        w0 = state + features[k] * record
        for c in range(n_columns):
            scores[c] += x[k] * w0[c]


cdef inline void score(Pass p, const int32_t* features, const floating* x, Py_ssize_t n) noexcept nogil:
    """Write the score of a row for every column."""
    # With the constant 1, the compiler drops the loops over columns.
    if p.update.n_columns == 1:
        score_columns(p, features, x, n, 1)
    else:
        score_columns(p, features, x, n, p.update.n_columns)


cdef inline void derive(Pass p, Py_ssize_t row, double share, const floating* unused) noexcept nogil:
    """Write the weighted derivative of a row's loss for every column, and add the loss to the sums.

    `share` is the row's part of its mini-batch.
    """
    cdef Py_ssize_t c, m = p.update.n_columns
    cdef floating* derivative = <floating*> p.derivative
    cdef floating* value = <floating*> p.value
    cdef double weight = p.weight(row)
    get_targets(p.targets, row, <floating*> p.column_targets)
    if floating is float:
        p.loss.evaluate_f32(<float*> p.scores, <float*> p.column_targets, m, derivative, value)
    else:
        p.loss.evaluate_f64(<double*> p.scores, <double*> p.column_targets, m, derivative, value)
    for c in range(m):
        derivative[c] *= <floating> (weight * share)
        p.sums[c] += weight * value[c]


cdef inline void move(
    Update update, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t n_rows,
) noexcept nogil:
    """Let the optimizer take its step, and turn the clocks."""
    if floating is float:
        update.step_f32(features, x, n)
    else:
        update.step_f64(features, x, n)
    update.clock += update.rate
    update.n_rows_seen += n_rows
    if update.average and update.n_rows_seen >= update.average_from:
        update.n_averaged += 1


cdef void visit_rows(Pass p, Update update, floating* value_buffer) noexcept nogil:
    """One step a row."""
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, n
    update.gradient = update.intercept_gradient = p.derivative
    update.gradient_stride = 0
    for i in range(p.order.shape[0]):
        fetch(p, i, value_buffer)
        n = get_row(p.rows, p.order[i], value_buffer, p.indices, &x, &features)
        catch_up(update, features, n, x)
        score(p, features, x, n)
        derive(p, p.order[i], 1.0, x)
        update.rate = p.rates[i]
        move(update, features, x, n, 1)


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
    catch_up(p.update, p.touched + before, n_touched - before, unused)
    for k in range(before * p.update.n_columns, n_touched * p.update.n_columns):
        (<floating*> p.gradient)[k] = 0
    return n_touched


cdef inline void accumulate(Pass p, const int32_t* features, const floating* x, Py_ssize_t n) noexcept nogil:
    """Add a row's gradient to that of its mini-batch."""
    cdef const floating* derivative = <const floating*> p.derivative
    cdef floating* gradient
    cdef Py_ssize_t k, c, m = p.update.n_columns
    for k in range(n):
        gradient = <floating*> p.gradient + p.place[features[k]] * m
        for c in range(m):
            gradient[c] += x[k] * derivative[c]
    gradient = <floating*> p.intercept_gradient
    for c in range(m):
        gradient[c] += derivative[c]


cdef void visit_batches(Pass p, Update update, floating* value_buffer) noexcept nogil:
    """One step a mini-batch, whose gradient is like that of a row of ones: of the features that its rows touch."""
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t b, i, k, n, first, last, n_touched
    update.gradient = p.gradient
    update.gradient_stride = update.n_columns
    update.intercept_gradient = p.intercept_gradient
    for b in range(p.rates.shape[0]):
        first, last = b * p.batch_size, min((b + 1) * p.batch_size, p.order.shape[0])
        n_touched = 0
        for k in range(update.n_columns):
            (<floating*> p.intercept_gradient)[k] = 0
        for i in range(first, last):
            n = get_row(p.rows, p.order[i], value_buffer, p.indices, &x, &features)
            n_touched = gather(p, features, n, n_touched, x)
            score(p, features, x, n)
            derive(p, p.order[i], 1.0 / (last - first), x)
            accumulate(p, features, x, n)
        update.rate = p.rates[b]
        move(update, p.touched, <const floating*> p.ones, n_touched, last - first)
        for k in range(n_touched):
            p.place[p.touched[k]] = -1


cdef inline void visit(Pass p, floating* value_buffer) noexcept nogil:
    if p.batch_size == 1:
        visit_rows(p, p.update, value_buffer)
    else:
        visit_batches(p, p.update, value_buffer)


def run(rows, targets, loss, update, *, order, rates, weights=None, batch_size=1):
    """Visit rows in the given order, one optimizer step for each `batch_size` of them.

    Parameters
    ----------
    rows : Rows
    targets : Targets
    loss : Loss
    update : Update
        It holds the state, which changes.
    order : ndarray of intp
        The rows to visit.
    rates : ndarray of float64 of shape (n_steps,)
        The learning rate of each step; `n_steps` is `len(order) / batch_size`, rounded up.
    weights : ndarray of float64 of shape (n_rows,), default=None
    batch_size : int, default=1

    Returns
    -------
    sums : ndarray of float64 of shape (n_columns,)
        The weighted sum of the losses met, each before the step that its row is part of.
    """
    cdef Pass p = Pass(rows, targets, loss, update)
    cdef bint single = rows.dtype == np.float32
    p.plan(order, rates, weights, batch_size)
    with nogil:
        if single:
            visit(p, <float*> p.values)
        else:
            visit(p, <double*> p.values)
    return np.asarray(p.sums)
