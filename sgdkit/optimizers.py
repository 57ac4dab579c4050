"""Optimizers: their hyper-parameters and what they do. Their compiled updates stand in `updates.pyx`.

Notation: g is the gradient of a coordinate in a mini-batch, w its weight, eta the learning rate of the step; a product
of vectors is taken coordinate by coordinate. A coordinate that no row of a mini-batch touches (all its values are zero)
keeps its moments, and its own number of steps n. The penalty is a proximal step in the optimizer's metric d,
``w <- prox(w - eta * direction)`` with ``prox(v) = argmin_u d/(2 eta) (u - v)^2 + alpha * R(u)``, so every optimizer
has the same minimiser.

To add an optimizer: a class here with its entry in `OPTIMIZERS`, and its update in `updates.pyx`.
"""

from functools import cache
from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from sgdkit.full_gradient import FullGradient
from sgdkit.updates import AdaGradUpdate, AdamUpdate, RMSPropUpdate, SGDUpdate

# With optimizer="auto", full gradients are for rows with at least this share of non-zeros, and for so many values or
# scores.
DENSE_SHARE, MOST_VALUES = 0.1, 10_000_000

_SHARE = [Interval(Real, 0, 1, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_NON_NEGATIVE = [Interval(Real, 0, None, closed="left")]


class Parametrized(BaseEstimator):
    """What has parameters in scikit-learn's manner; their names are those of the class, and looked up once."""

    @classmethod
    @cache
    def _get_param_names(cls):
        # To look at the signature each time takes a tenth of a small fit.
        return super()._get_param_names()


class Optimizer(Parametrized):
    """Base class of the optimizers: they clone, print, take `set_params` and compare by their parameters.

    An optimizer holds hyper-parameters only, and `fit` does not change it; the state is the fitted model's.
    """

    # The class that does the work, and the schedule of `learning_rate="auto"`.
    _update: type
    _schedule = "constant"
    # Whether a step takes all rows, and whether the direction has the gradient's scale (or does not depend on it).
    _full_batch = False
    _scales_with_gradient = False
    # Whether its metric lowers the steps of a coordinate like the root of their number.
    _decays = False
    # What `tol="auto"` stands for. The objective of an epoch of stochastic steps is known up to its noise.
    _tol = 1e-3
    _parameter_constraints: dict = {}

    def __eq__(self, other):
        return type(self) is type(other) and self.get_params() == other.get_params()

    @property
    def _momentum(self):
        """Steps in one direction add up to 1 / (1 - momentum) times their length."""
        return getattr(self, "momentum", 0.0)

    def _schedule_for(self, loss):
        """The schedule of `learning_rate="auto"`."""
        return self._schedule

    def _backtracks(self, loss):
        """Whether `eta0="auto"` leaves the rate to backtracking."""
        return False

    __hash__ = None  # type: ignore[assignment]


class GD(Optimizer):
    """Proximal gradient descent on all rows, with backtracking and acceleration.

    ``W <- prox(V - eta * grad F(V))``. With `eta0="auto"` and a smooth loss, eta is found by backtracking: it is
    lowered until F lies below its quadratic model [1]_. Before each step it is raised to nearly the largest rate at
    which that would have been true of the last step, but by no more than 1.5 (by 2.5 before the first ten). With
    `nesterov` and a smooth loss, V is W plus its last move times ``(k - 1) / (k + 2)`` in step k; with backtracking, k
    begins anew when the objective would rise [2]_. Else V is W. Columns with losses of their own have rates, and k, of
    their own.

    `batch_size` has no effect; an epoch is one step.

    Parameters
    ----------
    nesterov : bool, default=True
        Whether to accelerate, where the loss is smooth.

    References
    ----------
    .. [1] A. Beck & M. Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
       SIAM J. Imaging Sciences, 2009.
    .. [2] B. O'Donoghue & E. Candès, "Adaptive Restart for Accelerated Gradient Schemes", Found. Comput. Math., 2015.

    Examples
    --------
    >>> from sgdkit.optimizers import GD
    >>> GD(nesterov=False)
    GD(nesterov=False)
    """

    _update = FullGradient
    _full_batch = True
    _scales_with_gradient = True
    _tol = 1e-5
    _parameter_constraints: dict = {"nesterov": ["boolean"]}

    def __init__(self, *, nesterov=True):
        self.nesterov = nesterov

    def _schedule_for(self, loss):
        return "constant" if loss.smooth else "invscaling"

    def _backtracks(self, loss):
        return loss.smooth


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

    _update = SGDUpdate
    _schedule = "optimal"
    _scales_with_gradient = True
    _parameter_constraints: dict = {"momentum": _SHARE, "nesterov": ["boolean"]}

    def __init__(self, *, momentum=0.0, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov


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

    _update = AdaGradUpdate
    _decays = True
    _parameter_constraints: dict = {"initial_accumulator_value": _NON_NEGATIVE, "epsilon": _POSITIVE}

    def __init__(self, *, initial_accumulator_value=0.0, epsilon=1e-10):
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon


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

    _update = AdamUpdate
    _schedule = "invscaling"
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

    _update = RMSPropUpdate
    _schedule = "invscaling"
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


OPTIMIZERS = {"gd": GD, "sgd": SGD, "adam": Adam, "adagrad": AdaGrad, "rmsprop": RMSProp}


def suited_to(problem):
    """The optimizer for a problem: full gradients where features are dense, values few, and the loss is smooth.

    There they need fewer epochs than any other; where features are rare, AdaGrad does.
    """
    rows, everything = problem.rows, problem.order is None
    visited = slice(None) if everything else problem.order
    n_values = problem.n_rows * max(rows.n_features, problem.targets.n_columns)
    if not problem.loss.smooth or n_values > MOST_VALUES:
        return AdaGrad()
    counts = np.diff(rows.X.indptr) if issparse(rows.X) else np.count_nonzero(rows.X, axis=1)
    weights = None if problem.weights is None else problem.weights[visited]
    share = np.average(counts[visited], weights=weights) / rows.n_features
    return GD() if share >= DENSE_SHARE else AdaGrad()


def numbers_together(optimizer, dtype):
    """How many numbers an optimizer holds for each weight of models that it trains together; "auto" at the most."""
    optimizer = AdaGrad() if optimizer == "auto" else as_optimizer(optimizer)
    # Full gradients train one model after the other.
    return 0 if optimizer._full_batch else optimizer._update(optimizer, None, (0, 1), dtype).n_slots


def as_optimizer(optimizer):
    """Return the optimizer that a name or an object stands for, its parameters checked.

    Raises
    ------
    ValueError
        If it is a class, no optimizer, or has a parameter out of range.
    """
    if isinstance(optimizer, type):
        raise ValueError(
            f"optimizer must be a name or an object, got the class {optimizer.__name__}. "
            f"Pass optimizer={optimizer.__name__}() instead."
        )
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]()
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"The 'optimizer' parameter must be {StrOptions({'auto', *OPTIMIZERS})} or an object of "
            f"sgdkit.optimizers, such as Adam(). Got {optimizer!r} instead."
        )
    optimizer._validate_params()
    return optimizer
