"""Schedules: the learning rate `eta(t)` of step t = 1, 2, ...; a step is a row, or a mini-batch of rows.

To add a schedule, write a class with `rates` and enter it in `SCHEDULES`.
"""

import numpy as np

from sgdkit._kernels.epoch import falling_rates


class Constant:
    """``eta(t) = eta0``.

    Attributes
    ----------
    separable : bool
        Whether the rates of two values of `eta0` have the same ratio in every step. Columns with first rates of their
        own then take the rates of one schedule, each times its factor.
    lowers : bool
        Whether the rate is divided by 5 when training stands still, until it is below a millionth of what it was.
    """

    separable = True
    lowers = False

    def __init__(self, eta0, power_t, alpha):
        self.eta0 = eta0
        self.power_t = power_t
        self.alpha = alpha

    @property
    def settings(self):
        return type(self), self.eta0, self.power_t, self.alpha

    def is_like(self, other):
        """Whether the rates of another schedule fall in the same way."""
        return type(self) is type(other) and self.power_t == other.power_t

    def rates(self, t):
        """The rates of the steps `t`, an array of float64."""
        return np.full(len(t), self.eta0)

    def take(self, columns):
        """The schedule of some columns."""
        return self

    def for_pilot(self):
        """The schedule of pilot runs, whose columns multiply its rates by candidates for `eta0`."""
        return type(self)(1.0, self.power_t, self.alpha)


class InvScaling(Constant):
    """``eta(t) = eta0 / t ** power_t``."""

    def rates(self, t):
        return self.eta0 / t**self.power_t


class Optimal(Constant):
    """``eta(t) = eta0 / (1 + alpha * eta0 * (t - 1))``, or ``1 / (alpha * (t0 + t - 1))`` with ``eta(1) = eta0``.

    `eta0` and `alpha` may be arrays of shape (n_columns,); then there is a rate for each step and column.

    References
    ----------
    .. [1] L. Bottou, "Stochastic Gradient Descent Tricks", 2012.
    """

    separable = False

    def rates(self, t):
        slope = self.alpha * self.eta0
        if np.ndim(slope) == 0:
            return self.eta0 / (1 + slope * (t - 1))
        return falling_rates(t - 1, self.eta0, slope)

    def take(self, columns):
        """The schedule of some columns."""
        if np.ndim(self.eta0) == 0:
            return self
        return Optimal(self.eta0[columns], self.power_t, self.alpha[columns])

    def for_pilot(self):
        return Constant(1.0, self.power_t, self.alpha)


class Adaptive(Constant):
    """``eta(t) = eta0``, divided by 5 whenever training stands still, until it is below a millionth of `eta0`."""

    lowers = True


SCHEDULES = {
    "constant": Constant,
    "invscaling": InvScaling,
    "optimal": Optimal,
    "adaptive": Adaptive,
}
