# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Stochastic gradient descent."""

from sgdkit.optimizers.base import SHARE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum [1]_ [2]_.

    ``v <- momentum * v + g``; ``w <- w - eta * v``, or ``w <- w - eta * (g + momentum * v)`` with `nesterov`. The
    metric is ``d = 1 - momentum``.

    Parameters
    ----------
    momentum : float in [0, 1), default=0.0
        Share of the velocity v that is kept.
    nesterov : bool, default=False
        Whether to look ahead; without momentum it changes nothing.

    References
    ----------
    .. [1] H. Robbins & S. Monro, "A Stochastic Approximation Method", Ann. Math. Statist., 1951.
    .. [2] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> from sgdkit.optimizers import SGD
    >>> SGD(momentum=0.9)
    SGD(momentum=0.9)
    """

    scales_with_gradient = True
    _parameter_constraints: dict = {"momentum": SHARE, "nesterov": ["boolean"]}

    def __init__(self, *, momentum=0.0, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov

    def default_schedule(self, loss):
        return "optimal"

    def schedule_for(self, loss, *, stream=False, elsewhere=False):
        if stream:
            return "invscaling"
        return "constant" if elsewhere else self.default_schedule(loss)

    def make_state(self, record, shape, dtype, **settings):
        return SGDState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 0

ctypedef struct Rule:
    double momentum
    bint nesterov
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """Columns share nothing."""


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, const floating* gain,
    floating* metric, floating* change,
) noexcept nogil:
    """The velocity, or the gradient itself."""
    cdef floating momentum = <floating> rule.momentum
    if rule.plain or momentum == 0:
        change[0] = g
        return
    slot[0] = momentum * slot[0] + g
    change[0] = g + momentum * slot[0] if rule.nesterov else slot[0]


include "sgdkit/_kernels/proximal_step.pxi"
include "sgdkit/_kernels/rule_state.pxi"


cdef class SGDState(RuleState):
    """Slots: weight; velocity, if there is momentum."""

    def _configure(self, optimizer):
        self.plain = optimizer.momentum == 0
        self.rule = Rule(momentum=optimizer.momentum, nesterov=optimizer.nesterov, plain=self.plain)
        # At a constant gradient g the velocity settles at g / (1 - momentum).
        self.metric_scale = 1 - optimizer.momentum
        return {} if self.plain else {"velocity": 1}
