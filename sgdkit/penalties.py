"""Penalties of the weights: `alpha * R(W)`, with R between the l1 norm and half the squared l2 norm.

Each is a point of the elastic net (Zou & Hastie, 2005), so one proximal operator, `shrink` in `penalties.pxd`, serves
them all. The intercept is never penalised.
"""

import numpy as np


class Penalty:
    """``alpha * (l1_ratio * ||W||_1 + (1 - l1_ratio) * ||W||_2^2 / 2)``.

    Parameters
    ----------
    l1 : float or ndarray of shape (n_columns,)
        Strength of the l1 norm, `alpha * l1_ratio`.
    l2 : float or ndarray of shape (n_columns,)
        Strength of half the squared l2 norm, `alpha * (1 - l1_ratio)`.
    """

    def __init__(self, l1, l2):
        self.l1 = l1
        self.l2 = l2
        # Whether it sets weights to 0.
        self.selects = bool(np.any(l1))

    def take(self, columns):
        """The penalty of some columns."""
        return Penalty(*(v if np.ndim(v) == 0 else v[columns] for v in (self.l1, self.l2)))

    def of_units(self, unit):
        """The same penalty where weights are measured in other units: of `unit * W` at W."""
        return Penalty(self.l1 * unit, self.l2 * unit**2)

    def value(self, weights):
        """The penalty of each column of an array of weights (without the intercepts), summed in float64."""
        weights = weights.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            value = self.l2 / 2 * np.einsum("ij,ij->j", weights, weights)
            return value + self.l1 * np.abs(weights).sum(axis=0) if self.selects else value

    def prox(self, weights, rate):
        """Return ``argmin_V ||V - W||^2 / (2 rate) + penalty(V)``; `rate` broadcasts against the weights."""
        if self.selects:
            weights = np.sign(weights) * np.maximum(np.abs(weights) - rate * self.l1, 0)
        return weights / (1 + rate * self.l2)


# name -> the strengths of l1 and l2 at a given alpha and l1_ratio
PENALTIES = {
    "l2": lambda alpha, l1_ratio: Penalty(0.0, alpha),
    "l1": lambda alpha, l1_ratio: Penalty(alpha, 0.0),
    "elasticnet": lambda alpha, l1_ratio: Penalty(alpha * l1_ratio, alpha * (1 - l1_ratio)),
    None: lambda alpha, l1_ratio: Penalty(0.0, 0.0),
}
