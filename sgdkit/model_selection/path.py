"""The regularisation path: one model for each strength of the penalty, all trained in the same passes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch, check_array

from sgdkit._kernels.rows import Rows
from sgdkit._typing import MatrixLike
from sgdkit.estimators.base import check_parameters
from sgdkit.estimators.data import check_rows, check_weights, targets_kind
from sgdkit.estimators.subset import on_subset
from sgdkit.model_selection.evaluation import MOST_COLUMNS
from sgdkit.model_selection.pipelines import final_estimator, is_alone
from sgdkit.model_selection.shared_passes import (
    Fold,
    Group,
    column_parameters,
    features_seen,
    fit_group,
)


def regularization_path(
    estimator: Any, X: MatrixLike, y: MatrixLike, alphas: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Any:
    """Fit an estimator at each of some strengths of the penalty, all of them in the same passes over the rows.

    Each model is the one that the estimator alone fits at that `alpha`. Of "gd", which `optimizer="auto"` takes for
    dense features, one is trained after the other.

    Parameters
    ----------
    estimator : SGDClassifierPlus or SGDRegressorPlus
        It is not changed, and its `alpha` has no part in it.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    alphas : array-like of shape (n_alphas,)
        The strengths, in any order.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the rows.

    Returns
    -------
    path : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        alphas : ndarray of shape (n_alphas,)
            The strengths as given.
        coef_path : ndarray of shape (n_alphas, n_features) or (n_alphas, n_outputs, n_features)
            The `coef_` of each model.
        intercept_path : ndarray of shape (n_alphas, n_outputs)
            The `intercept_` of each model.
        n_iter : ndarray of int of shape (n_alphas,)
            The epochs that each model took.

    See Also
    --------
    OnePassGridSearchCV : Finds the strength whose models predict best.
    sklearn.linear_model.lasso_path : The same for the squared error, by coordinate descent.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sgdkit import SGDRegressorPlus
    >>> from sgdkit.model_selection import regularization_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorPlus(penalty="l1", random_state=0)
    >>> path = regularization_path(model, X, y, [1.0, 10.0, 50.0])
    >>> (path.coef_path != 0).sum(axis=1).tolist()
    [8, 4, 0]
    """
    final_estimator(estimator)
    if not is_alone(estimator):
        raise ValueError("regularization_path takes an estimator alone; transform the rows before.")
    strengths = check_array(alphas, ensure_2d=False, dtype=np.float64, input_name="alphas")
    if strengths.ndim != 1 or strengths.min() < 0:
        raise ValueError("alphas must be non-negative numbers, in one dimension.")
    estimator = clone(estimator).set_params(alpha=float(strengths[0]))
    estimator._validate_params()
    check_parameters(estimator)
    rows, targets = check_rows(estimator, X, y, reset=True)
    subset, seen = on_subset(Rows(rows))
    weights, everyone = check_weights(sample_weight, rows), np.arange(len(targets))
    fold = Fold(rows, seen, targets, weights, everyone, rows.dtype)
    fold.features, fold.subset = features_seen(estimator), subset
    models = [model for group in _groups(estimator, targets, strengths) for model in _fitted(group, fold)]
    return Bunch(
        alphas=strengths,
        coef_path=np.array([model.coef_ for model in models]),
        intercept_path=np.array([model.intercept_ for model in models]),
        n_iter=np.array([model.n_iter_ for model in models]),
    )


def _groups(estimator, targets, alphas):
    """The models of the path, as many together as share a pass well."""
    n_columns = targets_kind(estimator).learn(targets).encode(targets).n_columns
    parameters = [{**column_parameters(estimator), "alpha": float(alpha)} for alpha in alphas]
    whole = Group(estimator, list(range(len(alphas))), parameters)
    return whole.split(max(1, MOST_COLUMNS // n_columns))


def _fitted(group, fold):
    for model, error in fit_group(group, fold):
        if error is not None:
            raise error
        yield model
