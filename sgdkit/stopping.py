"""When training stops: patience with the training objective, or with a validation score."""

import numpy as np


class Patience:
    """Watches a value that should fall, and says when it has not fallen enough for some epochs in a row.

    An epoch counts as progress if its value is below ``best - tol * scale``, where the scale is the absolute value of
    the best (a relative tolerance, the same for targets of any size), or 1 (an absolute one).

    Parameters
    ----------
    tol : float or None
        None never runs out of patience.
    n_iter_no_change : int
    relative : bool

    Attributes
    ----------
    best : float
        The lowest value so far.
    exhausted : bool
    """

    def __init__(self, tol, n_iter_no_change, *, relative):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.relative = relative
        self.best = np.inf
        self.reset()

    def reset(self):
        self.n_idle = 0

    @property
    def exhausted(self):
        return self.tol is not None and self.n_idle >= self.n_iter_no_change

    @property
    def left(self):
        """After how many more epochs it may be exhausted."""
        return np.inf if self.tol is None else self.n_iter_no_change - self.n_idle

    def see(self, value):
        """Take in the value of an epoch, and return whether it is the lowest so far."""
        first = self.best == np.inf
        scale = abs(self.best) if self.relative else 1.0
        enough = first or self.tol is None or value < self.best - self.tol * scale
        self.n_idle = 0 if enough else self.n_idle + 1
        lowest = value < self.best
        self.best = min(value, self.best)
        return lowest
