"""What models without a row predict of it, from one fit to all."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto import strength
from sgdkit.auto.leaving_out import LeavingOut
from sgdkit.auto.strength import CANDIDATES


def rows_of(load, n_rows):
    X, y = load(return_X_y=True)
    kept = np.random.default_rng(0).permutation(len(y))[:n_rows]
    return StandardScaler().fit_transform(X[kept]), y[kept]


def told(monkeypatch, model, X, y, **options):
    """The losses that the choice of alpha looks at last, of the rows that have a mass."""
    seen = []

    class Watched(LeavingOut):
        def losses(self):
            losses = super().losses()
            seen.append(losses[self._masses > 0])
            return losses

    monkeypatch.setattr(strength, "LeavingOut", Watched)
    model.fit(X, y, **options)
    return seen[-1]


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_of_squared_errors_it_is_exact(fit_intercept, monkeypatch):
    X, y = rows_of(load_diabetes, 60)
    found = told(monkeypatch, SGDRegressorPlus(fit_intercept=fit_intercept), X, y)
    for c, losses in zip(CANDIDATES, found.T, strict=True):
        for out in range(0, len(y), 10):
            rest = np.arange(len(y)) != out
            other = Ridge(alpha=c, fit_intercept=fit_intercept).fit(X[rest], y[rest])
            assert losses[out] == pytest.approx((y[out] - other.predict(X[[out]])[0]) ** 2 / 2, rel=1e-6)


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_of_classes_it_is_about_what_they_tell(load, monkeypatch):
    X, y = rows_of(load, 80)
    found = told(monkeypatch, SGDClassifierPlus(), X, y)
    for c, losses in zip(CANDIDATES[:3], found.T, strict=False):
        expected = []
        for out in range(len(y)):
            rest = np.arange(len(y)) != out
            other = LogisticRegression(C=1 / c, tol=1e-6, max_iter=1000).fit(X[rest], y[rest])
            expected.append(-other.predict_log_proba(X[[out]])[0, y[out]])
        assert losses.mean() == pytest.approx(np.mean(expected), rel=0.1)


def test_copies_of_a_row_are_left_out_with_it(monkeypatch):
    X, y = rows_of(load_iris, 60)
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    copied = np.repeat(np.arange(len(y)), weights)
    weighted = told(monkeypatch, SGDClassifierPlus(), X, y, sample_weight=weights)
    repeated = told(monkeypatch, SGDClassifierPlus(), X[copied], y[copied])
    assert_allclose(np.sort(weighted, axis=0), np.sort(repeated, axis=0), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_the_unit_of_a_feature_does_not_matter(loss, monkeypatch):
    X, y = rows_of(load_diabetes, 60)
    y = y / y.mean()
    model = SGDRegressorPlus(loss, epsilon=1.0)
    found = told(monkeypatch, model, X * np.array([1e-6, 1e6, *np.ones(8)]), y)
    assert_allclose(found, told(monkeypatch, model, X, y), rtol=1e-6, atol=1e-9)
