# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""FTRL-Proximal."""

import numpy as np

from sgdkit.optimizers.base import POSITIVE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class FTRL(Optimizer):
    """FTRL-Proximal: the weight follows from all gradients so far; suits sparse features and l1 on streams [1]_ [2]_.

    A step adds to two sums of each touched coordinate, and the weight follows from them when it is next read::

        n <- n + g^2
        z <- z + eta * g - (d - d_before) * w
        w  = -shrink(z, S * l1) / (d + S * l2)

    Here ``d = sqrt(n) + epsilon`` is the metric (0 where n is 0), d_before that before the step, S the sum of the rates
    of all steps since training began, ``shrink(z, t) = sign(z) * max(|z| - t, 0)``, and l1 and l2 are the strengths of
    the penalty. At a constant rate this is the algorithm of [1]_ (z over eta, and lambda growing with the steps, as in
    [2]_), and the minimiser is that of the objective. A coordinate without a gradient keeps the weight it was given.

    The penalty is that of all steps at once, not one of each step, so weights that it sets to zero are exact zeros.
    Where its strength changes between fits, weights follow the new one from their next reading on, as if it had always
    been so. With ``alpha="auto"`` in `partial_fit`, alpha falls like one over the rows seen, and ``S * alpha`` is a
    constant: the fixed lambda of [1]_.

    Parameters
    ----------
    epsilon : float > 0, default=1e-30
        What is added to the root, in units of the gradient; less than any of targets in a sensible unit. It is beta
        in [1]_: large values make the first rates of a coordinate smaller.

    References
    ----------
    .. [1] H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013.
    .. [2] H. B. McMahan, "Follow-the-Regularized-Leader and Mirror Descent: Equivalence Theorems and L1
       Regularization", AISTATS 2011.

    Examples
    --------
    >>> from sgdkit.optimizers import FTRL
    >>> FTRL(epsilon=1.0)
    FTRL(epsilon=1.0)
    """

    decays = True
    _parameter_constraints: dict = {"epsilon": POSITIVE}

    def __init__(self, *, epsilon=1e-30):
        self.epsilon = epsilon

    def make_state(self, record, shape, dtype, **settings):
        return FTRLState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 1

ctypedef struct Rule:
    double epsilon
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """Columns share nothing."""


cdef inline floating metric_of(floating root, floating epsilon) noexcept nogil:
    """The metric, which is 0 before the first gradient: a weight that was given goes on from there."""
    return root + epsilon if root > 0 else 0


cdef inline within begin_reading(State u, Reading* reading, floating unused) noexcept nogil:
    """Write the strengths of the penalty, times the sum of the rates of all steps."""
    cdef floating* l1 = <floating*> u.l1
    cdef floating* l2 = <floating*> u.l2
    cdef double total
    cdef Py_ssize_t c
    for c in range(u.n_columns):
        total = u.elapsed[c] + u.clock * u.factors[c]
        l1[c] = <floating> (total * u.alpha_l1[c])
        l2[c] = <floating> (total * u.alpha_l2[c])


cdef inline within catch_up_record(
    sole_numbers w, sole_numbers root, sole_numbers others, sole_numbers average, Py_ssize_t n, Reading reading,
    floating unused,
) noexcept nogil:
    """Compute `n` weights from their sums; `average` is NULL, or points to the last slot."""
    cdef floating epsilon = <floating> reading.epsilon, weight = <floating> reading.weight
    cdef floating l1, l2, unit = 1, v
    cdef const floating* units = <const floating*> reading.unit
    cdef bint lanes = reading.layout == LANES
    cdef Py_ssize_t c, column, feature
    if (floating is float and sole_numbers is sole_floats) or (floating is double and sole_numbers is sole_doubles):
        for c in range(n):
            column, feature = 0 if lanes else c, c if lanes else 0
            if reading.has_units:
                unit = units[feature]
            l1 = (<const floating*> reading.l1)[column] * unit
            l2 = (<const floating*> reading.l2)[column] * (unit * unit)
            # The proximal operator in a metric of 1, and then the division.
            v = shrink(-others[c], l1, 0, 1, reading.has_l1) / (metric_of(root[c], epsilon) + l2)
            v = w[c] if root[c] == 0 else v
            if average != NULL:
                average[c] += weight * (v - w[c])
            w[c] = v


cdef inline within step_record(
    const Rule* rule, sole_numbers w, sole_numbers root, sole_numbers others, sole_numbers average, Py_ssize_t n,
    Stepping stepping, floating unused,
) noexcept nogil:
    """Add a gradient to the sums of `n` coordinates; only the intercept, which has no penalty, moves at once."""
    cdef floating epsilon = <floating> rule.epsilon, weight = <floating> stepping.weight
    cdef floating x = <floating> stepping.x, before, after, g, v
    cdef const floating* gradient = <const floating*> stepping.gradient
    cdef const floating* rates = <const floating*> stepping.rates
    cdef bint lanes = stepping.layout == LANES
    cdef Py_ssize_t c
    if (floating is float and sole_numbers is sole_floats) or (floating is double and sole_numbers is sole_doubles):
        for c in range(n):
            g = x * gradient[c]
            before = metric_of(root[c], epsilon)
            root[c] = root_of(root[c] * root[c] + g * g)
            after = metric_of(root[c], epsilon)
            others[c] += rates[0 if lanes else c] * g - (after - before) * w[c]
            if stepping.intercept and after > 0:
                v = -others[c] / after
                if average != NULL:
                    average[c] += weight * (v - w[c])
                w[c] = v


include "sgdkit/_kernels/rule_state.pxi"


cdef class FTRLState(RuleState):
    """Slots: weight; root of n, the sum of squared gradients; z."""
    # Whether weights were given from which z has to follow.
    cdef bint given

    def _configure(self, optimizer):
        self.epsilon, self.dual = max(optimizer.epsilon, self.smallest), True
        self.rule = Rule(epsilon=self.epsilon, plain=True)
        return {"root": 1, "z": 1}

    def load(self, weights):
        super().load(weights)
        self.given = True

    def rescale(self, ratio, drift):
        super().rescale(ratio, drift)
        self.given = True

    def _complete(self):
        """Let z follow from given weights; that of a weight of 0 stays, as far as it leaves the weight 0."""
        if not self.given:
            return
        self.given = False
        w, root, z = (self.slot(number) for number in range(3))
        units = np.zeros((self.n_features + 1, 1))
        units[:-1, 0] = 1 if self.units == NULL else self._units
        total = self._vectors["elapsed"] + self.clock * self._vectors["factors"]
        l1, l2 = (total * self._vectors[name] * units**power for name, power in (("alpha_l1", 1), ("alpha_l2", 2)))
        metric = np.where(root > 0, root.astype(np.float64) + self.epsilon, 0)
        follows = -(w * (metric + l2) + np.sign(w) * l1)
        z[...] = np.where(root > 0, np.where(w == 0, np.clip(z, -l1, l1), follows), 0)
