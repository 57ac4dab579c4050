"""What all optimizers share: hyper-parameters in scikit-learn's manner, and what others may ask of them."""

from functools import cache

from sklearn.base import BaseEstimator


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
