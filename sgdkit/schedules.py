"""Schedules: the learning rate `eta(t)` of step t = 1, 2, ...; a step is a row, or a mini-batch of rows.

To add a schedule, write a class with `rates` and enter it in `SCHEDULES`.
"""

import numpy as np


class Constant:
    """``eta(t) = eta0``."""

    def __init__(self, eta0, power_t, alpha):
        self.eta0 = eta0
        self.power_t = power_t
        self.alpha = alpha

    @property
    def settings(self):
        """All but the state."""
        return type(self), self.eta0, self.power_t, self.alpha

    def rates(self, t):
        """The rates of the steps `t`, an array of float64."""
        return np.full(len(t), self.eta0)

    def for_pilot(self):
        """The schedule of pilot runs, whose columns multiply its rates by candidates for `eta0`."""
        return type(self)(1.0, self.power_t, self.alpha)

    def lower(self):
        """Answer a stand-still of training: lower the rate and return True, or return False to let it end."""
        return False


class InvScaling(Constant):
    """``eta(t) = eta0 / t ** power_t``."""

    def rates(self, t):
        return self.eta0 / t**self.power_t


class Optimal(Constant):
    """``eta(t) = eta0 / (1 + alpha * eta0 * (t - 1))``, or ``1 / (alpha * (t0 + t - 1))`` with ``eta(1) = eta0``.

    References
    ----------
    .. [1] L. Bottou, "Stochastic Gradient Descent Tricks", 2012.
    """

    def rates(self, t):
        return self.eta0 / (1 + self.alpha * self.eta0 * (t - 1))

    def for_pilot(self):
        return Constant(1.0, self.power_t, self.alpha)


class Adaptive(Constant):
    """``eta(t) = eta0``, divided by 5 whenever training stands still, until it is below a millionth of `eta0`."""

    def __init__(self, eta0, power_t, alpha):
        super().__init__(eta0, power_t, alpha)
        self.factor = 1.0

    def rates(self, t):
        return np.full(len(t), self.eta0 * self.factor)

    def lower(self):
        self.factor /= 5
        return self.factor > 1e-6


SCHEDULES = {
    "constant": Constant,
    "invscaling": InvScaling,
    "optimal": Optimal,
    "adaptive": Adaptive,
}
