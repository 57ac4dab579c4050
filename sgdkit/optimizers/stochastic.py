"""The optimizers that step on rows or mini-batches of them."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from sgdkit._kernels.state import AdaGradState, AdamState, RMSPropState, SGDState
from sgdkit.optimizers.base import Optimizer

_SHARE = [Interval(Real, 0, 1, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_NON_NEGATIVE = [Interval(Real, 0, None, closed="left")]


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
    _parameter_constraints: dict = {"momentum": _SHARE, "nesterov": ["boolean"]}

    def __init__(self, *, momentum=0.0, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov

    def default_schedule(self, loss):
        return "optimal"

    def make_state(self, record, shape, dtype, **settings):
        return SGDState(self, record, shape, dtype, **settings)


class AdaGrad(Optimizer):
    """AdaGrad: a rate for each coordinate that falls with the gradients it has met; suits sparse features [1]_.

    ``G <- G + g^2``; ``w <- w - eta * g / (sqrt(G) + epsilon)``. The metric is ``d = sqrt(G) + epsilon``.

    Parameters
    ----------
    initial_accumulator_value : float >= 0, default=0.0
        What G begins with.
    epsilon : float > 0, default=1e-10

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
    _parameter_constraints: dict = {"initial_accumulator_value": _NON_NEGATIVE, "epsilon": _POSITIVE}

    def __init__(self, *, initial_accumulator_value=0.0, epsilon=1e-10):
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def make_state(self, record, shape, dtype, **settings):
        return AdaGradState(self, record, shape, dtype, **settings)


class Adam(Optimizer):
    """Adam: averages of the gradient and of its square, both freed of their bias towards zero [1]_.

    ``m <- beta_1 * m + (1 - beta_1) * g``; ``v <- beta_2 * v + (1 - beta_2) * g^2``;
    ``w <- w - eta * (m / (1 - beta_1^n)) / d`` with the metric ``d = sqrt(v / (1 - beta_2^n)) + epsilon``, where n
    counts the steps that touched the coordinate.

    Parameters
    ----------
    beta_1 : float in [0, 1), default=0.9
    beta_2 : float in [0, 1), default=0.999
    epsilon : float > 0, default=1e-8
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
        "beta_1": _SHARE,
        "beta_2": _SHARE,
        "epsilon": _POSITIVE,
        "amsgrad": ["boolean"],
    }

    def __init__(self, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def default_schedule(self, loss):
        return "invscaling"

    def make_state(self, record, shape, dtype, **settings):
        return AdamState(self, record, shape, dtype, **settings)


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
    centered : bool, default=False
    epsilon : float > 0, default=1e-8

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
        "rho": _SHARE,
        "momentum": _SHARE,
        "centered": ["boolean"],
        "epsilon": _POSITIVE,
    }

    def __init__(self, *, rho=0.99, momentum=0.0, centered=False, epsilon=1e-8):
        self.rho = rho
        self.momentum = momentum
        self.centered = centered
        self.epsilon = epsilon

    def default_schedule(self, loss):
        return "invscaling"

    def make_state(self, record, shape, dtype, **settings):
        return RMSPropState(self, record, shape, dtype, **settings)
