"""Steps: mini-batches, shuffling, and the average of the weights after each."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from tests.pairs import all_pairs
from tests.problems import IRIS, STOCHASTIC


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_steps_are_mini_batches(optimizer):
    for batch_size, steps in (1, 150), (7, 22), (150, 1), (1000, 1), ("auto", 1):
        model = SGDClassifierPlus(optimizer=optimizer, batch_size=batch_size, max_iter=2, tol=None).fit(*IRIS)
        assert model.t_ == 2 * steps + 1


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_one_batch_is_deterministic(optimizer):
    options = {"optimizer": optimizer, "eta0": 0.1, "max_iter": 20, "tol": None}
    assert_array_equal(*(SGDClassifierPlus(random_state=seed, **options).fit(*IRIS).coef_ for seed in (0, 1)))


def test_shuffle():
    options = {"batch_size": 1, "eta0": 0.1, "max_iter": 3, "tol": None}
    a, b = (SGDClassifierPlus(shuffle=False, random_state=seed, **options).fit(*IRIS) for seed in (0, 1))
    assert_array_equal(a.coef_, b.coef_)
    c, d = (SGDClassifierPlus(shuffle=True, random_state=seed, **options).fit(*IRIS) for seed in (0, 1))
    assert not np.array_equal(c.coef_, d.coef_)
    assert not np.array_equal(a.coef_, c.coef_)


def test_random_state_of_numpy():
    a = SGDClassifierPlus(batch_size=1, random_state=np.random.RandomState(3)).fit(*IRIS)
    b = SGDClassifierPlus(batch_size=1, random_state=3).fit(*IRIS)
    assert_array_equal(a.coef_, b.coef_)


# ---------------------------------------------------------------------------------------------------- average


@all_pairs
@pytest.mark.parametrize("schedule", [name for name, cls in SCHEDULES.items() if not cls.needs_end])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("average", [True, 1, 31, 100])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_average_is_the_mean_of_the_weights_after_each_step(optimizer, average, penalty, schedule):
    """Each chunk is one batch, so each call is one step."""
    X, y = IRIS
    options = {
        "optimizer": optimizer,
        "penalty": penalty,
        "alpha": 0.05,
        "batch_size": 30,
        "eta0": 0.05,
        "tol": None,
    }
    options |= {"learning_rate": schedule, "max_iter": 1}
    # In no order of classes, so that no value is far from those before.
    parts = np.random.default_rng(0).permutation(150).reshape(5, 30)
    plain, averaged = SGDClassifierPlus(**options), SGDClassifierPlus(average=average, **options)
    kept = []
    for k, rows in enumerate(parts):
        plain.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        averaged.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        if 30 * (k + 1) >= average:
            kept.append((plain.coef_.copy(), plain.intercept_.copy()))
        expected = [np.mean(part, axis=0) for part in zip(*kept, strict=True)] or [
            plain.coef_,
            plain.intercept_,
        ]
        assert_allclose(averaged.coef_, expected[0], rtol=1e-10, atol=1e-13)
        assert_allclose(averaged.intercept_, expected[1], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_an_average_takes_in_the_penalty_of_each_step(optimizer, penalty):
    """In one call of many steps as in many calls of one step, which end with the penalty's part."""
    X, y = IRIS
    options = {"optimizer": optimizer, "penalty": penalty, "alpha": 0.5, "eta0": 0.05, "max_iter": 1}
    options |= {"learning_rate": "constant", "average": True, "shuffle": False, "standardize": False}
    together = SGDClassifierPlus(batch_size=30, **options).partial_fit(X, y, classes=[0, 1, 2])
    apart = SGDClassifierPlus(batch_size=30, **options)
    for rows in np.array_split(np.arange(150), 5):
        apart.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert_allclose(together.coef_, apart.coef_, rtol=1e-10, atol=1e-13)


def test_an_average_of_ridge_regression():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    y = X @ rng.standard_normal(5)
    options = {"optimizer": "sgd", "batch_size": 1, "alpha": 2.0, "learning_rate": "constant", "eta0": 0.02}
    options |= {"average": 2000, "max_iter": 300, "tol": None, "standardize": False, "random_state": 0}
    model, ridge = SGDRegressorPlus(**options).fit(X, y), Ridge(400.0).fit(X, y)
    assert_allclose(model.coef_, ridge.coef_, rtol=0.03, atol=0.01)


def test_average_smooths():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 5))
    y = X @ np.arange(5.0) + 3 * rng.normal(size=400)
    best = np.linalg.lstsq(np.column_stack([X, np.ones(400)]), y)[0][:-1]
    options = {
        "optimizer": "sgd",
        "learning_rate": "constant",
        "eta0": 0.05,
        "batch_size": 1,
        "penalty": None,
    }
    options |= {"max_iter": 20, "tol": None, "random_state": 0}
    plain, averaged = (SGDRegressorPlus(average=a, **options).fit(X, y) for a in (False, 2000))
    assert np.linalg.norm(averaged.coef_ - best) < 0.5 * np.linalg.norm(plain.coef_ - best)
