"""Training in the space that few rows span: the same scores and norms, and the same models."""

import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.rows import Rows
from sgdkit.training import span
from sgdkit.training.span import span_of
from tests.processes import run

TOLERANCES = {np.float64: 1e-8, np.float32: 2e-3}
ALL_DTYPES = pytest.mark.parametrize("dtype", TOLERANCES)


@pytest.fixture(scope="module")
def table():
    """Rows of which two are the same, and one is all zeros; a feature is so, too."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 1200)) * np.exp(rng.standard_normal(1200))
    X[1], X[2], X[:, 7] = X[0], 0, 0
    return X, X[:, :30].sum(axis=1)


@ALL_DTYPES
def test_scores_and_norms_are_those_of_features(table, dtype):
    X = table[0].astype(dtype)
    there = span_of(Rows(X))
    coordinates = np.random.default_rng(1).standard_normal((41, 3)).astype(dtype)
    # What lies in no row's direction has no weight.
    coordinates[:-1][np.abs(there.rows.X).max(axis=0) == 0] = 0
    weights = there.weights(coordinates)
    assert weights.dtype == dtype
    options = {"rtol": TOLERANCES[dtype], "atol": TOLERANCES[dtype]}
    assert_allclose(X @ weights[:-1], there.rows.X @ coordinates[:-1], **options)
    assert_allclose(np.square(weights).sum(axis=0), np.square(coordinates).sum(axis=0), **options)


@pytest.mark.parametrize(
    "X", [np.ones((40, 60)), np.ones((700, 1200)), np.full((10, 1200), 1e200), np.ones((0, 5))], ids=str
)
def test_there_is_none_of_other_tables(X):
    assert span_of(Rows(X)) is None


@pytest.mark.parametrize("settings", [{}, {"standardize": False}, {"fit_intercept": False}], ids=str)
@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
@ALL_DTYPES
def test_the_model_is_that_of_features(table, estimator, settings, dtype, monkeypatch):
    X, scores = table[0].astype(dtype), table[1]
    y = np.digitize(scores, [-3, 3]) if estimator is SGDClassifierPlus else scores
    model = estimator(optimizer="lbfgs", alpha=0.1, random_state=0, max_iter=500, **settings)
    # float32 has no further digits.
    model.set_params(tol=1e-11 if dtype is np.float64 else 1e-6)
    weights = np.random.default_rng(2).random(40)
    model.fit(X, y, sample_weight=weights)
    n_iter = model.n_iter_
    monkeypatch.setattr(span, "MOST_ROWS", 0)
    other = clone(model).fit(X, y, sample_weight=weights)
    options = {np.float64: {"rtol": 1e-3, "atol": 1e-5}, np.float32: {"rtol": 0.05, "atol": 2e-3}}[dtype]
    assert_allclose(model.coef_, other.coef_, **options)
    assert_allclose(model.intercept_, other.intercept_, **options)
    assert_allclose(model.predict(X), other.predict(X), **options)
    assert n_iter <= other.n_iter_
    assert model.coef_.dtype == dtype


def test_the_average_is_that_of_all_steps(table):
    X, scores = table
    model = SGDRegressorPlus(optimizer="lbfgs", alpha=0.1, tol=None, random_state=0)
    steps = [clone(model).set_params(max_iter=n).fit(X, scores).coef_ for n in range(1, 6)]
    averaged = clone(model).set_params(max_iter=5, average=True).fit(X, scores)
    assert_allclose(averaged.coef_, np.mean(steps, axis=0))


def test_training_goes_on_without_it(table):
    """Nothing of the rows is kept, and weights that do not begin at 0 need not lie there."""
    X, scores = table
    model = SGDClassifierPlus(optimizer="lbfgs", alpha=0.1, warm_start=True, random_state=0)
    model.fit(X, scores > 0)
    assert len(pickle.dumps(model)) < X.nbytes
    loaded, n_iter = pickle.loads(pickle.dumps(model)), model.n_iter_
    for going_on in (model, loaded):
        going_on.fit(X, scores > 0)
        assert going_on.n_iter_ < n_iter
    assert_allclose(model.coef_, loaded.coef_)
    first = np.full((1, 1200), 0.5)
    begun = clone(model).set_params(warm_start=False, tol=1e-10).fit(X, scores > 0, coef_init=first)
    assert_allclose(begun.coef_, clone(model).set_params(tol=1e-10).fit(X, scores > 0).coef_, atol=1e-4)


# What the system says, since LAPACK's own work is among it.
PEAK = """
import resource
import numpy as np
from sgdkit._kernels.rows import Rows
from sgdkit.training.span import span_of

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

X = np.random.default_rng(0).standard_normal((1000, 2000))
span_of(Rows(X[:50]))
before = peak()
span_of(Rows(X))
print((peak() - before) * 1024 / (8 * 1000**2))
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere, the peak is told in other units, or not at all"
)
def test_axes_are_found_in_little_more_room_than_twice_their_own():
    code, output = run(PEAK)
    assert code == 0
    assert float(output) < 3
