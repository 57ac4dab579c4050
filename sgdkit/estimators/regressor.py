"""SGDRegressorPlus: its targets, losses and predictions."""

from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sgdkit._docs import documented
from sgdkit.estimators.base import BaseSGDPlus, check_parameters
from sgdkit.estimators.data import check_rows, chunk_dtype
from sgdkit.estimators.outputs import Outputs
from sgdkit.losses import REGRESSOR_LOSSES


@documented
class SGDRegressorPlus(RegressorMixin, BaseSGDPlus):
    """Linear regression fitted by first-order optimizers: least squares, robust, quantile, Poisson and others.

    Minimises ``sum_i s_i loss(y_i, x_i W + b) / sum_i s_i + alpha * R(D W)`` over weights W and intercepts b, with
    sample weights s and the scales D of the features (1 with `standardize=False`). Several outputs are trained in the
    same pass over the rows. Training begins with the intercept of the best constant model.

    The defaults need no tuning: `alpha`, the rates and the scales of the features are taken from the data.

    It takes the parameters of :class:`sklearn.linear_model.SGDRegressor`.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive", \
            "quantile", "poisson", "gamma"}, default="squared_error"
        The loss, with the residual ``r = x W + b - y``: ``r^2 / 2``; ``|r|``; ``r^2 / 2`` that is continued as
        ``epsilon |r| - epsilon^2 / 2`` above ``|r| = epsilon``; ``max(0, |r| - epsilon)``; its square;
        ``quantile * max(0, -r) + (1 - quantile) * max(0, r)``; half the deviance of the Poisson (y >= 0) and of the
        Gamma distribution (y > 0), with the prediction ``exp(x W + b)``.

    PARAMETERS

    quantile : float in (0, 1), default=0.5
        The quantile that the loss "quantile" estimates.

    MORE_PARAMETERS

    LAST_PARAMETERS

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        Weights.

    intercept_ : ndarray of shape (1,) or (n_outputs,)
        Intercepts.

    ATTRIBUTES

    See Also
    --------
    SGDClassifierPlus : The same for classification.
    sklearn.linear_model.Ridge, sklearn.linear_model.Lasso : Batch solvers for the squared error.

    REFERENCES

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sgdkit import SGDRegressorPlus
    >>> X, y = load_diabetes(return_X_y=True)
    >>> SGDRegressorPlus(random_state=0).fit(X, y).score(X, y) > 0.5
    True
    """

    _parameter_constraints: dict = {
        **BaseSGDPlus._parameter_constraints,
        "loss": [StrOptions(set(REGRESSOR_LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        loss="squared_error",
        *,
        optimizer="auto",
        penalty="l2",
        alpha="auto",
        l1_ratio=0.15,
        standardize=True,
        epsilon=0.1,
        quantile=0.5,
        fit_intercept=True,
        batch_size="auto",
        learning_rate="auto",
        eta0="auto",
        power_t=0.5,
        max_iter=1000,
        tol="auto",
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        scoring="loss",
        average=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.epsilon = epsilon
        self.quantile = quantile
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

    @documented
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """PARTIAL_FIT"""
        check_parameters(self, chunk=True)
        past = self._past
        X, y = check_rows(self, X, y, reset=past is None, dtype=chunk_dtype(past))
        return self._fit_chunk(X, y, Outputs(), sample_weight)

    def sparsify(self):
        """Convert `coef_` to CSR, of shape (n_outputs, n_features); worth it where over half of it is zero.

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        if not sparse.issparse(self.coef_):
            # A sparse array of one dimension takes no part in products.
            self.coef_ = np.atleast_2d(self.coef_)
        return super().sparsify()

    def densify(self):
        """Convert `coef_` back to an ndarray.

        Returns
        -------
        self : object
        """
        super().densify()
        if self.coef_.ndim == 2 and len(self.coef_) == 1:
            self.coef_ = self.coef_[0]
        return self

    def predict(self, X):
        """Predict targets: ``X @ coef_.T + intercept_``, or its exponential for `poisson` and `gamma`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        scores = self._linear_predictor(X)
        return np.exp(scores) if self._log_link else scores
