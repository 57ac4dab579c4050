"""What all optimizers share: hyper-parameters in scikit-learn's manner, and what others may ask of them."""

from functools import cache
from numbers import Real
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sgdkit._documented import Documented
from sgdkit._typing import Array

# What hyper-parameters may be: a share in [0, 1), a number above 0, or one of at least 0.
SHARE = [Interval(Real, 0, 1, closed="left")]
POSITIVE = [Interval(Real, 0, None, closed="neither")]
NON_NEGATIVE = [Interval(Real, 0, None, closed="left")]


class Parametrized(Documented, BaseEstimator):
    """What has parameters in scikit-learn's manner; their names are those of the class, and looked up once."""

    @classmethod
    @cache
    def _get_param_names(cls):
        # To look at the signature each time takes a tenth of a small fit.
        return super()._get_param_names()


class Optimizer(Parametrized):
    """Base class of the optimizers: they clone, print, take `set_params` and compare by their parameters.

    An optimizer holds hyper-parameters only, and `fit` does not change it; the state is the fitted model's.

    Attributes
    ----------
    full_batch : bool
        Whether a step takes all rows.
    scales_with_gradient : bool
        Whether the direction has the gradient's scale, or does not depend on it.
    decays : bool
        Whether the metric lowers the steps of a coordinate like the root of their number.
    takes_rates : bool
        Whether it makes steps of rates that are given; else it always finds them.
    minimises_kinks : bool
        Whether it can do with losses that are not smooth, and with an l1 norm.
    default_tol : float
        What `tol="auto"` stands for. The objective of an epoch of stochastic steps is known up to its noise.
    """

    _documented_in = "sgdkit.optimizers"
    full_batch: bool = False
    scales_with_gradient: bool = False
    decays: bool = False
    takes_rates: bool = True
    minimises_kinks: bool = True
    default_tol: float = 1e-3
    _parameter_constraints: dict = {}

    def __eq__(self, other):
        return type(self) is type(other) and self.get_params() == other.get_params()

    @property
    def inertia(self) -> float:
        """Steps in one direction add up to 1 / (1 - inertia) times their length."""
        return getattr(self, "momentum", 0.0)

    def default_schedule(self, loss: Any) -> str:
        """Return the name of the schedule that `learning_rate="auto"` stands for.

        Parameters
        ----------
        loss : Loss
            The loss to be minimised.

        Returns
        -------
        name : str
            A key of `SCHEDULES`.
        """
        return "constant"

    def schedule_for(self, loss: Any, *, stream: bool = False, elsewhere: bool = False) -> str:
        """Return the same for a kind of training.

        Parameters
        ----------
        loss : Loss
            The loss to be minimised.
        stream : bool, default=False
            Whether other rows are to come, and the rate was chosen for those that came first.
        elsewhere : bool, default=False
            Whether steps of all rows begin at the weights of another penalty.

        Returns
        -------
        name : str
            A key of `SCHEDULES`.
        """
        return self.default_schedule(loss)

    def check(self, loss: Any, *, selects: bool) -> None:
        """Raise a ValueError if the optimizer cannot minimise an objective.

        Parameters
        ----------
        loss : Loss
            The loss to be minimised.
        selects : bool
            Whether there is an l1 penalty.
        """
        if not self.minimises_kinks and (selects or not loss.smooth):
            what = "an l1 penalty" if selects else f"the loss {type(loss).__name__}"
            raise ValueError(
                f"{self!r} needs a smooth objective, and {what} has kinks. "
                "Choose another optimizer, such as 'gd' or 'adagrad'."
            )

    def backtracks(self, loss: Any) -> bool:
        """Tell whether `eta0="auto"` leaves the rate to backtracking.

        Parameters
        ----------
        loss : Loss
            The loss to be minimised.

        Returns
        -------
        backtracks : bool
            False unless the optimizer says otherwise.
        """
        return False

    def make_state(
        self,
        record: Array | None,
        shape: tuple[int, int],
        dtype: Any,
        *,
        fit_intercept: bool = True,
        average_from: int = 0,
    ) -> Any:
        """Make the state of columns in training.

        Parameters
        ----------
        record : ndarray of shape (n_features + 1, width), or None
            The state to go on from; None begins at zero.
        shape : tuple of int
            The numbers of features and columns.
        dtype : {numpy.float32, numpy.float64}
            That of the rows.
        fit_intercept : bool, default=True
            Whether the intercepts are trained.
        average_from : int, default=0
            The average begins with the step that has seen this number of rows; 0 means that there is none.

        Returns
        -------
        state : State
            Or what has its public methods; that of a `full_batch` optimizer has `epoch(problem, rate)` as well.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make_state")

    __hash__ = None  # type: ignore[assignment]
