# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The only loop over rows: score a row, take the loss's derivative, hand the gradient to the optimizer.

It knows no formula: `Loss` evaluates a loss, `Update` makes steps, and `Rows` and `Targets` show the data.
"""

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from sgdkit._kernels.compiler cimport LINE, SGDKIT_PREFETCH, fetch_lines, within
from sgdkit._kernels.loss cimport Loss, evaluate
from sgdkit._kernels.rows cimport Rows, begin, get_row, look
from sgdkit._kernels.targets cimport Targets, get_targets
from sgdkit._kernels.state cimport State, asks_while_reading

# How many rows ahead of its turn a row's indices and values are fetched, and the weights that they point at.
cdef enum:
    FETCH_ROW = 8
    FETCH_WEIGHTS = 3
    # Rows whose indices and values are looked at in one go, if nobody has done so; they are fetched so much earlier.
    FETCH_LOOK = 32
    FETCH_MOST = FETCH_ROW + FETCH_LOOK
    # Bytes of state from which on its weights are worth asking for; less stays near the processor anyway.
    LARGE_STATE = 1 << 19
    # Rows between two looks ahead.
    STRETCH = 256


cdef class Pass:
    """Passes over rows: what they read, what they change, and what they write to on their way.

    Parameters
    ----------
    rows : Rows
    targets : Targets
    loss : Loss
    state : State
        It holds the state, which changes.
    row_weights : ndarray of float64 of shape (n_rows,), default=None
    class_weights : ndarray of float64 of shape (n_classes, n_columns), default=None
        By which those of the rows are multiplied in each column, where the targets are classes; then by those of the
        columns. In this order, products are what they are where rows have weights alone, to the last bit.
    column_weights : ndarray of float64 of shape (n_columns,), default=None
        Given with those of the classes.
    batch_size : int, default=1
    """
    cdef Rows rows
    cdef Targets targets
    cdef Loss loss
    cdef State state
    # Rows to visit, as 32-bit numbers where these do.
    cdef const int32_t[::1] order
    cdef const int64_t[::1] long_order
    cdef Py_ssize_t n_visits
    cdef bint long_numbers
    cdef bint faulty
    cdef const double[::1] row_weights
    cdef const double[:, ::1] class_weights
    cdef const double[::1] column_weights
    cdef const double[:, ::1] rates
    cdef Py_ssize_t batch_size
    cdef double[::1] sums
    # Where the coming rows begin and end.
    cdef Py_ssize_t begins[STRETCH + FETCH_MOST]
    cdef Py_ssize_t ends[STRETCH + FETCH_MOST]
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
    cdef object _sums

    def __init__(
        self, Rows rows, Targets targets, Loss loss, State state,
        *, row_weights=None, class_weights=None, column_weights=None, batch_size=1,
    ):
        self.rows, self.targets, self.loss, self.state = rows, targets, loss, state
        self.row_weights = np.empty(0) if row_weights is None else row_weights
        self.class_weights = np.empty((0, 0)) if class_weights is None else class_weights
        self.column_weights = np.empty(0) if column_weights is None else column_weights
        self.batch_size = batch_size
        self._arrays = []
        m = state.n_columns
        self.sums = self._sums = np.zeros(m)
        value_buffer, index_buffer = rows.buffers()
        self.values, self.indices = self.keep(value_buffer), <int32_t*> self.keep(index_buffer)
        self.scores = self.allocate(m, rows.dtype)
        self.column_targets = self.allocate(m, rows.dtype)
        self.derivative = self.allocate(m, rows.dtype)
        self.value = self.allocate(m, rows.dtype)
        if batch_size > 1:
            n_touched = min(min(batch_size, rows.n_rows) * max(rows.longest, 1), rows.n_features) + 1
            self.place = <int32_t*> self.allocate(rows.n_features, np.int32, fill=-1)
            self.touched = <int32_t*> self.allocate(n_touched, np.int32)
            self.gradient = self.allocate(n_touched * m, rows.dtype)
            self.intercept_gradient = self.allocate(m, rows.dtype)
            self.ones = self.allocate(n_touched, rows.dtype, fill=1)

    def visit(self, order, rates):
        """Visit rows in the given order, one optimizer step for each `batch_size` of them.

        Parameters
        ----------
        order : ndarray of int32 or int64
            The rows to visit.
        rates : ndarray of float64 of shape (n_steps,) or (n_steps, n_columns)
            The learning rate of each step; `n_steps` is `len(order) / batch_size`, rounded up.

        Returns
        -------
        sums : ndarray of float64 of shape (n_columns,)
            The weighted sum of the losses met, each before the step that its row is part of.

        Raises
        ------
        ValueError
            In the middle of the pass, where nobody had looked at the rows before, and one is not valid or not finite.
        """
        self.n_visits, self.long_numbers = len(order), order.dtype == np.int64
        if self.long_numbers:
            self.long_order = order
        else:
            self.order = order
        self.rates = rates if rates.ndim == 2 else rates[:, np.newaxis]
        self.run()
        return self._sums.copy()

    def visit_epochs(self, orders, rates):
        """Visit all rows several times over.

        Parameters
        ----------
        orders : ndarray of int32 or int64 of shape (n_epochs, n_rows)
        rates : ndarray of float64 of shape (n_steps,) or (n_steps, n_columns)
            Those of the steps of all epochs.

        Returns
        -------
        sums, penalties : ndarray of float64 of shape (n_epochs, n_columns)
            The sums of losses of each epoch, as of `visit`, and the penalty after it.
        """
        cdef Py_ssize_t n_epochs = len(orders), n_steps = len(rates) // n_epochs, epoch
        cdef const int32_t[:, ::1] short_orders
        cdef const int64_t[:, ::1] long_orders
        cdef const double[:, ::1] all_rates = rates if rates.ndim == 2 else rates[:, np.newaxis]
        sums, penalties = np.empty((n_epochs, self.state.n_columns)), np.empty((n_epochs, self.state.n_columns))
        cdef double[:, ::1] sums_view = sums, penalties_view = penalties
        self.n_visits, self.long_numbers = orders.shape[1], orders.dtype == np.int64
        if self.long_numbers:
            long_orders = orders
        else:
            short_orders = orders
        # Views are cut here in no time, where arrays would take longer than an epoch of few rows.
        for epoch in range(n_epochs):
            if self.long_numbers:
                self.long_order = long_orders[epoch]
            else:
                self.order = short_orders[epoch]
            self.rates = all_rates[epoch * n_steps:(epoch + 1) * n_steps]
            self.run()
            sums_view[epoch, :] = self.sums
            self.state.flush()
            self.state.write_penalty(&penalties_view[epoch, 0])
        return sums, penalties

    cdef run(self):
        """Visit the rows of the order that has been set, at the rates that have been."""
        if self.batch_size > 1:
            self.rows.check()
        self.faulty = False
        self.state.prepare(self.rates.shape[1], self.rows.longest if self.batch_size == 1 else 0)
        self.sums[:] = 0
        with nogil:
            if self.rows.single:
                visit(self, <float*> self.values)
            else:
                visit(self, <double*> self.values)
        if self.faulty:
            self.rows.check()

    cdef void* allocate(self, size, dtype, fill=None) except? NULL:
        return self.keep(np.empty(size, dtype) if fill is None else np.full(size, fill, dtype))

    cdef void* keep(self, array) except? NULL:
        self._arrays.append(array)
        return <void*> <size_t> array.__array_interface__["data"][0]


cdef inline Py_ssize_t row_at(Pass p, Py_ssize_t i) noexcept nogil:
    return p.long_order[i] if p.long_numbers else p.order[i]


cdef inline void look_ahead(Pass p, Py_ssize_t first) noexcept nogil:
    """Note where the rows of the coming stretch begin and end, and ask for their targets.

    These are reads all over memory that do not wait for one another, as they would between the rows.
    """
    cdef Py_ssize_t last = min(first + STRETCH + FETCH_MOST, p.n_visits), row, i
    for i in range(first, last):
        row = row_at(p, i)
        p.begins[i - first] = begin(p.rows, row)
        p.ends[i - first] = begin(p.rows, row + 1)
        fetch_targets(p.targets, row)
    for i in range(last - first, STRETCH + FETCH_MOST):
        p.begins[i] = p.ends[i] = 0


cdef bint look_closely(Pass p, Py_ssize_t i) noexcept nogil:
    """Whether the rows to visit from `i` on, until the next look, are valid; neighbours are looked at in one go."""
    cdef Py_ssize_t last = min(i + FETCH_LOOK, p.n_visits), first, n
    while i < last:
        first, n = row_at(p, i), 1
        while i + n < last and row_at(p, i + n) == first + n:
            n += 1
        if not look(p.rows, first, first + n):
            return False
        i += n
    return True


cdef inline void fetch_targets(Targets targets, Py_ssize_t row) noexcept nogil:
    if targets.labels:
        SGDKIT_PREFETCH(targets.codes + row)
    else:
        SGDKIT_PREFETCH(targets.outputs + row * targets.n_outputs)


cdef inline void fetch(Pass p, Py_ssize_t i, Py_ssize_t ahead, floating* unused) noexcept nogil:
    """Ask for the weights of a row that is soon to come, and for the indices and values of the one `ahead` rows later.

    `i` is the place of the row at hand in the stretch.
    """
    cdef Py_ssize_t size = sizeof(floating), width = 8 if p.rows.wide else 4, record = p.state.record_size * size
    cdef Py_ssize_t first = p.begins[i + ahead], n = p.ends[i + ahead] - first, k
    cdef const char* data = <const char*> p.state.data
    cdef const int32_t* features
    fetch_lines(<const char*> p.rows.values + first * size, n * size)
    if p.rows.dense:
        return
    fetch_lines(<const char*> p.rows.indices + first * width, n * width)
    if not p.rows.wide and p.state.n_features * record > LARGE_STATE:
        features = <const int32_t*> p.rows.indices
        if record <= LINE:
            for k in range(p.begins[i + FETCH_WEIGHTS], p.ends[i + FETCH_WEIGHTS]):
                SGDKIT_PREFETCH(data + features[k] * record)
            if p.rows.factor != NULL:
                for k in range(p.begins[i + FETCH_WEIGHTS], p.ends[i + FETCH_WEIGHTS]):
                    SGDKIT_PREFETCH(<const char*> p.rows.factor + features[k] * size)
        elif asks_while_reading(p.state):
            # While this row is read; here, for what it has too few features for.
            p.state.coming, p.state.n_coming = features + p.begins[i + 1], p.ends[i + 1] - p.begins[i + 1]
            for k in range(p.begins[i + 1] + p.ends[i] - p.begins[i], p.ends[i + 1]):
                fetch_lines(data + features[k] * record, record)
        else:
            for k in range(p.begins[i + 2], p.ends[i + 2]):
                fetch_lines(data + features[k] * record, record)


cdef inline void read(
    State state, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    if floating is float:
        state.read_f32(features, x, n, scores)
    else:
        state.read_f64(features, x, n, scores)


cdef inline within derive(
    Pass p, Py_ssize_t row, double share, Py_ssize_t m, bint by_class, const floating* unused,
) noexcept nogil:
    """Write the weighted derivative of a row's loss for each of `m` columns, and add the loss to the sums.

    `share` is the row's part of its mini-batch, and `by_class` says whether there are weights of classes.
    """
    cdef Py_ssize_t c
    cdef floating* derivative = <floating*> p.derivative
    cdef floating* value = <floating*> p.value
    cdef const double* of_class
    cdef double weight = p.row_weights[row] if p.row_weights.shape[0] else 1.0, part = weight * share, of_column
    evaluate(p.loss, <const floating*> p.scores, <const floating*> p.column_targets, m, derivative, value)
    if by_class:
        of_class = &p.class_weights[p.targets.codes[row], 0]
        for c in range(m):
            of_column = weight * of_class[c] * p.column_weights[c]
            derivative[c] *= <floating> (of_column * share)
            p.sums[c] += of_column * value[c]
        return
    if part != 1:
        for c in range(m):
            derivative[c] *= <floating> part
    for c in range(m):
        p.sums[c] += weight * value[c]


cdef inline void step(
    State state, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t n_rows, const double* rates,
) noexcept nogil:
    state.n_rows, state.rates = n_rows, rates
    if floating is float:
        state.step_f32(features, x, n)
    else:
        state.step_f64(features, x, n)


cdef void visit_rows(Pass p, State state, floating* value_buffer) noexcept nogil:
    """One step a row."""
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, n, row
    cdef bint by_class = p.class_weights.shape[0] > 0, single_column = state.n_columns == 1 and not by_class
    cdef bint looks = not p.rows.checked
    cdef Py_ssize_t ahead = FETCH_MOST if looks else FETCH_ROW
    state.gradient = state.intercept_gradient = p.derivative
    state.gradient_stride = 0
    for i in range(p.n_visits):
        if i % STRETCH == 0:
            look_ahead(p, i)
        if looks and i % FETCH_LOOK == 0 and not look_closely(p, i):
            p.faulty = True
            break
        fetch(p, i % STRETCH, ahead, value_buffer)
        row = row_at(p, i)
        n = get_row(p.rows, row, value_buffer, p.indices, &x, &features)
        # Long before they are read: one by one here, as vectors there.
        get_targets(p.targets, row, <floating*> p.column_targets)
        read(state, features, x, n, <floating*> p.scores)
        if single_column:
            # With a constant, the compiler drops the loops over columns.
            derive(p, row, 1.0, 1, False, x)
        else:
            derive(p, row, 1.0, state.n_columns, by_class, x)
        step(state, features, x, n, 1, &p.rates[i, 0])
    state.n_coming = 0


include "sgdkit/_kernels/mini_batches.pxi"


cdef inline void visit(Pass p, floating* value_buffer) noexcept nogil:
    if p.batch_size == 1:
        visit_rows(p, p.state, value_buffer)
    else:
        visit_batches(p, p.state, value_buffer)
