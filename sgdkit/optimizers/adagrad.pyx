# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""AdaGrad."""

import numpy as np

from sgdkit.optimizers.base import NON_NEGATIVE, POSITIVE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class AdaGrad(Optimizer):
    """AdaGrad: a rate for each coordinate that falls with the gradients it has met; suits sparse features [1]_.

    ``G <- G + g^2``; ``w <- w - eta * g / (sqrt(G) + epsilon)``. The metric is ``d = sqrt(G) + epsilon``.

    Parameters
    ----------
    initial_accumulator_value : float >= 0, default=0.0
        What G begins with, in units of the squared gradient.
    epsilon : float > 0, default=1e-30
        What is added to the root, in units of the gradient; less than any of targets in a sensible unit.

    References
    ----------
    .. [1] J. Duchi, E. Hazan & Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
       Optimization", JMLR 12, 2011.

    Examples
    --------
    >>> from sgdkit.optimizers import AdaGrad
    >>> AdaGrad()
    AdaGrad()
    """

    decays = True
    _parameter_constraints: dict = {"initial_accumulator_value": NON_NEGATIVE, "epsilon": POSITIVE}

    def __init__(self, *, initial_accumulator_value=0.0, epsilon=1e-30):
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def make_state(self, record, shape, dtype, **settings):
        return AdaGradState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 1

ctypedef struct Rule:
    double epsilon
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """Columns share nothing."""


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, const floating* gain,
    floating* metric, floating* change,
) noexcept nogil:
    """The gradient, in the metric of the root of the sum of squares."""
    slot[0] = root_of(slot[0] * slot[0] + g * g)
    metric[0] = slot[0] + <floating> rule.epsilon
    change[0] = g


include "sgdkit/_kernels/proximal_step.pxi"
include "sgdkit/_kernels/rule_state.pxi"


cdef class AdaGradState(RuleState):
    """Slots: weight; root of the sum of squared gradients."""

    def _configure(self, optimizer):
        self.epsilon = max(optimizer.epsilon, self.smallest)
        self.rule = Rule(epsilon=self.epsilon, plain=True)
        return {"root": 1}

    def _start(self):
        self.slot(1)[:] = np.sqrt(self.optimizer.initial_accumulator_value)
