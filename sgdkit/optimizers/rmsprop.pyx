# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""RMSProp."""

from sgdkit.optimizers.base import POSITIVE, SHARE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class RMSProp(Optimizer):
    """RMSProp: the gradient over the root of a running mean of its square [1]_.

    ``v <- rho * v + (1 - rho) * g^2``; ``w <- w - eta * g / (sqrt(v) + epsilon)``. v begins with the first ``g^2`` that
    is not 0, without which the first steps would be ``1 / sqrt(1 - rho)`` times too long. If `centered`, the variance
    ``v - (running mean of g)^2`` stands in the place of v [2]_. With `momentum`, the steps are gathered like the
    gradients of `SGD`. The metric is ``d = (1 - momentum) * (sqrt(v) + epsilon)``.

    Parameters
    ----------
    rho : float in [0, 1), default=0.99
        Share of the running means that is kept.
    momentum : float in [0, 1), default=0.0
        Share of the velocity that is kept in a step.
    centered : bool, default=False
        Whether the variance of the gradient stands in the place of its mean square.
    epsilon : float > 0, default=1e-30
        What is added to the root, in units of the gradient; less than any of targets in a sensible unit.

    References
    ----------
    .. [1] G. Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
    .. [2] A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013.

    Examples
    --------
    >>> from sgdkit.optimizers import RMSProp
    >>> RMSProp(rho=0.9)
    RMSProp(rho=0.9)
    """

    _parameter_constraints: dict = {
        "rho": SHARE,
        "momentum": SHARE,
        "centered": ["boolean"],
        "epsilon": POSITIVE,
    }

    def __init__(self, *, rho=0.99, momentum=0.0, centered=False, epsilon=1e-30):
        self.rho = rho
        self.momentum = momentum
        self.centered = centered
        self.epsilon = epsilon

    def default_schedule(self, loss):
        return "invscaling"

    def make_state(self, record, shape, dtype, **settings):
        return RMSPropState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 1

ctypedef struct Rule:
    double rho
    double momentum
    double epsilon
    bint centered
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """Columns share nothing."""


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, const floating* gain,
    floating* metric, floating* change,
) noexcept nogil:
    """The gradient, in the metric of the root of the mean square or variance; or the velocity of such steps."""
    cdef floating rho = <floating> rule.rho, momentum = <floating> rule.momentum, epsilon = <floating> rule.epsilon
    cdef floating root, v, mean, unit = 1
    if rule.centered and not rule.plain:
        mean = rho * others[0] + (unit - rho) * g
        v = others[stride]
        v += (unit if v == 0 else unit - rho) * (g * g - v)
        others[0] = mean
        others[stride] = v
        v -= mean * mean
        root = root_of(v if v > 0 else 0)
    else:
        v = slot[0] * slot[0]
        root = root_of(v + (unit if v == 0 else unit - rho) * (g * g - v))
    slot[0] = root
    metric[0] = root + epsilon
    if rule.plain or momentum == 0:
        change[0] = g
        return
    if rule.centered:
        others += 2 * stride
    others[0] = momentum * others[0] + g / metric[0]
    metric[0] = unit
    change[0] = others[0]


include "sgdkit/_kernels/proximal_step.pxi"
include "sgdkit/_kernels/rule_state.pxi"


cdef class RMSPropState(RuleState):
    """Slots: weight; root of the (centred) second moment; if centred, mean and second moment; velocity, if any."""

    def _configure(self, optimizer):
        self.epsilon, centered = max(optimizer.epsilon, self.smallest), optimizer.centered
        self.plain = not centered and optimizer.momentum == 0
        self.rule = Rule(
            rho=optimizer.rho, momentum=optimizer.momentum, epsilon=self.epsilon, centered=centered, plain=self.plain,
        )
        self.metric_scale = 1 - optimizer.momentum
        # A constant gradient has no variance, which is not to say that there was none.
        self.waits = not centered
        # The velocity is of normalised gradients.
        slots = {"root": 1} | ({"mean": 1, "square": 2} if centered else {})
        return slots | ({"velocity": 0} if optimizer.momentum else {})
