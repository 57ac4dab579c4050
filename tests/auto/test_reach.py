"""Streams that show large values late."""

import numpy as np
import pytest
from scipy import sparse

from sgdkit import SGDRegressorPlus


def learn(model, X, y, n_passes):
    for _ in range(n_passes):
        for rows in np.split(np.arange(len(y)), len(y) // 30):
            model.partial_fit(X[rows], y[rows])
    return model.score(X, y)


@pytest.mark.parametrize(
    ("optimizer", "container", "dtype"),
    [
        ("auto", np.asarray, np.float64),
        ("auto", sparse.csr_array, np.float32),
        ("adam", np.asarray, np.float32),
    ],
)
def test_a_feature_whose_tail_is_long(optimizer, container, dtype):
    # That small values have a steeper slope than large ones is what the first chunks cannot know.
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.lognormal(0, 2, 600), rng.normal(size=600)]).astype(dtype)
    y = np.log(X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=600)
    best = SGDRegressorPlus().fit(X, y).score(X, y)
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0)
    assert learn(model, container(X), y, 5) > best - 0.02


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop", "ftrl"])
def test_a_row_far_out_does_not_drive_weights_away(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    X[400, 0] = 30
    y = rng.poisson(np.exp(X @ [0.1, -0.5, 0.25]))
    assert learn(SGDRegressorPlus("poisson", optimizer=optimizer, random_state=0), X, y, 1) > 0


def counts(n, seed, far=()):
    """Rows of normal features, some of which are 30 deviations out, and counts; those have thousands of events."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    X[list(far), 0] = 30
    return X, rng.poisson(np.exp(X @ [0.3, -0.5, 0.25])).astype(float)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "rmsprop", "nadam", "ftrl"])
@pytest.mark.parametrize(("container", "dtype"), [(np.asarray, np.float64), (sparse.csr_array, np.float32)])
def test_several_visits_of_a_row_far_out(optimizer, container, dtype):
    X, y = counts(600, 0, far=[400])
    model = SGDRegressorPlus("poisson", optimizer=optimizer, random_state=0)
    learn(model, container(X.astype(dtype)), y, 5)
    best = SGDRegressorPlus("poisson").fit(X, y)
    assert model.score(*counts(3000, 1)) > best.score(*counts(3000, 1)) - 0.02


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_a_row_far_out_at_a_rate_that_is_given(loss):
    X, y = counts(600, 0, far=[400])
    y += loss == "gamma"
    model = SGDRegressorPlus(loss, eta0=0.01, random_state=0)
    learn(model, X, y, 5)
    best = SGDRegressorPlus(loss).fit(X, y)
    X, y = counts(3000, 1)
    y += loss == "gamma"
    assert model.score(X, y) > best.score(X, y) - 0.1


@pytest.mark.parametrize("n_copies", [1, 5])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_row_that_is_tempered_does_not_lead_beyond_its_minimum(optimizer, n_copies):
    X, y = counts(600, 0)
    model = SGDRegressorPlus("poisson", optimizer=optimizer, random_state=0)
    learn(model, X, y, 1)
    before = model.predict([[30.0, 0, 0]])
    model.partial_fit([[30.0, 0, 0]] * n_copies, [4 * before[0]] * n_copies)
    assert 1.1 * before < model.predict([[30.0, 0, 0]]) < 4.1 * before


def test_weights_that_reach_a_row_far_out_are_left():
    X = np.random.default_rng(0).normal(size=(600, 2))
    X[-1] = [30, 0]
    y = X @ [1.0, 2.0]
    model = SGDRegressorPlus(random_state=0)
    learn(model, X[:-30], y[:-30], 10)
    before = model.coef_.copy()
    model.partial_fit(X[-30:], y[-30:])
    np.testing.assert_allclose(model.coef_, before, rtol=0.05)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "rmsprop", "ftrl", "sgd"])
def test_targets_whose_spread_grows_late(loss, optimizer):
    """Rates that are in proportion to it grow, too."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 3))
    y = X @ [50.0, -100.0, 25.0] + rng.normal(size=600)
    order = np.argsort(np.abs(y), kind="stable")
    order[90:] = rng.permutation(order[90:])
    model = SGDRegressorPlus(loss, optimizer=optimizer, random_state=0)
    assert learn(model, X[order], y[order], 5) > 0.97


def test_a_target_far_out_changes_no_rate():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = X @ [1.0, -2.0, 0.5]
    y[400] = 30 * y.std()
    model = SGDRegressorPlus(random_state=0).partial_fit(X[:30], y[:30])
    first = model.eta0_
    learn(model, X, y, 1)
    assert model.eta0_ == first
