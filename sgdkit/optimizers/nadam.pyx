# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Nadam."""

from sgdkit.optimizers.base import POSITIVE, SHARE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class Nadam(Optimizer):
    """Nadam: Adam with Nesterov's momentum, which looks one step ahead [1]_.

    ``m <- beta_1 * m + (1 - beta_1) * g``; ``v <- beta_2 * v + (1 - beta_2) * g^2``;
    ``w <- w - eta * (beta_1 * m / (1 - beta_1^(n+1)) + (1 - beta_1) * g / (1 - beta_1^n)) / d`` with the metric
    ``d = sqrt(v / (1 - beta_2^n)) + epsilon``, where n counts the steps that touched the coordinate.

    Parameters
    ----------
    beta_1 : float in [0, 1), default=0.9
        Share of the average of gradients that is kept in a step.
    beta_2 : float in [0, 1), default=0.999
        Share of the average of squared gradients that is kept in a step.
    epsilon : float > 0, default=1e-30
        What is added to the root, in units of the gradient; less than any of targets in a sensible unit.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop, 2016; with a constant beta_1.

    Examples
    --------
    >>> from sgdkit.optimizers import Nadam
    >>> Nadam(beta_2=0.99)
    Nadam(beta_2=0.99)
    """

    _parameter_constraints: dict = {"beta_1": SHARE, "beta_2": SHARE, "epsilon": POSITIVE}

    def __init__(self, *, beta_1=0.9, beta_2=0.999, epsilon=1e-30):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def default_schedule(self, loss):
        return "invscaling"

    def make_state(self, record, shape, dtype, **settings):
        return NadamState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 1

ctypedef struct Rule:
    double beta_1
    double beta_2
    double epsilon
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """The weights of the new gradient in debiased averages, as of Adam; and what a step takes of the average.

    With q = 1 - beta_1^n, that is beta_1 q / (beta_1 q + 1 - beta_1) of the average m / q.
    """
    cdef floating beta_1 = <floating> rule.beta_1, beta_2 = <floating> rule.beta_2, unit = 1, kept
    cdef Py_ssize_t k
    for k in range(n):
        shared[stride + k] = beta_1 * shared[stride + k] + (unit - beta_1)
        shared[2 * stride + k] = beta_2 * shared[2 * stride + k] + (unit - beta_2)
        kept = beta_1 * shared[stride + k]
        gain[k] = (unit - beta_1) / shared[stride + k]
        gain[FEW + k] = (unit - beta_2) / shared[2 * stride + k]
        gain[2 * FEW + k] = kept / (kept + (unit - beta_1))


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, const floating* gain,
    floating* metric, floating* change,
) noexcept nogil:
    """The average of the gradient as it will be if the gradient comes again, in the metric of Adam."""
    cdef floating mean = others[0], v = slot[0] * slot[0]
    mean += gain[0] * (g - mean)
    slot[0] = root_of(v + gain[FEW] * (g * g - v))
    others[0] = mean
    metric[0] = slot[0] + <floating> rule.epsilon
    change[0] = gain[2 * FEW] * mean + gain[0] * g


include "sgdkit/_kernels/proximal_step.pxi"
include "sgdkit/_kernels/rule_state.pxi"


cdef class NadamState(RuleState):
    """Slots: weight; root of the second moment; first moment."""

    def _configure(self, optimizer):
        self.epsilon = max(optimizer.epsilon, self.smallest)
        self.rule = Rule(beta_1=optimizer.beta_1, beta_2=optimizer.beta_2, epsilon=self.epsilon, plain=True)
        self.n_shared = 2
        return {"root": 1, "mean": 1}
