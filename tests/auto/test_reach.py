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


def test_weights_that_reach_a_row_far_out_are_left():
    X = np.random.default_rng(0).normal(size=(600, 2))
    X[-1] = [30, 0]
    y = X @ [1.0, 2.0]
    model = SGDRegressorPlus(random_state=0)
    learn(model, X[:-30], y[:-30], 10)
    before = model.coef_.copy()
    model.partial_fit(X[-30:], y[-30:])
    np.testing.assert_allclose(model.coef_, before, rtol=0.05)
