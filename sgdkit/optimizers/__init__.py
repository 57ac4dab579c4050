"""Optimizers: their hyper-parameters and what they do.

Notation: g is the gradient of a coordinate in a mini-batch, w its weight, eta the learning rate of the step; a product
of vectors is taken coordinate by coordinate. A coordinate that no row of a mini-batch touches (all its values are zero)
keeps its moments, and its own number of steps n. The penalty is a proximal step in the optimizer's metric d,
``w <- prox(w - eta * direction)`` with ``prox(v) = argmin_u d/(2 eta) (u - v)^2 + alpha * R(u)``, so every optimizer
has the same minimiser.

To add an optimizer: a file here, with its parameters, slots and formula (`sgdkit/_kernels/rule.pxi` says of what it
consists), and a stub (`.pyi`) of its signature for editors; its entry in `OPTIMIZERS`, its class in
`tests/reference.py`, and a line in the changelog.
"""

from sklearn.utils._param_validation import StrOptions

from sgdkit.optimizers.adagrad import AdaGrad
from sgdkit.optimizers.adam import Adam
from sgdkit.optimizers.base import Optimizer
from sgdkit.optimizers.ftrl import FTRL
from sgdkit.optimizers.gd import GD
from sgdkit.optimizers.lbfgs import LBFGS
from sgdkit.optimizers.nadam import Nadam
from sgdkit.optimizers.rmsprop import RMSProp
from sgdkit.optimizers.sgd import SGD

OPTIMIZERS = {
    "gd": GD,
    "lbfgs": LBFGS,
    "sgd": SGD,
    "adam": Adam,
    "nadam": Nadam,
    "adagrad": AdaGrad,
    "ftrl": FTRL,
    "rmsprop": RMSProp,
}
__all__ = [cls.__name__ for cls in OPTIMIZERS.values()]


def as_optimizer(optimizer):
    """Return the optimizer that a name or an object stands for, its parameters checked.

    Raises
    ------
    ValueError
        If it is a class, is no optimizer, or has a parameter out of range.
    """
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
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
