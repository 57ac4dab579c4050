"""Penalties of the weights: `alpha * R(W)`, with R between the l1 norm and half the squared l2 norm.

Each is a point of the elastic net (Zou & Hastie, 2005), so one proximal operator, `shrink` in `penalties.pxd`, serves
them all. The intercept is never penalised.
"""

import numpy as np

# Its square is no infinity, nor is that times a rate.
LARGEST_UNIT = 1e145


class Penalty:
    """``alpha * (l1_ratio * ||U W||_1 + (1 - l1_ratio) * ||U W||_2^2 / 2)``, with a unit for each feature in U.

    Parameters
    ----------
    l1 : float or ndarray of shape (n_columns,)
        Strength of the l1 norm, `alpha * l1_ratio`.
    l2 : float or ndarray of shape (n_columns,)
        Strength of half the squared l2 norm, `alpha * (1 - l1_ratio)`.
    units : ndarray of shape (n_features,), default=None
        U; None stands for 1.

    Attributes
    ----------
    selects : bool
        Whether it sets weights to 0.
    shrinks_alike : bool
        Whether a proximal step multiplies all weights of a column by one number.
    """

    def __init__(self, l1, l2, units=None):
        self.l1, self.l2, self.units = l1, l2, units
        self.selects = bool(np.any(l1))
        self.shrinks_alike = not self.selects and units is None

    def take(self, columns):
        """The penalty of some columns."""
        return Penalty(*(v if np.ndim(v) == 0 else v[columns] for v in (self.l1, self.l2)), self.units)

    def repeat(self, n_times):
        """The penalty of all columns several times over."""
        return Penalty(
            *(v if np.ndim(v) == 0 else np.tile(v, n_times) for v in (self.l1, self.l2)), self.units
        )

    def times(self, of_l1, of_l2):
        """The penalty with its two strengths multiplied, by a number or by one for each column."""
        return Penalty(self.l1 * of_l1, self.l2 * of_l2, self.units)

    def of_features(self, features):
        """The penalty of some of the features."""
        return self if self.units is None else Penalty(self.l1, self.l2, self.units[features])

    def spread(self, subset):
        """The penalty of all features, given that of a `Subset`."""
        return self if self.units is None else Penalty(self.l1, self.l2, subset.spread(self.units, 1))

    def of_units(self, units):
        """The same penalty where weights are measured in other units: of `units * W` at W.

        `units` is a number, or an array of shape (n_features,).
        """
        if not (self.selects or np.any(self.l2)):
            return self
        if np.ndim(units) and np.ptp(units) > 0:
            return Penalty(self.l1, self.l2, np.minimum(units, LARGEST_UNIT, dtype=np.float64))
        unit = float(np.max(units)) if np.ndim(units) else units
        return Penalty(self.l1 * unit, self.l2 * unit**2)

    def value(self, weights):
        """The penalty of each column of an array of weights (without the intercepts), summed in float64."""
        weights = weights.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.units is not None:
                weights = weights * self.units[:, np.newaxis]
            value = self.l2 / 2 * np.einsum("ij,ij->j", weights, weights)
            return value + self.l1 * np.abs(weights).sum(axis=0) if self.selects else value

    def same_as(self, other):
        """Whether another penalty is the same function."""
        mine, its = (self.l1, self.l2, self.units), (other.l1, other.l2, other.units)
        return all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))

    @property
    def kinks(self):
        """Its l1 norm alone."""
        return Penalty(self.l1, 0.0, self.units)

    @property
    def curvature(self):
        """The second derivative of its smooth part, which broadcasts against weights without the intercepts."""
        return self.l2 * (1.0 if self.units is None else np.square(self.units)[:, np.newaxis])

    def prox(self, weights, rate):
        """Return ``argmin_V ||V - W||^2 / (2 rate) + penalty(V)``; `rate` broadcasts against the weights."""
        units = 1.0 if self.units is None else self.units[:, np.newaxis]
        if self.selects:
            weights = np.sign(weights) * np.maximum(np.abs(weights) - rate * self.l1 * units, 0)
        return weights / (1 + rate * self.l2 * units**2)


# name -> the strengths of l1 and l2 at a given alpha and l1_ratio
PENALTIES = {
    "l2": lambda alpha, l1_ratio: Penalty(0.0, alpha),
    "l1": lambda alpha, l1_ratio: Penalty(alpha, 0.0),
    "elasticnet": lambda alpha, l1_ratio: Penalty(alpha * l1_ratio, alpha * (1 - l1_ratio)),
    None: lambda alpha, l1_ratio: Penalty(0.0, 0.0),
}
