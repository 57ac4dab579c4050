"""The penalty that features wait for while chunks of rows do not touch them."""

import numpy as np

from sgdkit._kernels.arrays import put, take_rows

# Strengths that are multiples of others are so up to rounding errors.
ROUNDING = 1e-9


class Waiting:
    """What each feature has missed of a penalty since rows touched it last; it is taken when they touch it next.

    Time is the sum of the rates of all steps. Where the penalty has become stronger or weaker, as that of
    ``alpha = 1 / n`` does, it passes so much faster or more slowly.

    Parameters
    ----------
    penalty : Penalty
        The latest one, without units.
    factors : ndarray of shape (n_columns,)
        By which columns multiply the rates.
    n_features : int
    value : ndarray of shape (n_columns,)
        The penalty of all weights, as they are stored.

    Attributes
    ----------
    time : float
    speed : float
        How fast it passes with the latest penalty.
    since : ndarray of shape (n_features,)
        When each feature took its penalty last.
    """

    def __init__(self, penalty, factors, n_features, value):
        self.penalty, self.factors, self.value = penalty, factors, value
        self.time, self.speed, self.since = 0.0, 1.0, np.zeros(n_features)

    def pace(self, penalty, factors):
        """How many times as strong as the latest one another penalty is; None where it is no multiple."""
        if penalty.units is not None:
            return None
        latest, other = _strengths(self.penalty, self.factors), _strengths(penalty, factors)
        if not np.array_equal(latest > 0, other > 0):
            return None
        ratios = other[latest > 0] / latest[latest > 0]
        if not len(ratios):
            return 1.0
        return float(ratios[0]) if np.ptp(ratios) <= ROUNDING * ratios[0] else None

    def missed(self, features=None):
        """The sum of the rates of the steps that features have missed, for the latest penalty."""
        if features is None:
            return (self.time - self.since) / self.speed
        since = np.empty(len(features))
        take_rows(self.since[:, np.newaxis], features, since[:, np.newaxis])
        return (self.time - since) / self.speed

    def go_on(self, features, penalty, factors, pace, rates):
        """Have steps of a sum of rates pass, with a penalty at a pace, of which some features miss nothing."""
        self.penalty, self.factors = penalty, factors
        self.speed *= pace
        self.time += self.speed * rates
        if not self.since.flags.writeable:
            # It is mapped to the memory of a file.
            self.since = self.since.copy()
        put(self.since, features, self.time)


def _strengths(penalty, factors):
    return np.concatenate([penalty.l1 * factors, penalty.l2 * factors])
