# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The state of columns in training, one record a feature; it knows no optimizer's formula.

Everything known of a feature stands in one record, so that it shares a cache line:

    record[feature, slot, column] for every slot and column, then what the columns share: the penalty's clock, ...

Slot 0 is the weight, or a multiple of it, as `Form` says. Slot 1 of an adaptive optimizer is the root of its second
moment, so that its denominator is `d = metric_scale * (root + epsilon)`; that of the others is the constant
`metric_scale`. The last slot is the running correction of the average, if there is one. The last record is the
intercept's.

A row is read, which brings its features up to date and scores it, and then stepped on.

Invariants:
- A step is `w <- prox(w - rate * direction)`, with the penalty's proximal operator in the metric d / rate. The
  gradient part is taken by `step`. The proximal part waits until the coordinate is next read, which then takes it with
  the sum of the rates since: d does not change in between.
- Where d is one and the same constant for all coordinates, an l2 penalty alone shrinks all of them by the same factor
  in each step; then weights are `GROWN`: stored times the inverse of the product of the factors, and nothing waits.
- Where each row is stepped on as soon as it is read, and an l2 penalty waits, slot 0 of an adaptive optimizer is a
  `PRODUCT`: it holds the weight times d from a step to the next reading. This divides once, by d and what the penalty
  adds to it; a step does not divide. A clock below zero (no step since the last flush) says that the weight itself
  stands there, as it does wherever nothing but `read` and `step` has to do with it.
- A coordinate of an adaptive optimizer that no gradient has reached has no metric; its weight is left alone.
- `direction` by its metric settles at `gradient / d` where the gradient is constant; otherwise the penalty would be
  weighed wrongly.
- The weight of a `dual` optimizer follows from its other slots when it is read; its formula sees to the penalty.
"""

from types import SimpleNamespace

import numpy as np

from cython cimport floating
from libc.math cimport fabs

from sgdkit._kernels.arrays import put_rows, take_rows
from sgdkit._kernels.compiler cimport LINE
from sgdkit._kernels.growth cimport fold

# What a state begins with.
NO_PENALTY = SimpleNamespace(l1=0.0, l2=0.0, units=None, shrinks_alike=True)


cdef inline double penalty_of(State u, double w, Py_ssize_t c) noexcept nogil:
    return fabs(w) * u.alpha_l1[c] + w * w * u.alpha_l2[c] / 2


cdef void penalty(State u, const floating* state, double* values) noexcept nogil:
    cdef const floating* units = <const floating*> u.units
    cdef Py_ssize_t m = u.n_columns, record = u.record_size, j = 0, c
    for c in range(m):
        values[c] = 0
    while units and j < u.n_features:
        for c in range(m):
            values[c] += penalty_of(u, <double> units[j] * state[c], c)
        state += record
        j += 1
    while j + 4 <= u.n_features:
        for c in range(m):
            # Four at a time, because each addition waits for the one before.
            values[c] += (
                (penalty_of(u, state[c], c) + penalty_of(u, state[record + c], c))
                + (penalty_of(u, state[2 * record + c], c) + penalty_of(u, state[3 * record + c], c))
            )
        state += 4 * record
        j += 4
    while j < u.n_features:
        for c in range(m):
            values[c] += penalty_of(u, state[c], c)
        state += record
        j += 1
    for c in range(m):
        # Adds 0, unless it is not finite.
        values[c] += 0 * state[c]


cdef class State:
    """An optimizer at work on the columns of a problem.

    Parameters
    ----------
    optimizer : Optimizer
        The hyper-parameters.
    record : ndarray of shape (n_features + 1, n_slots * n_columns + n_shared), or None
        The state to go on from, which is taken over if it is laid out as one is here; None begins at zero.
    shape : tuple of int (n_features, n_columns)
    dtype : {numpy.float32, numpy.float64}
    fit_intercept : bool, default=True
    average_from : int, default=0
        The average begins with the step that has seen this number of rows; 0 means that there is none.
    clocks : tuple of (float, int, int, ndarray of shape (n_columns,)), default=(0.0, 0, 0, 0.0)
        The sum of rates since the epoch began, the rows seen, the iterates averaged, and the sum of each column's rates
        in earlier epochs.
    """

    def __init__(
        self, optimizer, record, shape, dtype,
        fit_intercept=True, average_from=0, clocks=(0.0, 0, 0, 0.0),
    ):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.smallest = float(np.sqrt(np.finfo(dtype).tiny))
        self.largest_growth = 1e20 if dtype == np.float32 else 1e200
        # Its square is no infinity, nor is that times a rate.
        self.largest_unit = 1e14 if dtype == np.float32 else 1e145
        self.metric_scale = 1.0
        self.plain = self.waits = True
        slots = self._configure(optimizer)
        self.slots, self.degrees = tuple(slots), tuple(slots.values())
        self.n_slots = 1 + len(slots) + averages(self)
        self.waits = self.waits and self.adaptive
        if self.adaptive:
            self.largest_inverse = np.divide(1, self.epsilon, dtype=dtype)
        # The clock comes first.
        self.n_shared += self.adaptive
        self._vectors = {}
        self.clock, self.n_rows_seen, self.n_averaged, elapsed = clocks
        self.elapsed = <double*> self._vector("elapsed", elapsed, np.float64)
        if record is None:
            width = self.n_slots * self.n_columns + self.n_shared
            self._hold(zero_records(self.n_features + 1, width, dtype))
            self._start()
        else:
            self._hold(record)
            self.n_shared = record.shape[1] - self.n_slots * self.n_columns
        self.stale = self.clock > 0
        if self.adaptive and not self.stale and self._clocks[self.n_features] >= 0:
            self._clocks[:] = FRESH
        fits = self.n_columns == 1 and self.record_size in (4, 8)
        self.layout = LANES if self.adaptive and self.plain and not self.average and fits else COLUMNS
        self._make_room(ROOM)
        # Clocks that came along are kept until it is known what they are for.
        self._set_columns(NO_PENALTY, np.ones(self.n_columns))

    @property
    def average(self):
        """Whether the last slot corrects the weights to their average."""
        return averages(self)

    @property
    def adaptive(self):
        """Whether the metric depends on the first slot after the weight."""
        return self.slots[:1] == ("root",)

    def _configure(self, optimizer):
        """Read the hyper-parameters, and return the degree in the gradient of each slot after the weight, by its name.

        The first of an adaptive optimizer is its "root". `n_shared` is set to how many numbers the columns share.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _configure(optimizer)")

    def _start(self):
        """Fill the slots that do not begin at zero."""

    def _complete(self):
        """Make the other slots agree with weights that were given, before the next step."""

    def __reduce__(self):
        self._settle()
        self._complete()
        if self.form == GROWN:
            self.flush()
        # The class and its arguments alone: who trusts no function of a file, such as skops, loads it all the same.
        return type(self), self._arguments(self.record, slice(None))

    def take(self, columns):
        """The state of some of the columns, between two epochs."""
        self._settle()
        self._complete()
        fields = np.arange(self.n_slots * self.n_columns).reshape(self.n_slots, -1)[:, columns].ravel()
        shared = np.arange(self.n_slots * self.n_columns, self.record.shape[1])
        kept = np.append(fields, shared)
        record = zero_records(len(self.record), len(kept), self.record.dtype)
        np.take(self.record, kept, axis=1, out=record, mode="clip")
        return type(self)(*self._arguments(record, columns))

    def of_features(self, features, array):
        """The state of some of the features (an array of int32), and of the intercept, between two epochs.

        Its memory is that of ``array(name, shape, dtype)``.
        """
        self._settle()
        self._complete()
        n_records, width, dtype = len(features) + 1, self.record.shape[1], self.record.dtype
        whole = array(f"state {address(self.record)}", n_numbers(n_records, width, dtype), dtype)
        record = records_in(whole, n_records, width)
        take_rows(self.record, features, record)
        record[len(features)] = self.record[self.n_features]
        return type(self)(*self._arguments(record, slice(None)))

    def spread(self, subset):
        """The state of all features, given that of a `Subset`, between two epochs."""
        _, _, (_, n_columns), dtype, *rest = self._arguments(self.record, slice(None))
        whole = type(self)(self.optimizer, None, (subset.n_features, n_columns), dtype, *rest)
        if not self.adaptive:
            whole._lay_out(self.n_shared)
        whole.take_in(self, subset.features)
        return whole

    def take_in(self, State part, features):
        """Take over what the state of some features, and of the intercept, has come to."""
        part._settle()
        part._complete()
        put_rows(self.record, features, part.record)
        self.record[self.n_features] = part.record[len(features)]
        self.n_rows_seen, self.n_averaged = part.n_rows_seen, part.n_averaged
        self._vectors["elapsed"][:] = part._vectors["elapsed"]

    @property
    def _clocks(self):
        return self.record[:, self.n_slots * self.n_columns]

    @property
    def log_growth(self):
        """The logarithm of what each column has shrunk by since the penalty was set, where weights are `GROWN`."""
        return self._vectors["grown"]

    def shrink(self, growth):
        """Divide weights by the growth of their columns, where they are `GROWN`."""
        if self.form == GROWN and (growth != 1).any():
            self.slot(0)[:self.n_features] /= growth.astype(self.record.dtype)

    def wait(self, time):
        """Note on the clocks, if there are any, that features are up to date at a time, between two epochs.

        Times are below zero there, so that no step is taken for the last. Like the clock of an epoch they are rounded,
        so that the differences add up to the whole.
        """
        if self.n_shared:
            self._settle()
            self._clocks[:] = FRESH - time

    def take_missed(self, time, speed):
        """Take a lazy penalty that features have missed, whose clocks tell when they took it last, between two epochs.

        Parameters
        ----------
        time : float
            The present.
        speed : float
            By how much it passes for each unit of the rates.
        """
        if not self.lazy:
            return
        self._settle()
        now = float(self.record.dtype.type(FRESH - time))
        missed = (np.minimum(self._clocks[:self.n_features], FRESH, dtype=np.float64) - now).clip(0) / speed
        latest = missed.max(initial=0.0)
        if not latest:
            return
        elapsed = self._vectors["elapsed"]
        before = elapsed.copy()
        # A clock that began as long ago as what has missed the most was read last.
        elapsed -= latest * self._vectors["factors"]
        self._clocks[:self.n_features] = latest - missed
        self.clock, self.form = latest, WEIGHT
        self.bring_up_to_date()
        self.clock = 0
        elapsed[:] = before

    def _arguments(self, record, columns):
        """What a state of some columns is made with, whose record is given."""
        elapsed = self._vectors["elapsed"][columns]
        clocks = self.clock, self.n_rows_seen, self.n_averaged, elapsed
        shape = len(record) - 1, len(elapsed)
        return self.optimizer, record, shape, record.dtype, self.fit_intercept, self.average_from, clocks

    def set_columns(self, penalty, rate_factors):
        """Set the penalty, and the factor of each column's rate (shape (n_columns,)), before the first step.

        The strengths of the penalty are numbers, or arrays of shape (n_columns,).
        """
        self._settle()
        self._set_columns(penalty, rate_factors)
        if not self.adaptive and (self.lazy or not self.clock):
            self._lay_out(self.lazy)

    def _set_columns(self, penalty, rate_factors):
        l1, l2 = penalty.l1, penalty.l2
        self.has_l1 = bool(np.any(l1))
        penalised = self.has_l1 or bool(np.any(l2))
        waits = not penalty.shrinks_alike or self.adaptive or self.average
        self.lazy = self.dual or (penalised and waits)
        self.form = GROWN if penalised and not self.lazy else WEIGHT
        self.units = NULL
        if penalty.units is not None:
            self._units = penalty.units.clip(None, self.largest_unit).astype(self.record.dtype)
            self.units = <void*> <size_t> address(self._units)
        self.uniform = np.ptp(rate_factors) == 0 and np.ptp(l2) == 0
        self.l1 = self._vector("l1", l1 * rate_factors)
        self.l2 = self._vector("l2", l2 * rate_factors)
        self.rate_factors = self._vector("rate_factors", rate_factors)
        self.factors = <double*> self._vector("factors", rate_factors, np.float64)
        self.steps = self._vector("steps", 0.0)
        self.inverse = self._vector("inverse", 1.0)
        self.alpha_l1 = <double*> self._vector("alpha_l1", l1, np.float64)
        self.alpha_l2 = <double*> self._vector("alpha_l2", l2, np.float64)
        # What a step at rate 1 shrinks a weight by, to first order.
        self.decay = <double*> self._vector("decay", l2 * rate_factors / self.metric_scale, np.float64)
        self.growth = <double*> self._vector("growth", 1.0, np.float64)
        self.grown = <double*> self._vector("grown", 0.0, np.float64)

    def prepare(self, n_rates, longest=0):
        """Get ready for steps at `n_rates` (1, or one a column) rates each.

        `longest` is the number of features of the longest row, if each row is stepped on as soon as it is read, else 0.
        """
        self._complete()
        self.row_by_row = longest > 0
        if self.form != GROWN:
            multiplies = self.adaptive and self.plain and not (self.dual or self.average or self.has_l1)
            form = PRODUCT if self.row_by_row and self.lazy and multiplies else WEIGHT
            if form != self.form:
                self.flush()
            self.form = form
        self.stale = True
        self._make_room(longest)
        if n_rates > 1 and self.lazy:
            raise ValueError("Columns with rates of their own need a penalty of l2 only, and a constant metric.")
        self.rate_stride = n_rates > 1

    def load(self, weights):
        """Go on from other weights, with the moments as they are and no average."""
        self._settle()
        self.slot(0)[:] = weights
        self.n_averaged = 0
        if self.average:
            self.slot(self.n_slots - 1)[:] = 0

    def rescale(self, ratio, drift):
        """Go on with features whose gradients are `ratio` (of shape (n_features,)) times what they were.

        Weights are divided by it, the intercepts move by `drift` times the old weights, and a slot of the degree k in
        the gradient is multiplied by its k-th power.
        """
        self._settle()
        for number in [0, self.n_slots - 1] if self.average else [0]:
            weights = self.slot(number)
            weights[self.n_features] += drift @ weights[:self.n_features]
            weights[:self.n_features] /= ratio[:, np.newaxis]
        for number, degree in enumerate(self.degrees, start=1):
            self.slot(number)[:self.n_features] *= ratio[:, np.newaxis] ** degree

    def slot(self, number):
        """A view of one slot, of shape (n_features + 1, n_columns)."""
        return self.record[:, number * self.n_columns:(number + 1) * self.n_columns]

    def inverse_metric(self):
        """The inverse of the metric, of shape (n_features + 1, n_columns); 0 where there is none yet."""
        self._settle()
        if not self.adaptive:
            metric = np.full((self.n_features + 1, self.n_columns), self.metric_scale)
        else:
            root = self.slot(1).astype(np.float64)
            metric = np.where(root > 0, (root + self.epsilon) * self.metric_scale, np.inf)
        if not self.fit_intercept:
            metric[self.n_features] = np.inf
        return 1 / metric

    def weights(self):
        """The weights that the user is to get: the average, if there is one yet. A view, or a new array."""
        if not self.n_averaged:
            return self.slot(0)
        return self.slot(0) - self.slot(self.n_slots - 1) / self.record.dtype.type(self.n_averaged)

    def release(self):
        """Let go of the data of a fit; nothing is kept of them here."""

    def flush(self):
        """Apply to every feature the penalty that it has missed, and turn the clock back to zero."""
        cdef Py_ssize_t c
        if self.form == GROWN:
            if self.single:
                fold(self, <float*> self.inverse)
            else:
                fold(self, <double*> self.inverse)
        if self.lazy and self.stale:
            self.bring_up_to_date()
        for c in range(self.n_columns):
            self.elapsed[c] += self.clock * self.factors[c]
        self.clock = 0
        self.stale = False

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        values = np.empty(self.n_columns)
        self.write_penalty(<double*> <size_t> address(values))
        return values

    cdef void write_penalty(self, double* values):
        if self.single:
            penalty(self, <const float*> self.data, values)
        else:
            penalty(self, <const double*> self.data, values)

    def _settle(self):
        """Turn products into weights, where something else than steps comes next."""
        if self.form == PRODUCT:
            self.flush()

    def _lay_out(self, n_shared):
        """Widen or narrow the records, between two epochs."""
        if n_shared != self.n_shared:
            width = self.n_slots * self.n_columns + n_shared
            record, kept = zero_records(self.n_features + 1, width, self.record.dtype), min(width, self.record.shape[1])
            record[:, :kept] = self.record[:, :kept]
            self.n_shared = n_shared
            self._hold(record)

    def _hold(self, record):
        """Work on a record, or on a copy of it that is laid out as one is here."""
        self.record_size = record_stride(record.shape[1], record.itemsize)
        laid_out = record.strides == (self.record_size * record.itemsize, record.itemsize)
        # That of a memory-mapped pickle cannot be written to, and another machine's may have another order of bytes.
        if laid_out and not address(record) % LINE and record.flags.writeable and record.dtype.isnative:
            self.record = record
        else:
            self.record = zero_records(*record.shape, record.dtype.newbyteorder("="))
            self.record[...] = record
        self.data = <void*> <size_t> address(self.record)
        self.single = self.record.dtype == np.float32

    def _make_room(self, n):
        """Make room for so many features that are held."""
        n = -(-n // ROOM) * ROOM
        if self.layout == LANES and n > self.room:
            self.room = n
            self._held = zero_records(n, self.record_size, self.record.dtype)
            self.held = <void*> <size_t> address(self._held)

    cdef void* _vector(self, name, values, dtype=None) except NULL:
        """Keep an array of a number for each column, and return its address."""
        self._vectors[name] = array = np.full(self.n_columns, values, dtype=dtype or self.record.dtype)
        return <void*> <size_t> address(array)

    # What each optimizer makes for its formula, see `rule.pxi`.

    cdef void bring_up_to_date(self) noexcept nogil:
        pass

    cdef void read_f32(self, const int32_t* features, const float* x, Py_ssize_t n, float* scores) noexcept nogil:
        pass

    cdef void read_f64(self, const int32_t* features, const double* x, Py_ssize_t n, double* scores) noexcept nogil:
        pass

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        pass

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        pass


def address(array):
    return array.__array_interface__["data"][0]


def record_stride(width, size):
    """From how many numbers to how many a record begins.

    One that is up to a quarter shorter than 4, 8 or 16 numbers takes their place, so that it lies in one line of
    cache; one longer than two lines begins with half a line.
    """
    if width * size > 2 * LINE:
        return width + -width % (LINE // 2 // size)
    whole = 1 << (width - 1).bit_length()
    return whole if 3 * whole <= 4 * width and whole <= 16 else width


def zero_records(n_records, width, dtype):
    """Records of zeros, the first of which begins with a line of cache."""
    return records_in(np.zeros(n_numbers(n_records, width, dtype), dtype), n_records, width)


def n_numbers(n_records, width, dtype):
    """How many numbers there is to be room for, for records to begin with a line of cache."""
    size = np.dtype(dtype).itemsize
    return n_records * record_stride(width, size) + LINE // size


def records_in(whole, n_records, width):
    """Records in an array, the first of which begins with a line of cache."""
    stride, first = record_stride(width, whole.itemsize), -address(whole) % LINE // whole.itemsize
    return whole[first:first + n_records * stride].reshape(n_records, stride)[:, :width]
