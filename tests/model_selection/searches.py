"""What tests of searches share: data, models, and comparisons with `GridSearchCV` and with the estimator alone."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import OnePassGridSearchCV

ALPHAS = {"alpha": [1e-5, 1e-3, 1e-1]}
KINDS = ["two classes", "classes", "labels", "number", "numbers"]
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make_data(kind, n=150):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    # Zeros, and an order that is not that of the classes.
    X[np.abs(X) < 0.3] = 0
    order = np.random.default_rng(0).permutation(len(y))[:n]
    X, y = X[order], y[order]
    if kind == "two classes":
        return X, y == 1
    if kind == "labels":
        return X, np.column_stack([y == 0, y < 2]).astype(int)
    if kind == "number":
        return X[:, :3], X[:, 3]
    if kind == "numbers":
        return X[:, :2], X[:, 2:]
    return X, np.array(["a", "b", "c"])[y]


def make_model(kind, **params):
    cls = SGDRegressorPlus if "number" in kind else SGDClassifierPlus
    return cls(**{"max_iter": 4, "tol": None, "random_state": 0, "batch_size": 1, "eta0": 0.1, **params})


# ----------------------------------------------------------------------------------------------- GridSearchCV


def assert_same_search(ours, theirs, atol=1e-9):
    """All that is not a time."""
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for key, value in theirs.cv_results_.items():
        if "_time" in key:
            assert (ours.cv_results_[key] >= 0).all()
        elif "score" in key or "test" in key or "train" in key:
            assert_allclose(ours.cv_results_[key], value, atol=atol, err_msg=key)
        else:
            assert list(ours.cv_results_[key]) == list(value), key
    for name in ("best_index_", "best_params_", "multimetric_", "n_splits_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if hasattr(theirs, "best_score_"):
        assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-9)


def both(model, grid, X, y, *, fit_params=None, **options):
    options = {"cv": 3, "return_train_score": True, **options}
    ours = OnePassGridSearchCV(model, grid, **options).fit(X, y, **(fit_params or {}))
    theirs = GridSearchCV(model, grid, **options).fit(X, y, **(fit_params or {}))
    return ours, theirs


def assert_finds_the_same(model, grid, X, y, **options):
    ours, theirs = both(model, grid, X, y, **options)
    assert_same_search(ours, theirs)
    if options.get("refit", True):
        assert_array_equal(ours.predict(X), theirs.predict(X))
    return ours


# ---------------------------------------------------------------------------------------- the estimator alone


def found_and_alone(model, grid, X, y, train, sample_weight=None):
    """The models of a search, and those that the estimator alone fits to the rows `train`, in the order of the grid."""
    found = []

    def scoring(model, X, y, sample_weight=None):
        found.append(model)
        return 0.0

    def place(model):
        return next(
            k for k, given in enumerate(grid) if all(getattr(model, name) == given[name] for name in given)
        )

    lists = [{name: [value] for name, value in given.items()} for given in grid]
    folds = [(train, np.setdiff1d(np.arange(X.shape[0]), train))]
    options = {"scoring": scoring, "refit": False, "error_score": "raise", "verbose": 1}
    search = OnePassGridSearchCV(model, lists, cv=folds, **options)
    search.fit(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
    weights = None if sample_weight is None else sample_weight[train]
    alone = [clone(model).set_params(**given).fit(X[train], y[train], weights) for given in grid]
    return sorted(found, key=place), alone


def assert_same_models(found, alone, rtol=1e-9):
    for a, b in zip(found, alone, strict=True):
        assert_allclose(a.coef_, b.coef_, rtol=rtol, atol=1e-12)
        assert_allclose(a.intercept_, b.intercept_, rtol=rtol, atol=1e-12)
        assert_allclose(a.loss_curve_, b.loss_curve_, rtol=rtol)
        if b.validation_scores_ is not None:
            assert_allclose(a.validation_scores_, b.validation_scores_, rtol=rtol, atol=1e-12)
        assert a.n_iter_ == b.n_iter_
        assert a.best_iter_ == b.best_iter_
        assert a.eta0_ == pytest.approx(b.eta0_, rel=1e-12)


def widths_of_passes(capsys, *, first=True):
    """How many candidates each pass of a verbose search began with, or took in each of its epochs."""
    line = r"Fold \d+ of \d+, epoch (\d+): \d+ of (\d+) candidates go on"
    epochs = re.findall(line, capsys.readouterr().out)
    return [int(width) for epoch, width in epochs if not first or epoch == "1"]
