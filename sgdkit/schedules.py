"""Schedules: the learning rate `eta(t)` of step t = 1, 2, ...; a step is a row, or a mini-batch of rows.

To add a schedule, write a class with `rates` and enter it in `SCHEDULES`.
"""

import numpy as np

from sgdkit._kernels.arrays import falling_rates


class Schedule:
    """The learning rate of each step.

    Parameters
    ----------
    eta0 : float, or ndarray of shape (n_columns,)
        The rate of the first step.
    power_t : float, default=0.5
    alpha : float, or ndarray of shape (n_columns,), default=0.0
        The least curvature of the objective, which is that of the penalty.
    n_steps : int, default=None
        The steps of the planned epochs; None where nobody knows the end.
    n_level : int, default=1
        The steps before which the rates of "invscaling" do not fall.
    first_step : int, default=1
        The number t of the first step, from which the others but "constant" count; it is not 1 where training goes on.

    Attributes
    ----------
    separable : bool
        Whether the rates of two values of `eta0` have the same ratio in every step. Columns with first rates of their
        own then take the rates of one schedule, each times its factor.
    lowers : bool
        Whether the rate is divided by 5 when training stands still, until it is below a millionth of what it was.
    needs_end : bool
        Whether it needs `n_steps`.
    """

    separable = True
    lowers = False
    needs_end = False
    # Of a file of version 0.1.0.
    n_level = 1

    def __init__(self, eta0, *, power_t=0.5, alpha=0.0, n_steps=None, n_level=1, first_step=1):
        self.eta0 = eta0
        self.power_t = power_t
        self.alpha = alpha
        self.n_steps = n_steps
        self.n_level = n_level
        self.first_step = first_step

    @property
    def shape(self):
        """What two schedules have in common whose rates fall in the same way."""
        return (type(self),)

    @property
    def settings(self):
        """What is different for schedules of which one cannot go on where the other was."""
        return self.shape, self.eta0, self.alpha

    def rates(self, t):
        """The rates of the steps `t`, an array of float64; of shape (len(t),), or (len(t), n_columns)."""
        raise NotImplementedError(f"{type(self).__name__} must define rates(t)")

    def take(self, columns):
        """The schedule of some columns."""
        return self

    def for_pilot(self):
        """The schedule of pilot runs, whose columns multiply its rates by candidates for `eta0`."""
        return type(self)(1.0, power_t=self.power_t, alpha=self.alpha, n_level=self.n_level)


class Constant(Schedule):
    """``eta(t) = eta0``."""

    def rates(self, t):
        return np.full(len(t), self.eta0)


class InvScaling(Schedule):
    """``eta(t) = eta0 / t ** power_t``; in a warm fit with another alpha, t counts from its first step.

    With `n_level` above 1, it is ``eta0 / max(1, t / n_level) ** power_t``.
    """

    @property
    def shape(self):
        return type(self), self.power_t

    @property
    def settings(self):
        return *super().settings, self.n_level

    def rates(self, t):
        return self.eta0 / np.maximum((t - (self.first_step - 1)) / self.n_level, 1) ** self.power_t


class Optimal(Schedule):
    """``eta(t) = eta0 / (1 + alpha * eta0 * (t - 1))``, or ``1 / (alpha * (t0 + t - 1))`` with ``eta(1) = eta0``.

    `eta0` and `alpha` may be arrays of shape (n_columns,); then there is a rate for each step and column. In a warm fit
    with another alpha, t counts from its first step, since rates that a weak penalty let fall are too small for a
    strong one.

    References
    ----------
    .. [1] L. Bottou, "Stochastic Gradient Descent Tricks", 2012.
    """

    separable = False

    def rates(self, t):
        # Finite, so that the first rate is `eta0` whatever its size.
        slope, since = np.minimum(self.alpha * self.eta0, np.finfo(np.float64).max), t - self.first_step
        if np.ndim(slope) == 0:
            return self.eta0 / (1 + slope * since)
        return falling_rates(since, self.eta0, slope)

    def take(self, columns):
        """The schedule of some columns."""
        if np.ndim(self.eta0) == 0:
            return self
        return Optimal(self.eta0[columns], alpha=self.alpha[columns], first_step=self.first_step)

    def for_pilot(self):
        return Constant(1.0)


class Adaptive(Constant):
    """``eta(t) = eta0``, divided by 5 whenever training stands still, until it is below a millionth of `eta0`."""

    lowers = True


class Linear(Schedule):
    """``eta(t) = eta0 * (1 - (t - 1) / n_steps)``: a straight line that reaches 0 after the planned steps.

    Where training goes on, t counts from the first step of this fit.

    References
    ----------
    .. [1] A. Defazio, A. Cutkosky, H. Mehta & K. Mishchenko, "Optimal Linear Decay Learning Rate Schedules and Further
       Refinements", 2023.
    """

    needs_end = True

    @property
    def shape(self):
        return type(self), self.n_steps

    @property
    def settings(self):
        return *super().settings, self.first_step

    def rates(self, t):
        return self.eta0 * np.clip(1 - (t - self.first_step) / self.n_steps, 0, 1)

    def for_pilot(self):
        return Constant(1.0)


SCHEDULES = {
    "constant": Constant,
    "invscaling": InvScaling,
    "optimal": Optimal,
    "adaptive": Adaptive,
    "linear": Linear,
}
