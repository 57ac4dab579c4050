"""SGDRegressorPlus: targets, losses and predictions of numbers."""

from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sgdkit._typing import Array, Auto, MatrixLike, RandomState, Scoring
from sgdkit.estimators.base import BaseSGDPlus, check_parameters
from sgdkit.estimators.data import check_rows, chunk_dtype, is_copy
from sgdkit.estimators.outputs import Outputs
from sgdkit.estimators.predictions import RegressorPredictions
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import Optimizer


class SGDRegressorPlus(RegressorPredictions, BaseSGDPlus):
    """Linear regression fitted by first-order optimizers: least squares, robust, quantile, Poisson and others.

    The fit minimises ``sum_i s_i loss(y_i, x_i W + b) / sum_i s_i + alpha * R(D W)`` over weights W and intercepts b,
    with sample weights s and scales D of the features (1 with `standardize=False`). One pass over the rows trains all
    outputs. Training begins with the intercept of the best constant model. The defaults need no tuning: `alpha`, the
    rates and the scales of the features are taken from the data.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive", \
            "quantile", "poisson", "gamma", "tweedie"}, default="squared_error"
        The loss of the residual ``r = x W + b - y``: "squared_error" is ``r^2 / 2``, "absolute_error" ``|r|``, "huber"
        ``r^2 / 2`` that is continued as ``epsilon |r| - epsilon^2 / 2`` above ``|r| = epsilon``, "epsilon_insensitive"
        ``max(0, |r| - epsilon)``, "squared_epsilon_insensitive" its square, "quantile"
        ``quantile * max(0, -r) + (1 - quantile) * max(0, r)``. Of the prediction ``m = exp(x W + b)``, "poisson"
        (``y >= 0``), "gamma" (``y > 0``) and "tweedie" (``y >= 0``, and ``y > 0`` at a `power` of 2) are half the
        deviance; with p = `power`, half the Tweedie deviance is
        ``y^(2-p) / ((1-p) (2-p)) - y m^(1-p) / (1-p) + m^(2-p) / (2-p)`` [3]_, and its limits at 1 and 2 are "poisson"
        and "gamma".
    optimizer : {"auto", "sgd", "adagrad", "adam", "nadam", "rmsprop", "ftrl", "gd", "lbfgs"} or Optimizer, \
            default="auto"
        A name, or an object of :mod:`sgdkit.optimizers` with hyper-parameters of its own, such as
        ``Adam(beta_2=0.99)``; a search sets these as `optimizer__beta_2`. "auto" is "lbfgs", full gradients, for dense
        features and a smooth loss (or "gd", if the penalty has an l1 norm); else "adagrad", or "sgd" for many classes
        or labels, and where `eta0` or a schedule is given; see the user guide, *Without tuning*. `optimizer_` is the
        choice.
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        The penalty R: ``||W||_2^2 / 2``, ``||W||_1`` (which gives exact zeros), or
        ``l1_ratio * ||W||_1 + (1 - l1_ratio) * ||W||_2^2 / 2``. The intercept is not penalised.
    alpha : float >= 0 or "auto", default="auto"
        Strength of the penalty. On standardised features, `LogisticRegression(C=C)` minimises the same objective at
        ``alpha = 1 / (n_samples * C)``, `Ridge(alpha=a)` at ``alpha = a / n_samples``, `Lasso` and `ElasticNet` at
        their `alpha`. "auto" is ``c / n``, where n is the sum of the rows' weights, or their number if that is
        larger, and c is 1, unless features are dense, and models with another c predict rows that are held out clearly
        better; see the user guide, *Without tuning*. It is meant for targets in units
        of their spread, and multiplied accordingly. `alpha_` is the number.
    l1_ratio : float in [0, 1], default=0.15
        Share of the l1 norm in the "elasticnet" penalty.
    standardize : bool, default=True
        Whether the penalty is that of the weights of standardised features, ``R(D W)``, so that their units do not
        matter. D is the standard deviation of a feature, or a root mean square if it has zeros; see the user guide,
        *Without tuning*. Training then sees such features, which makes it faster; `coef_` and `intercept_` are those of
        the raw ones. False penalises the weights of the features as they are, as `LogisticRegression` and `Ridge` do.
    epsilon : float >= 0, default=0.1
        Parameter of the losses "huber" (the residual at which it turns from quadratic to linear), "epsilon_insensitive"
        and "squared_epsilon_insensitive" (errors below it count for nothing); in units of the target.
    quantile : float in (0, 1), default=0.5
        The quantile that the loss "quantile" estimates.
    power : float in [1, 2], default=1.5
        Parameter of the loss "tweedie": the variance of a target is taken to grow as this power of its mean.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    batch_size : int >= 1 or "auto", default="auto"
        Rows in a mini-batch, whose mean gradient makes one step. "auto" takes data of up to 256 rows as one batch,
        which makes the fit deterministic, and larger data row by row, which is the fastest; so are the chunks of
        `partial_fit`, and smaller data where `optimizer` is "auto", and `eta0` or a schedule is given.
    learning_rate : {"auto", "constant", "invscaling", "optimal", "linear", "adaptive"}, default="auto"
        The rate of step t = 1, 2, ...: "constant" is ``eta0``, "invscaling" ``eta0 / t ** power_t``, "optimal"
        ``eta0 / (1 + alpha * eta0 * (t - 1))`` [1]_, "linear" ``eta0 * (1 - (t - 1) / n)``, with n the steps of
        the planned epochs, see `max_iter` (not in `partial_fit`), and "adaptive" ``eta0``, divided by 5 after every
        `n_iter_no_change` epochs in a row without progress, down to a millionth. "auto" is "linear" where epochs are
        planned, else the schedule that suits the optimizer; see the user guide, *Without tuning*.
    eta0 : float > 0 or "auto", default="auto"
        The first rate, for features as training sees them (see `standardize`). "auto" takes it from the size of the
        rows and of the targets, from short pilot runs (where "sgd" cannot know), or step by step (for "gd" and
        "lbfgs"); see the user guide, *Without tuning*. A rate that "auto" chose is lowered where the weights overflow,
        and training begins again. `eta0_` is the rate that was used.
    power_t : float >= 0, default=0.5
        Exponent of "invscaling".
    max_iter : int >= 1 or "auto", default="auto"
        The most epochs (passes over the rows) that `fit` makes; `partial_fit` makes one. "auto" plans 4 to 8, more of
        few rows, where these are visited one by one and nothing else says when to stop; it is 1000 otherwise. The user
        guide, *Without tuning*, has a table of what `max_iter`, `tol` and the others mean together.
    tol : float >= 0, "auto" or None, default="auto"
        A number trains until the optimum: until `n_iter_no_change` epochs in a row have not lowered the objective, loss
        and penalty together, by `tol` times its lowest value so far. Then the rate, if no schedule is given, falls to 0
        over as many epochs again. With `early_stopping` it watches the validation loss in this way, or a score, which
        has to rise by `tol` itself. "auto" makes the planned epochs, `max_iter` at the most, where there is a plan;
        else it is 1e-4 for "lbfgs" and 1e-5 for "gd", whose objectives have no noise, and 1e-3 for the others. "lbfgs"
        stops as soon as neither the last step nor the next one makes so much progress. None makes `max_iter` epochs.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new random order. From 32,768 rows on, if neighbours have unrelated
        targets, it is an order of runs of 64 neighbours, which memory gives in less time; of more than 131,072 rows,
        these are shuffled in windows of 32 blocks of 4,096 rows from anywhere. Rows that are sorted, by class or by
        time, are shuffled one by one.
    early_stopping : bool, default=False
        Whether to stop on a validation set, and to return the weights of the epoch with the best validation score. The
        set is `X_val`, `y_val` of `fit`, or else a fraction of the rows.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows to hold out for `early_stopping`; stratified for classes.
    n_iter_no_change : int >= 1, default=5
        Epochs in a row without progress (see `tol`) that end training, or lower the rate of "adaptive".
    scoring : str or callable, default="loss"
        What scores a validation set: "loss" (minus the mean loss, without penalty), a scorer's name, or a callable
        ``scorer(estimator, X, y)`` that may take `sample_weight`. It scores the model that would be returned: the
        averaged one if `average`.
    average : bool or int, default=False
        Whether to return the mean of the weights after each step (Polyak-Ruppert averaging [2]_) instead of the last
        weights. An int begins to average when so many rows have been seen.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit, with the optimizer's exact state.
    n_jobs : int or None, default=None
        Threads that share the independent columns: the classes of one-vs-rest, the labels, the outputs. The columns of
        softmax depend on each other and stay together. "lbfgs" and "gd" share out blocks of rows, each of a million
        values or more. The result is the same for every value.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling, of the validation split, and of the samples that "auto" looks at.
    verbose : int, default=0
        Whether to print a line for each epoch: objective, validation score, rate, seconds.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Weights of the raw features.
    intercept_ : ndarray of shape (1,) or (n_outputs,)
        Intercepts.
    optimizer_ : Optimizer
        The optimizer, with the parameters that training had.
    alpha_ : float, or ndarray of shape (n_outputs,)
        The strength of the penalty; one for each output where "auto" had to choose in other units.
    eta0_ : float
        The first rate, for features as training saw them; of backtracking, the last.
    n_iter_ : int
        Epochs made: by the last `fit`, or by all calls of `partial_fit`.
    best_iter_ : int
        The epoch whose weights these are, counted from 1: the best one with `early_stopping`, else the last.
    loss_curve_ : list of float, one for each epoch
        The objective of each epoch, summed over outputs: the mean of the losses of the rows, plus the penalty at the
        end of the epoch. The loss of a row is taken before the step that the row is part of, and so is the penalty of
        a single batch; with "gd" and "lbfgs", after the epoch.
    validation_scores_ : list of float, one for each epoch, or None
        The validation score of each epoch, if `early_stopping`.
    t_ : int
        One more than the number of steps.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`, if all are strings.

    See Also
    --------
    SGDClassifierPlus : The same for classification.
    sgdkit.model_selection.OnePassGridSearchCV : Search of its parameters, all candidates in the same passes.
    sklearn.linear_model.SGDRegressor : Its parameters are among those above.
    sklearn.linear_model.Ridge, sklearn.linear_model.Lasso : Batch solvers for the squared error.

    References
    ----------
    .. [1] L. Bottou, "Stochastic Gradient Descent Tricks", 2012.
    .. [2] B. Polyak & A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 30,
       1992.
    .. [3] B. Jørgensen, "Exponential Dispersion Models", J. R. Stat. Soc. B 49, 1987.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sgdkit import SGDRegressorPlus
    >>> X, y = load_diabetes(return_X_y=True)
    >>> SGDRegressorPlus(random_state=0).fit(X, y).score(X, y) > 0.5
    True
    """

    coef_: Array

    _parameter_constraints: dict = {
        **BaseSGDPlus._parameter_constraints,
        "loss": [StrOptions(set(REGRESSOR_LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
        "power": [Interval(Real, 1, 2, closed="both")],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        *,
        optimizer: str | Optimizer = "auto",
        penalty: str | None = "l2",
        alpha: float | Auto = "auto",
        l1_ratio: float | None = 0.15,
        standardize: bool = True,
        epsilon: float = 0.1,
        quantile: float = 0.5,
        power: float = 1.5,
        fit_intercept: bool = True,
        batch_size: int | Auto = "auto",
        learning_rate: str = "auto",
        eta0: float | Auto = "auto",
        power_t: float = 0.5,
        max_iter: int | Auto = "auto",
        tol: float | Auto | None = "auto",
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        scoring: Scoring = "loss",
        average: bool | int = False,
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.epsilon = epsilon
        self.quantile = quantile
        self.power = power
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.scoring = scoring
        self.average = average
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | None = None) -> Self:
        """Make one epoch over a chunk of rows, going on from the model as it is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the chunk.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. They count relative to the mean weight of all rows seen so far.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            For bad input; with `early_stopping` or `learning_rate="linear"`, which need an end of training; for another
            number of features or targets than before, or targets out of the range of the loss; and where the weights
            overflow, because the rate is too large for the scale of the features.
        """
        check_parameters(self, chunk=True)
        past = self._past
        rows, targets = check_rows(self, X, y, reset=past is None, dtype=chunk_dtype(past))
        return self._fit_chunk(rows, targets, Outputs(), sample_weight, owned=is_copy(rows, X))

    def sparsify(self) -> Self:
        """Convert `coef_` to CSR, of shape (n_outputs, n_features); worth it where over half of it is zero.

        Returns
        -------
        self : object
            The estimator itself.
        """
        check_is_fitted(self)
        if not sparse.issparse(self.coef_):
            # A sparse array of one dimension takes no part in products.
            self.coef_ = np.atleast_2d(self.coef_)
        return super().sparsify()

    def densify(self) -> Self:
        """Convert `coef_` back to an ndarray.

        Returns
        -------
        self : object
            The estimator itself.
        """
        super().densify()
        if self.coef_.ndim == 2 and len(self.coef_) == 1:
            self.coef_ = self.coef_[0]
        return self
