# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""What every loss can do. The formulas are in `sgdkit.losses`; here a loss is two pointers to one of them."""

import numpy as np

from cython cimport floating

from sgdkit._kernels.targets cimport Targets, get_block

# Columns whose losses are evaluated in one call.
cdef Py_ssize_t BLOCK = 256
# Of scores, over what part of their size derivatives are compared.
cdef double DISTANCE = 0.1


cdef inline void add_up(const floating* values, Py_ssize_t n, Py_ssize_t m, double* sums) noexcept nogil:
    """Add the values of `n` rows to the sums of their columns."""
    cdef double sum = 0
    cdef Py_ssize_t i, c
    if m == 1:
        # In a register; else each addition would wait until the one before is in memory.
        for i in range(n):
            sum += values[i]
        sums[0] += sum
        return
    for i in range(n):
        for c in range(m):
            sums[c] += values[i * m + c]


cdef inline void add_up_weighted(
    const floating* values, const double* row_weights, bint by_column, Py_ssize_t n, Py_ssize_t m,
    floating* derivatives, double* sums,
) noexcept nogil:
    """The same, with weights of rows, or of each column's rows (`by_column`); they multiply the derivatives too."""
    cdef Py_ssize_t i, c
    cdef double weight
    for i in range(n):
        for c in range(m):
            weight = row_weights[i * m + c] if by_column else row_weights[i]
            if weight == 0:
                # Such a row is absent, even where its loss is infinite.
                derivatives[i * m + c] = 0
            else:
                sums[c] += weight * values[i * m + c]
                derivatives[i * m + c] *= <floating> weight


cdef inline void add_up_products(
    const floating* a, const floating* b, Py_ssize_t n, Py_ssize_t m, double* sums,
) noexcept nogil:
    """Add the products of `n` rows to the sums of their columns."""
    cdef double sum = 0
    cdef Py_ssize_t i, c
    if m == 1:
        for i in range(n):
            sum += <double> a[i] * b[i]
        sums[0] += sum
        return
    for i in range(n):
        for c in range(m):
            sums[c] += <double> a[i * m + c] * b[i * m + c]


cdef class Loss:
    """A loss of scores and targets.

    Parameters
    ----------
    parameter : float or ndarray of shape (n_columns,), default=0.0
        The value of the estimator's parameter `parameter_name`, if the loss depends on one; or a value a column.
    n_outputs : int, default=1
        The number of columns that a model has; only a coupled loss asks for it.

    Attributes
    ----------
    coupled : bool
        Whether the columns of a model share the loss, and so cannot be trained apart.
    smooth : bool
        Whether the derivative is continuous.
    stiffness : float
        The inverse of the step along a derivative that suits a score. It is about the largest second derivative, or
        what a kink comes to over a margin of 1; and twice that where a derivative has no bound.
    score_size : float
        By about how much few steps are to move the scores of classes: less than a margin of 1, or more where a loss has
        no margin.
    degree : int
        By which power of their unit numbers in it make the loss larger; without a log link.
    homogeneous : bool
        Whether the loss is smallest, and scales, at a score of 0: then no rate is better than another.
    quadratic : bool
        Whether the second derivative is the same everywhere.
    probability : str or None
        How scores become probabilities: "logistic", "modified_huber", "softmax", or None if they do not.
    log_link : bool
        Whether the prediction is `exp(score)`, instead of the score itself.
    parameter_name : str or None
        The parameter of the estimators that the loss depends on.
    """

    coupled = False
    smooth = True
    stiffness = 1.0
    score_size = 0.45
    degree = 2
    homogeneous = False
    quadratic = False
    probability = None
    log_link = False
    parameter_name = None

    def __init__(self, parameter=0.0, n_outputs=1):
        self.parameter, self.n_outputs = parameter, n_outputs
        self._parameters = np.array(parameter, dtype=np.float64, ndmin=1)
        self.setting = Setting(&self._parameters[0], np.ndim(parameter), n_outputs)

    def __reduce__(self):
        return type(self), (self.parameter, self.n_outputs)

    @property
    def minimum_target(self):
        """The least target of the loss's domain, and whether it belongs to the domain: (float, bool)."""
        return -np.inf, True

    def take(self, columns):
        """The loss of the given columns."""
        if np.ndim(self.parameter) == 0:
            return self
        taken = self.parameter[columns]
        return type(self)(float(taken[0]) if (taken == taken[0]).all() else taken, self.n_outputs)

    def initial_intercept(self, y, sample_weight):
        """The score that minimises the loss of a constant model, or is near it; shape (n_outputs,)."""
        mean = np.average(y, axis=0, weights=sample_weight)
        # Rows without an event tell that the mean is small, not that it is zero.
        return np.log(np.where(mean > 0, mean, 0.5 / sample_weight.sum())) if self.log_link else mean

    def score_scale(self, y, sample_weight):
        """The size of typical scores, of shape (n_outputs,): with a log link 1, else the standard deviation of `y`."""
        if self.log_link:
            return np.ones(y.shape[1])
        mean = np.average(y, axis=0, weights=sample_weight)
        return np.sqrt(np.average((y - mean) ** 2, axis=0, weights=sample_weight))

    def pull(self, distance, mean):
        """About the derivative at a distance from the target, to which a penalty's has to be in proportion.

        `mean` is that of the targets, which a loss with a log link depends on instead.
        """
        return distance ** (self.degree - 1)

    cdef Py_ssize_t rows_at_a_time(self, Py_ssize_t n_columns) noexcept nogil:
        # Columns of several rows are as good as columns of one row, unless columns differ.
        return 1 if self.setting.stride else max(1, BLOCK // max(n_columns, 1))

    cdef void add_up_rows(
        self, Targets targets, Py_ssize_t first, Py_ssize_t n, const floating* scores,
        const double[:, ::1] row_weights, floating* derivatives, floating* room, double* sums,
    ) noexcept nogil:
        """Add the losses of `n` rows to the sums of their columns, and write their derivatives."""
        cdef Py_ssize_t m = targets.n_columns
        cdef floating* values = room + n * m
        get_block(targets, first, n, room)
        evaluate(self, scores, room, n * m, derivatives, values)
        if row_weights is None:
            add_up(values, n, m, sums)
        else:
            add_up_weighted(values, &row_weights[first, 0], row_weights.shape[1] == m, n, m, derivatives, sums)

    def total(self, const floating[:, ::1] scores, Targets targets, sample_weight=None, gradient=None):
        """The weighted sum over rows of the loss of each column.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_columns)
        targets : Targets
        sample_weight : ndarray of float64 of shape (n_rows,) or (n_rows, n_columns), default=None
        gradient : ndarray of shape (n_rows, n_columns), default=None
            If given, the weighted derivative of each row's loss is written to it.

        Returns
        -------
        total : ndarray of float64 of shape (n_columns,)
            A coupled loss leaves its sum in the first column of each model.
        """
        cdef Py_ssize_t m = scores.shape[1], n_rows = scores.shape[0], size = self.rows_at_a_time(m), first = 0
        dtype = np.float32 if floating is float else np.float64
        cdef floating[::1] room = np.empty(2 * size * m, dtype)
        cdef floating[:, ::1] derivatives = np.empty((size, m), dtype) if gradient is None else gradient
        cdef bint keep = gradient is not None
        cdef const double[:, ::1] weights = by_rows(sample_weight, n_rows)
        sums = np.zeros(m)
        cdef double[::1] out = sums
        with nogil:
            while first < n_rows:
                self.add_up_rows(
                    targets, first, min(size, n_rows - first), &scores[first, 0], weights,
                    &derivatives[first if keep else 0, 0], &room[0], &out[0],
                )
                first += size
        return sums

    def each(self, const floating[:, ::1] scores, Targets targets):
        """The loss of each row in each column; a coupled one is in the first column of each model."""
        cdef Py_ssize_t m = scores.shape[1], n_rows = scores.shape[0], size = self.rows_at_a_time(m), first = 0, n
        values = np.empty((n_rows, m), np.float32 if floating is float else np.float64)
        cdef floating[:, ::1] out = values
        cdef floating[::1] room = np.empty(2 * size * m, values.dtype)
        with nogil:
            while first < n_rows:
                n = min(size, n_rows - first)
                get_block(targets, first, n, &room[0])
                evaluate(self, &scores[first, 0], &room[0], n * m, &room[n * m], &out[first, 0])
                first += size
        return values

    def along(
        self, const floating[:, ::1] scores, const floating[:, ::1] direction, const double[::1] lengths,
        Targets targets, sample_weight, floating[:, ::1] ahead, floating[:, ::1] gradient,
    ):
        """Go along a direction of the scores, and return the sums of losses there, and how they rise.

        Parameters
        ----------
        scores, direction : ndarray of shape (n_rows, n_columns)
        lengths : ndarray of float64 of shape (n_columns,)
        targets : Targets
        sample_weight : ndarray of float64 of shape (n_rows,) or (n_rows, n_columns), or None
        ahead, gradient : ndarray of shape (n_rows, n_columns)
            ``scores + lengths * direction``, and the weighted derivative of each row's loss there, are written to them.

        Returns
        -------
        totals, slopes : ndarray of float64 of shape (n_columns,)
            The sums, see `total`; and their derivatives with respect to the lengths.
        """
        cdef Py_ssize_t m = scores.shape[1], n_rows = scores.shape[0], size = self.rows_at_a_time(m), first = 0, n, i, c
        dtype = np.float32 if floating is float else np.float64
        cdef floating[::1] room = np.empty(2 * size * m, dtype), length = np.asarray(lengths, dtype)
        cdef const double[:, ::1] weights = by_rows(sample_weight, n_rows)
        totals, slopes = np.zeros((2, m))
        cdef double[::1] total = totals, slope = slopes
        with nogil:
            while first < n_rows:
                n = min(size, n_rows - first)
                for i in range(first, first + n):
                    for c in range(m):
                        ahead[i, c] = scores[i, c] + length[c] * direction[i, c]
                self.add_up_rows(
                    targets, first, n, &ahead[first, 0], weights, &gradient[first, 0], &room[0], &total[0],
                )
                add_up_products(&gradient[first, 0], &direction[first, 0], n, m, &slope[0])
                first += size
        return totals, slopes

    def second_derivatives(self, scores, targets, sample_weight=None):
        """The second derivative of each row's loss with respect to the score of each column; about, over a distance.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_columns)
        targets : Targets
        sample_weight : ndarray of float64 of shape (n_rows,) or (n_rows, n_columns), default=None
            By how much rows count for the size of scores, of which the distance is a part.

        Returns
        -------
        second_derivatives : ndarray of shape (n_rows, n_columns)
        """
        if self.log_link:
            size = np.ones(scores.shape[1])
        elif targets.signs:
            size = 1 + np.average(np.abs(scores), axis=0, weights=sample_weight)
        else:
            # In units of the targets.
            size = np.average(np.abs(scores - targets.table()), axis=0, weights=sample_weight)
        distance = (DISTANCE * np.where(size > 0, size, 1)).astype(scores.dtype)
        before, after = np.empty((2, *scores.shape), scores.dtype)
        self.total(scores - distance, targets, None, before)
        self.total(scores + distance, targets, None, after)
        return (after - before) / (2 * distance)


def by_rows(row_weights, n_rows):
    """Weights of rows, of one column or of each, as an array of two dimensions; None stays None."""
    return None if row_weights is None else row_weights.reshape(n_rows, -1 if n_rows else 1)
