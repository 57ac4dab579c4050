"""The penalty that features wait for while chunks of rows do not touch them."""

import numpy as np

# Strengths that are multiples of others are so up to rounding errors.
ROUNDING = 1e-9
# Weights are multiplied by no more than this.
LARGEST_GROWTH = 1e15


class Waiting:
    """What features have missed of a penalty since rows touched them last; they take it when they are touched next.

    Where it shrinks all weights of a column alike, these are stored times the growth since the first chunk, so that
    they miss nothing. Otherwise their clocks tell when they took it last, in a time that is the sum of the rates of all
    steps. Where the penalty has become stronger or weaker, as that of ``alpha = 1 / n`` does, it passes so much faster
    or more slowly.

    Parameters
    ----------
    penalty : Penalty
        The latest one, without units.
    factors : ndarray of shape (n_columns,)
        By which columns multiply the rates.
    value : ndarray of shape (n_columns,)
        The penalty of all weights; of those that wait, as it was when they took theirs last.

    Attributes
    ----------
    time : float
    speed : float
        How fast it passes with the latest penalty.
    growth : ndarray of shape (n_columns,)
    """

    def __init__(self, penalty, factors, value):
        self.penalty, self.factors, self.value = penalty, factors, value
        self.time, self.speed, self.growth = 0.0, 1.0, np.ones(len(factors))

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

    def go_on(self, pace, rates, log_growth):
        """Have steps of a sum of rates pass with the latest penalty, so many times as strong as the one before."""
        self.speed *= pace
        self.time += self.speed * rates
        with np.errstate(over="ignore"):
            self.growth = self.growth * np.exp(log_growth)


def _strengths(penalty, factors):
    return np.concatenate([penalty.l1 * factors, penalty.l2 * factors])
