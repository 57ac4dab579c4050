# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Adam, and AMSGrad."""

from sgdkit.optimizers.base import POSITIVE, SHARE, Optimizer

include "sgdkit/_kernels/rule.pxi"


class Adam(Optimizer):
    """Adam: averages of the gradient and of its square, both freed of their bias towards zero [1]_.

    ``m <- beta_1 * m + (1 - beta_1) * g``; ``v <- beta_2 * v + (1 - beta_2) * g^2``;
    ``w <- w - eta * (m / (1 - beta_1^n)) / d`` with the metric ``d = sqrt(v / (1 - beta_2^n)) + epsilon``, where n
    counts the steps that touched the coordinate.

    Parameters
    ----------
    beta_1 : float in [0, 1), default=0.9
        Share of the average of gradients that is kept in a step.
    beta_2 : float in [0, 1), default=0.999
        Share of the average of squared gradients that is kept in a step.
    epsilon : float > 0, default=1e-30
        What is added to the root, in units of the gradient; less than any of targets in a sensible unit.
    amsgrad : bool, default=False
        Whether d takes the largest ``v / (1 - beta_2^n)`` so far, so that rates never rise [2]_.

    References
    ----------
    .. [1] D. Kingma & J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    .. [2] S. Reddi, S. Kale & S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018.

    Examples
    --------
    >>> from sgdkit.optimizers import Adam
    >>> Adam(beta_2=0.99)
    Adam(beta_2=0.99)
    """

    _parameter_constraints: dict = {
        "beta_1": SHARE,
        "beta_2": SHARE,
        "epsilon": POSITIVE,
        "amsgrad": ["boolean"],
    }

    def __init__(self, *, beta_1=0.9, beta_2=0.999, epsilon=1e-30, amsgrad=False):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def default_schedule(self, loss):
        return "invscaling"

    def make_state(self, record, shape, dtype, **settings):
        return AdamState(self, record, shape, dtype, **settings)


cdef enum:
    ADAPTIVE = 1

ctypedef struct Rule:
    double beta_1
    double beta_2
    double epsilon
    bint amsgrad
    bint plain


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """The weights of the new gradient in debiased averages, for `n` features.

    With q = 1 - beta^n after n touches, the debiased average m = (1 - beta) sum_i beta^(n-i) g_i / q follows
    m <- m + (1 - beta) / q * (g - m), and q <- beta q + 1 - beta.
    """
    cdef floating beta_1 = <floating> rule.beta_1, beta_2 = <floating> rule.beta_2, unit = 1
    cdef Py_ssize_t k
    for k in range(n):
        shared[stride + k] = beta_1 * shared[stride + k] + (unit - beta_1)
        shared[2 * stride + k] = beta_2 * shared[2 * stride + k] + (unit - beta_2)
        gain[k] = (unit - beta_1) / shared[stride + k]
        gain[FEW + k] = (unit - beta_2) / shared[2 * stride + k]


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, const floating* gain,
    floating* metric, floating* change,
) noexcept nogil:
    """The average of the gradient, in the metric of the root of that of its square."""
    cdef floating root = slot[0], mean = others[0], v
    mean += gain[0] * (g - mean)
    if rule.amsgrad and not rule.plain:
        others[stride] += gain[FEW] * (g * g - others[stride])
        root = max(root, root_of(others[stride]))
    else:
        v = root * root
        root = root_of(v + gain[FEW] * (g * g - v))
    slot[0] = root
    others[0] = mean
    metric[0] = root + <floating> rule.epsilon
    change[0] = mean


include "sgdkit/_kernels/proximal_step.pxi"
include "sgdkit/_kernels/rule_state.pxi"


cdef class AdamState(RuleState):
    """Slots: weight; root of the second moment, or of its maximum; first moment; second moment, if amsgrad."""

    def _configure(self, optimizer):
        self.epsilon, self.plain = max(optimizer.epsilon, self.smallest), not optimizer.amsgrad
        self.rule = Rule(
            beta_1=optimizer.beta_1, beta_2=optimizer.beta_2, epsilon=self.epsilon, amsgrad=optimizer.amsgrad,
            plain=self.plain,
        )
        self.n_shared = 2
        return {"root": 1, "mean": 1, "square": 2} if optimizer.amsgrad else {"root": 1, "mean": 1}
