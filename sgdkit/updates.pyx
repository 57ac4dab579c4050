# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The compiled update of each optimizer, one touched coordinate at a time.

Everything known of a feature stands in one record, so that it shares a cache line:

    state[feature, slot, column] for every slot and column, then what the columns share: the penalty's clock, ...

Slot 0 is the weight. Slot 1 of an adaptive optimizer is the root of its second moment, so that its denominator is
`d = metric_scale * (slot 1 + epsilon)`; that of the others is the constant `metric_scale`. The last slot is the
running correction of the average, if there is one. The last record is the intercept's.

Invariants:
- A step is `w <- prox(w - rate * direction)`, with the penalty's proximal operator in the metric d / rate. The
  gradient part is taken by `step`. The proximal part waits until the coordinate is next read, and `catch_up` then takes
  it with the sum of the rates since: d does not change in between.
- A coordinate of an adaptive optimizer that no gradient has reached has no metric; `catch_up` leaves its weight alone.
- `direction` settles at `gradient / d` where the gradient is constant; otherwise the penalty would be weighed wrongly.

To add an optimizer: a struct for its numbers, its formula in `direction`, a class that names its slots, and its
hyper-parameters in `sgdkit/optimizers.py`.
"""

import numpy as np

from cython cimport floating
from libc.math cimport sqrt, sqrtf
from libc.stdint cimport int32_t

from sgdkit.penalties cimport shrink

from sgdkit.penalties import Penalty


ctypedef struct SGDRule:
    double momentum
    bint nesterov

ctypedef struct AdaGradRule:
    double epsilon

ctypedef struct AdamRule:
    double beta_1
    double beta_2
    double epsilon
    bint amsgrad

ctypedef struct RMSPropRule:
    double rho
    double momentum
    double epsilon
    bint centered

ctypedef fused Rule:
    SGDRule
    AdaGradRule
    AdamRule
    RMSPropRule


cdef inline floating _sqrt(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline void gains(const Rule* rule, floating* shared, floating* gain) noexcept nogil:
    """What the columns share in one touch of a feature: the weights of the new gradient in debiased averages.

    With q = 1 - beta^n after n touches, the debiased average m = (1 - beta) sum_i beta^(n-i) g_i / q follows
    m <- m + (1 - beta) / q * (g - m), and q <- beta q + 1 - beta.
    """
    cdef floating beta
    if Rule is AdamRule:
        beta = <floating> rule.beta_1
        shared[1] = beta * shared[1] + (1 - beta)
        gain[0] = (1 - beta) / shared[1]
        beta = <floating> rule.beta_2
        shared[2] = beta * shared[2] + (1 - beta)
        gain[1] = (1 - beta) / shared[2]


cdef inline floating direction(
    const Rule* rule, floating* slot, Py_ssize_t stride, floating g, const floating* gain, bint plain,
) noexcept nogil:
    """Take the gradient `g` into the moments of one coordinate, and return what its weight moves by at rate 1.

    `plain` says that the rule's options are off, so that the compiler drops the branches.
    """
    cdef floating root, v, mean, rho, momentum, epsilon
    if Rule is SGDRule:
        momentum = <floating> rule.momentum
        if plain or momentum == 0:
            return g
        slot[stride] = momentum * slot[stride] + g
        return g + momentum * slot[stride] if rule.nesterov else slot[stride]
    elif Rule is AdaGradRule:
        root = _sqrt(slot[stride] * slot[stride] + g * g)
        slot[stride] = root
        return g / (root + <floating> rule.epsilon)
    elif Rule is AdamRule:
        epsilon = <floating> rule.epsilon
        root = slot[stride]
        mean = slot[2 * stride]
        mean += gain[0] * (g - mean)
        if rule.amsgrad and not plain:
            slot[3 * stride] += gain[1] * (g * g - slot[3 * stride])
            root = max(root, _sqrt(slot[3 * stride]))
        else:
            v = root * root
            root = _sqrt(v + gain[1] * (g * g - v))
        slot[stride] = root
        slot[2 * stride] = mean
        return mean / (root + epsilon)
    elif Rule is RMSPropRule:
        rho = <floating> rule.rho
        momentum = <floating> rule.momentum
        epsilon = <floating> rule.epsilon
        if rule.centered and not plain:
            mean = rho * slot[2 * stride] + (1 - rho) * g
            v = rho * slot[3 * stride] + (1 - rho) * g * g
            slot[2 * stride] = mean
            slot[3 * stride] = v
            v -= mean * mean
            root = _sqrt(v if v > 0 else 0)
        else:
            root = _sqrt(rho * slot[stride] * slot[stride] + (1 - rho) * g * g)
        slot[stride] = root
        g = g / (root + epsilon)
        if plain or momentum == 0:
            return g
        stride *= 4 if rule.centered else 2
        slot[stride] = momentum * slot[stride] + g
        return slot[stride]


cdef inline void step_columns(
    Update u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
    Py_ssize_t n_columns, bint average, bint plain,
) noexcept nogil:
    cdef floating* state = <floating*> u.state
    cdef const floating* scale = <const floating*> u.scale
    cdef const floating* gradient = <const floating*> u.gradient
    cdef Py_ssize_t record = u.record_size, stride = u.gradient_stride
    cdef Py_ssize_t n_slots = u.n_slots, last = (n_slots - 1) * n_columns
    cdef floating rate = <floating> u.rate, weight = <floating> u.n_averaged
    cdef Rule own_rule = rule[0]
    cdef floating gain[2]
    cdef floating* slot
    cdef floating move
    cdef Py_ssize_t k, c
    for k in range(n):
        slot = state + features[k] * record
        gains(&own_rule, slot + n_slots * n_columns, gain)
        for c in range(n_columns):
            move = direction(&own_rule, slot + c, n_columns, x[k] * gradient[c], gain, plain)
            move *= rate * scale[c]
            slot[c] -= move
            if average:
                slot[last + c] -= weight * move
        gradient += stride


cdef inline void step(
    Update u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    """Move the weights of the touched features, whose gradients are `x[k] * gradient[k]`, and the intercept."""
    cdef int32_t intercept = <int32_t> u.n_features
    cdef floating one = 1
    # With constants, the compiler drops loops and branches.
    if u.average or not u.plain:
        step_columns(u, rule, features, x, n, n_columns=u.n_columns, average=u.average, plain=False)
    elif u.n_columns == 1:
        step_columns(u, rule, features, x, n, n_columns=1, average=False, plain=True)
    else:
        step_columns(u, rule, features, x, n, n_columns=u.n_columns, average=False, plain=True)
    if u.fit_intercept:
        u.gradient, u.intercept_gradient = u.intercept_gradient, u.gradient
        step_columns(u, rule, &intercept, &one, 1, n_columns=u.n_columns, average=u.average, plain=False)
        u.gradient, u.intercept_gradient = u.intercept_gradient, u.gradient


cdef inline void catch_up_columns(
    Update u, const int32_t* features, Py_ssize_t n, floating now,
    Py_ssize_t n_columns, bint has_l1, bint average,
) noexcept nogil:
    cdef floating* state = <floating*> u.state
    cdef const floating* l1 = <const floating*> u.l1
    cdef const floating* l2 = <const floating*> u.l2
    cdef Py_ssize_t record = u.record_size, n_slots = u.n_slots, last = (n_slots - 1) * n_columns
    cdef floating epsilon = <floating> u.epsilon, scale = <floating> u.metric_scale
    cdef floating weight = <floating> u.n_averaged
    cdef bint adaptive = u.adaptive, waits = u.waits
    cdef floating* slot
    cdef floating missed, d, w
    cdef Py_ssize_t k, c
    for k in range(n):
        slot = state + features[k] * record
        missed = now - slot[n_slots * n_columns]
        slot[n_slots * n_columns] = now
        for c in range(n_columns):
            d = scale * (slot[n_columns + c] + epsilon) if adaptive else scale
            w = shrink(slot[c], l1[c] * missed, l2[c] * missed, d, has_l1)
            if waits and slot[n_columns + c] == 0:
                # No gradient has come yet, so there is no metric; given weights are not to vanish for that.
                w = slot[c]
            if average:
                slot[last + c] += weight * (w - slot[c])
            slot[c] = w


cdef inline void catch_up(Update u, const int32_t* features, Py_ssize_t n, floating now) noexcept nogil:
    # With constants, the compiler drops loops and branches.
    if u.has_l1 or u.average:
        catch_up_columns(u, features, n, now, n_columns=u.n_columns, has_l1=u.has_l1, average=u.average)
    elif u.n_columns == 1:
        catch_up_columns(u, features, n, now, n_columns=1, has_l1=False, average=False)
    else:
        catch_up_columns(u, features, n, now, n_columns=u.n_columns, has_l1=False, average=False)


cdef class Update:
    """An optimizer at work on the columns of a problem.

    Parameters
    ----------
    optimizer : Optimizer
        The hyper-parameters.
    record : ndarray of shape (n_features + 1, n_slots * n_columns + n_shared), or None
        The state to go on from; None begins at zero.
    shape : tuple of int (n_features, n_columns)
    dtype : {numpy.float32, numpy.float64}
    fit_intercept : bool, default=True
    average_from : int, default=0
        The average begins with the step that has seen this number of rows; 0 means that there is none.
    """

    def __init__(self, optimizer, record, shape, dtype, *, fit_intercept=True, average_from=0):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.average = average_from > 0
        self.smallest = float(np.finfo(dtype).tiny)
        self.n_shared = 1
        self.metric_scale = 1.0
        self.plain = True
        self.waits = True
        self.n_slots = self._configure(optimizer) + self.average
        self.waits = self.waits and self.adaptive
        self.record_size = self.n_slots * self.n_columns + self.n_shared
        if record is None:
            record = np.zeros((self.n_features + 1, self.record_size), dtype=dtype)
            self.record = record
            self._start()
        elif not record.flags.writeable:
            # A memory-mapped pickle, for one.
            record = record.copy()
        self.record = record
        self.state = <void*> <size_t> record.__array_interface__["data"][0]
        self.set_columns(Penalty(0.0, 0.0), np.ones(self.n_columns))

    def __reduce__(self):
        clocks = self.clock, self.n_rows_seen, self.n_averaged
        return _rebuild, (
            type(self), self.optimizer, self.record, (self.n_features, self.n_columns), self.fit_intercept,
            self.average_from, clocks,
        )

    def set_columns(self, penalty, scale):
        """Set the penalty, and the factor of each column's rate (shape (n_columns,)), before the first step.

        The strengths of the penalty are numbers, or arrays of shape (n_columns,).
        """
        l1, l2, dtype = penalty.l1, penalty.l2, self.record.dtype
        self._vectors = tuple(np.ascontiguousarray(v, dtype=dtype) for v in (l1 * scale, l2 * scale, scale))
        addresses = [v.__array_interface__["data"][0] for v in self._vectors]
        self.l1 = <void*> <size_t> addresses[0]
        self.l2 = <void*> <size_t> addresses[1]
        self.scale = <void*> <size_t> addresses[2]
        self.has_l1 = bool(np.any(l1))
        self.penalised = self.has_l1 or bool(np.any(l2))

    def load(self, weights):
        """Go on from other weights, with the moments as they are and no average."""
        self.slot(0)[:] = weights
        self.n_averaged = 0
        if self.average:
            self.slot(self.n_slots - 1)[:] = 0

    def slot(self, number):
        """A view of one slot, of shape (n_features + 1, n_columns)."""
        return self.record[:, number * self.n_columns:(number + 1) * self.n_columns]

    def weights(self):
        """The weights that the user is to get: the average, if there is one yet. A view, or a new array."""
        if not self.n_averaged:
            return self.slot(0)
        return self.slot(0) - self.slot(self.n_slots - 1) / self.record.dtype.type(self.n_averaged)

    def release(self):
        """Let go of the data of a fit; nothing is kept of them here."""

    def flush(self):
        """Apply to every feature the penalty that it has missed, and turn the clock back to zero."""
        cdef int32_t[::1] features
        cdef Py_ssize_t n = self.n_features, begin
        cdef bint single = self.record.dtype == np.float32
        if self.penalised and self.clock and n:
            # It belongs to the last step, whose weight in the average is 1 less than that of the step to come.
            self.n_averaged -= self.n_averaged > 0
            block = min(n, 1 << 16)
            for begin in range(0, n, block):
                features = np.arange(begin, min(n, begin + block), dtype=np.int32)
                with nogil:
                    if single:
                        self.catch_up_f32(&features[0], features.shape[0])
                    else:
                        self.catch_up_f64(&features[0], features.shape[0])
            self.n_averaged += self.average and self.n_rows_seen >= self.average_from
            self.record[:, self.n_slots * self.n_columns] = 0
        self.clock = 0

    def _configure(self, optimizer):
        """Read the hyper-parameters, and return the number of slots."""
        raise NotImplementedError(f"{type(self).__name__} must define _configure(optimizer)")

    def _start(self):
        """Fill the slots that do not begin at zero."""

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        pass

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        pass

    cdef void catch_up_f32(self, const int32_t* features, Py_ssize_t n) noexcept nogil:
        catch_up(self, features, n, <float> self.clock)

    cdef void catch_up_f64(self, const int32_t* features, Py_ssize_t n) noexcept nogil:
        catch_up(self, features, n, self.clock)


def _rebuild(cls, optimizer, record, shape, fit_intercept, average_from, clocks):
    update = cls(
        optimizer, record, shape, record.dtype, fit_intercept=fit_intercept, average_from=average_from,
    )
    update.clock, update.n_rows_seen, update.n_averaged = clocks
    return update


cdef class SGDUpdate(Update):
    """Slots: weight; velocity, if there is momentum."""
    cdef SGDRule rule

    def _configure(self, optimizer):
        self.rule = SGDRule(momentum=optimizer.momentum, nesterov=optimizer.nesterov)
        # At a constant gradient g the velocity settles at g / (1 - momentum).
        self.metric_scale = 1 - optimizer.momentum
        self.plain = optimizer.momentum == 0
        return 2 if optimizer.momentum else 1

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class AdaGradUpdate(Update):
    """Slots: weight; root of the sum of squared gradients."""
    cdef AdaGradRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = AdaGradRule(epsilon=self.epsilon)
        return 2

    def _start(self):
        self.slot(1)[:] = np.sqrt(self.optimizer.initial_accumulator_value)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class AdamUpdate(Update):
    """Slots: weight; root of the second moment, or of its maximum; first moment; second moment, if amsgrad."""
    cdef AdamRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = AdamRule(
            beta_1=optimizer.beta_1, beta_2=optimizer.beta_2, epsilon=self.epsilon, amsgrad=optimizer.amsgrad,
        )
        self.n_shared = 3
        self.plain = not optimizer.amsgrad
        return 4 if optimizer.amsgrad else 3

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class RMSPropUpdate(Update):
    """Slots: weight; root of the (centred) second moment; if centred, mean and second moment; velocity, if any."""
    cdef RMSPropRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = RMSPropRule(
            rho=optimizer.rho, momentum=optimizer.momentum, epsilon=self.epsilon, centered=optimizer.centered,
        )
        self.metric_scale = 1 - optimizer.momentum
        # A constant gradient has no variance, which is not to say that there was none.
        self.waits = not optimizer.centered
        self.plain = not optimizer.centered and optimizer.momentum == 0
        return 2 + 2 * optimizer.centered + (optimizer.momentum > 0)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)
